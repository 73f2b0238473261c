"""Heads of attention are a choice: whole ones go, or what each has where they cannot."""

import pytest
import torch
import torch.nn.functional as F
from exactly import IMAGES, check
from torch import Tensor, nn

import tas
from tas.spaces import TracedSpace

DIM, HEADS, SIZE = 16, 4, 6


class Net(nn.Module):
    """Patches, a class token, two blocks with attention and an MLP."""

    def __init__(self, attention: type[nn.Module], blocks: int = 2) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, DIM, 4, 4)
        self.token = nn.Parameter(0.2 * torch.randn(1, 1, DIM))
        self.position = nn.Parameter(0.2 * torch.randn(1, 5, DIM))
        self.norms = nn.ModuleList(nn.LayerNorm(DIM) for _ in range(blocks))
        self.attention = nn.ModuleList(attention() for _ in range(blocks))
        self.head = nn.Linear(DIM, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.position
        for norm, attention in zip(self.norms, self.attention, strict=True):
            x = x + attention(norm(x))
        return self.head(x[:, 0])


class Fused(nn.Module):
    """As timm has it: a number of heads, and a scale that stays."""

    def __init__(self) -> None:
        super().__init__()
        self.num_heads, self.dim = HEADS, DIM
        self.qkv, self.proj = nn.Linear(DIM, 3 * HEADS * SIZE), nn.Linear(HEADS * SIZE, DIM)
        self.drop = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        b, n, _ = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        y = F.scaled_dot_product_attention(q, k, v)
        return self.drop(self.proj(y.transpose(1, 2).reshape(b, n, -1)))


class Apart(nn.Module):
    """As Hugging Face has it: the size of a head is a constant, their number is not."""

    def __init__(self) -> None:
        super().__init__()
        self.size = SIZE
        self.q, self.k, self.v = (nn.Linear(DIM, HEADS * SIZE) for _ in range(3))
        self.proj = nn.Linear(HEADS * SIZE, DIM)

    def forward(self, x: Tensor) -> Tensor:
        shape = (*x.shape[:2], -1, self.size)
        q, k, v = (of(x).view(shape).transpose(1, 2) for of in (self.q, self.k, self.v))
        weights = (q @ k.transpose(-2, -1) * self.size**-0.5).softmax(-1)
        return self.proj((weights @ v).transpose(1, 2).flatten(2))


class Grouped(nn.Module):
    """Two heads of queries share one of keys and values."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.each = HEADS, HEADS // 2, 2
        self.q = nn.Linear(DIM, HEADS * SIZE)
        self.kv = nn.Linear(DIM, HEADS // 2 * 2 * SIZE)
        self.proj = nn.Linear(HEADS * SIZE, DIM)

    def forward(self, x: Tensor) -> Tensor:
        b, n, _ = x.shape
        q = self.q(x).view(b, n, self.heads, SIZE).transpose(1, 2)
        k, v = self.kv(x).view(b, n, 2, self.kv_heads, SIZE).permute(2, 0, 3, 1, 4)
        k, v = (t.repeat_interleave(self.each, 1) for t in (k, v))
        y = F.scaled_dot_product_attention(q, k, v)
        return self.proj(y.transpose(1, 2).reshape(b, n, self.heads * SIZE))


class GroupedByOperator(nn.Module):
    """As language models have it: one layer, split by sizes in a list; PyTorch shares the keys."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.sizes = HEADS, [HEADS * SIZE, 2 * SIZE, 2 * SIZE]
        self.qkv, self.proj = nn.Linear(DIM, 8 * SIZE), nn.Linear(HEADS * SIZE, DIM)

    def forward(self, x: Tensor) -> Tensor:
        b, n, _ = x.shape
        q, k, v = self.qkv(x).split(self.sizes, -1)
        q = q.view(b, n, self.heads, SIZE).transpose(1, 2)
        k, v = (t.view(b, n, self.heads // 2, SIZE).transpose(1, 2) for t in (k, v))
        y = F.scaled_dot_product_attention(q, k, v, enable_gqa=True)
        return self.proj(y.transpose(1, 2).reshape(b, n, -1))


class MultiQueryByOperator(nn.Module):
    """One head of keys and values, which PyTorch shares."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.kv = nn.Linear(DIM, HEADS * SIZE), nn.Linear(DIM, 2 * SIZE)
        self.proj = nn.Linear(HEADS * SIZE, DIM)

    def forward(self, x: Tensor) -> Tensor:
        b, n, _ = x.shape
        q = self.q(x).view(b, n, -1, SIZE).transpose(1, 2)
        k, v = self.kv(x).unsqueeze(1).chunk(2, -1)
        y = F.scaled_dot_product_attention(q, k, v, enable_gqa=True)
        return self.proj(y.transpose(1, 2).flatten(2))


class MultiQuery(nn.Module):
    """All heads of queries share one of keys and values, which stays."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.size = HEADS, SIZE
        self.q = nn.Linear(DIM, HEADS * SIZE)
        self.kv = nn.Linear(DIM, 2 * SIZE)
        self.proj = nn.Linear(HEADS * SIZE, DIM)

    def forward(self, x: Tensor) -> Tensor:
        b, n, _ = x.shape
        q = self.q(x).view(b, n, self.heads, -1).transpose(1, 2)
        k, v = self.kv(x).unsqueeze(1).chunk(2, -1)
        weights = (q @ k.transpose(-2, -1) * self.size**-0.5).softmax(-1)
        return self.proj((weights @ v).transpose(1, 2).flatten(2))


class FixedMultiQuery(MultiQuery):
    """Likewise; the number of heads is nowhere to be found."""

    def forward(self, x: Tensor) -> Tensor:
        b, n, _ = x.shape
        q = self.q(x).view(b, n, 2 * 2, -1).transpose(1, 2)
        k, v = self.kv(x).unsqueeze(1).chunk(2, -1)
        weights = (q @ k.transpose(-2, -1) * 0.4).softmax(-1)
        return self.proj((weights @ v).transpose(1, 2).flatten(2))


class ByEinsum(nn.Module):
    """An einsum that sums over one channel is no product any more, and costs nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.proj = nn.Linear(DIM, HEADS * SIZE), nn.Linear(HEADS * SIZE, DIM)
        self.k, self.v = nn.Linear(DIM, SIZE), nn.Linear(DIM, SIZE)

    def forward(self, x: Tensor) -> Tensor:
        q = self.q(x).unflatten(-1, (2 * 2, -1))
        weights = torch.einsum("bnhd,bmd->bhnm", q, self.k(x)).softmax(-1)
        return self.proj(torch.einsum("bhnm,bmd->bnhd", weights, self.v(x)).flatten(2))


class Tables(nn.Module):
    """A table of biases with a column for every head, a temperature for each, heads that talk."""

    def __init__(self) -> None:
        super().__init__()
        self.config = {"heads": HEADS, "tokens": 5}
        self.qkv, self.proj = nn.Linear(DIM, 3 * HEADS * SIZE), nn.Linear(HEADS * SIZE, DIM)
        self.table = nn.Parameter(torch.randn(25, HEADS))
        self.register_buffer("places", torch.randperm(25))
        self.temperature = nn.Parameter(1 + 0.2 * torch.randn(HEADS, 1, 1))
        self.talk = nn.Linear(HEADS, HEADS)

    def forward(self, x: Tensor) -> Tensor:
        b, n, _ = x.shape
        heads = self.config["heads"]
        q, k, v = self.qkv(x).view(b, n, 3, heads, SIZE).permute(2, 0, 3, 1, 4)
        bias = self.table[self.places].view(n, n, -1).permute(2, 0, 1)
        weights = q @ k.transpose(-2, -1) * self.temperature + bias
        weights = self.talk(weights.softmax(-1).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return self.proj((weights @ v).transpose(1, 2).reshape(b, n, heads * SIZE))


class Fixed(nn.Module):
    """The number of heads is nowhere to be found, but a scale is given: what they have shrinks."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(DIM, 3 * HEADS * SIZE), nn.Linear(HEADS * SIZE, DIM)

    def forward(self, x: Tensor) -> Tensor:
        b, n, _ = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, 2 * 2, -1).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, scale=0.4)
        return self.proj(y.transpose(1, 2).reshape(b, n, -1))


def candidates(space: TracedSpace, layer: str) -> tuple[int, ...]:
    return next(choice.candidates for choice in space.widths if choice.name == layer)


def numbers(space: TracedSpace) -> set[str]:
    return {str(rewrite) for rewrite in space.structure.rewrites}


def test_a_number_of_heads_is_rewritten_layer_by_layer() -> None:
    space = check(Net(Fused))
    assert numbers(space) == {"attention.0.num_heads", "attention.1.num_heads"}
    assert [choice.name for choice in space.widths] == [
        "patch", "attention.0.qkv", "attention.1.qkv",
    ]  # fmt: skip
    assert candidates(space, "attention.0.qkv") == tuple(3 * SIZE * h for h in (1, 2, 3, 4))


def test_where_the_number_is_open_nothing_is_rewritten() -> None:
    space = check(Net(Apart))
    assert numbers(space) == set()
    assert candidates(space, "attention.1.q") == tuple(SIZE * h for h in (1, 2, 3, 4))


def test_queries_that_share_keys_go_with_them() -> None:
    space = check(Net(Grouped))
    assert numbers(space) == {f"attention.{n}.{name}" for n in (0, 1) for name in HEADS_OF_BOTH}
    assert candidates(space, "attention.0.q") == (2 * SIZE, 4 * SIZE)


HEADS_OF_BOTH = ("heads", "kv_heads")


def test_heads_that_the_operator_shares_go_likewise() -> None:
    space = check(Net(GroupedByOperator, 1))
    names = ("heads", "sizes[0]", "sizes[1]", "sizes[2]")
    assert numbers(space) == {f"attention.0.{name}" for name in names}
    assert candidates(space, "attention.0.qkv") == (4 * SIZE, 8 * SIZE)
    space = check(Net(MultiQueryByOperator, 1))
    assert candidates(space, "attention.0.q") == tuple(SIZE * h for h in (1, 2, 3, 4))


def test_queries_that_all_share_one_head_of_keys_go_one_by_one() -> None:
    space = check(Net(MultiQuery))
    assert numbers(space) == {"attention.0.heads", "attention.1.heads"}
    assert candidates(space, "attention.0.q") == tuple(SIZE * h for h in (1, 2, 3, 4))
    assert {"attention.0.kv", "attention.1.kv"} <= {each.layer for each in space.locked}


def test_where_a_shared_heads_number_is_fixed_its_size_shrinks() -> None:
    space = check(Net(FixedMultiQuery, 1))
    assert numbers(space) == set()
    assert candidates(space, "attention.0.q")[-2:] == (HEADS * 5, HEADS * 6)
    assert "attention.0.kv" not in {each.layer for each in space.locked}


def test_what_an_einsum_sums_over_keeps_two_channels() -> None:
    space = check(Net(ByEinsum, 1))
    assert candidates(space, "attention.0.q") == tuple(HEADS * size for size in (2, 3, 4, 5, 6))


def test_tables_temperatures_and_talking_heads_go_along() -> None:
    space = check(Net(Tables, 1))
    assert numbers(space) == {"attention.0.config.heads"}
    assert {"attention.0.qkv", "attention.0.talk"} & {choice.name for choice in space.widths}


class Normed(nn.Module):
    """Queries and keys of a convolution with a norm behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.norm = nn.Conv1d(DIM, 3 * HEADS * SIZE, 1), nn.BatchNorm1d(3 * HEADS * SIZE)
        self.proj = nn.Linear(HEADS * SIZE, DIM)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.norm(self.qkv(x.transpose(1, 2))).chunk(3, 1)
        weights = (q.transpose(1, 2) @ k * 0.2).softmax(-1)
        return self.proj(weights @ v.transpose(1, 2))


def test_norms_within_attention_learn_in_a_search() -> None:
    check(Net(Normed, 1))


def test_where_heads_cannot_go_what_they_have_does() -> None:
    space = check(Net(Fixed))
    assert numbers(space) == set()
    assert not space.unpruned.splits
    assert candidates(space, "attention.0.qkv")[-2:] == (3 * HEADS * 5, 3 * HEADS * 6)


def test_a_shape_without_splits_is_read_as_ever() -> None:
    """One that was saved when what heads have could shrink."""
    net = Net(Fixed)
    structure = tas.graph.analyse(net, IMAGES)
    assert structure.wanted == {"attention.0#1": 3, "attention.1#1": 3}
    assert {width.name: width.atoms for width in structure.widths}["attention.0.qkv"] == SIZE


def test_a_split_that_the_net_has_not_is_refused() -> None:
    with pytest.raises(tas.errors.ShapeError, match="no such split"):
        tas.graph.analyse(Net(Fused), IMAGES, splits={"attention.7#1": 3})
