"""Widths that must be equal, for the net's code computes one from the other, are cut together."""

import pytest
import torch
from exactly import IMAGES, check
from torch import Tensor, nn

import tas
from tas.errors import ShapeError
from tas.inherit import Source
from tas.spaces import TracedSpace

DIM, HEADS = 16, 4


class Net(nn.Module):
    """A stream of tokens, to which blocks add."""

    def __init__(self, *blocks: nn.Module) -> None:
        super().__init__()
        self.patch, self.head = nn.Conv2d(3, DIM, 2, 2), nn.Linear(DIM, 5)
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        for block in self.blocks:
            x = x + block(x)
        return self.head(x.mean(1).tanh())


class Divided(nn.Module):
    """The size of a head is that of the stream, divided by the number of heads."""

    def __init__(self) -> None:
        super().__init__()
        self.num_heads, self.norm = HEADS, nn.LayerNorm(DIM)
        self.qkv, self.proj = nn.Linear(DIM, 3 * DIM), nn.Linear(DIM, DIM)

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        qkv = self.qkv(self.norm(x)).reshape(b, n, 3, self.num_heads, c // self.num_heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-2, -1) * 0.5).softmax(-1)
        return self.proj((weights @ v).transpose(1, 2).reshape(b, n, c))


class Own(nn.Module):
    """PyTorch's own attention."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(DIM, HEADS, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(x, x, x, need_weights=False)[0]


class Reduced(Divided):
    """Keys and values of fewer tokens, whose channels the code counts by those of the stream."""

    def __init__(self) -> None:
        super().__init__()
        self.reduce, self.after = nn.Conv1d(DIM, DIM, 2, 2), nn.LayerNorm(DIM)
        self.q, self.kv = nn.Linear(DIM, DIM), nn.Linear(DIM, 2 * DIM)
        del self.qkv

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        each = c // self.num_heads
        q = self.q(x).reshape(b, n, self.num_heads, each).transpose(1, 2)
        y = self.after(self.reduce(x.transpose(1, 2)).reshape(b, c, -1).transpose(1, 2))
        k, v = self.kv(y).reshape(b, n // 2, 2, self.num_heads, each).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-2, -1) * 0.5).softmax(-1)
        return self.proj((weights @ v).transpose(1, 2).reshape(b, n, c))


class Gated(Divided):
    """Something else in the module is as large as the stream, and free."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(DIM, DIM), nn.Linear(DIM, DIM)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + self.down(self.up(x).tanh())


class Counted(nn.Module):
    """The code counts a width by another one."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(DIM, width), nn.Linear(width, DIM)

    def size(self, c: int) -> int:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        return self.down(self.up(x).flatten(1).view(b, n, self.size(c)).tanh())


class Halved(Counted):
    def size(self, c: int) -> int:
        return c // 2


class Fewer(Counted):
    def size(self, c: int) -> int:
        return c - 4


class OfItsOwn(nn.Module):
    """Attention in the code of the net itself."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.head = nn.Conv2d(3, DIM, 2, 2), nn.Linear(DIM, 5)
        self.qkv, self.heads = nn.Linear(DIM, 3 * DIM), HEADS

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        b, n, c = x.shape
        qkv = self.qkv(x).view(b, n, 3, self.heads, c // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-2, -1) * 0.5).softmax(-1)
        return self.head((weights @ v).transpose(1, 2).reshape(b, n, c).mean(1))


class Linear(Divided):
    """Attention without a softmax: a wrong number of heads runs, but computes something else."""

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        q, k = q.sigmoid(), k.sigmoid()
        return self.proj((q @ (k.transpose(-2, -1) @ v)).transpose(1, 2).reshape(b, n, c))


class TwoNames(nn.Module):
    """Modules of one class under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.head = nn.Conv2d(3, DIM, 2, 2), nn.Linear(DIM, 5)
        self.first, self.second = Linear(), Linear()

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = x + self.first(x)
        return self.head((x + self.second(x)).mean(1).tanh())


def joints(space: TracedSpace) -> list[tuple[str, ...]]:
    return [choice.keys for choice in space.widths if len(choice.keys) > 1]


def test_a_stream_and_what_divides_it_are_one_choice() -> None:
    space = check(Net(Divided(), Divided()))
    assert joints(space) == [("patch", "blocks.0.qkv", "blocks.1.qkv")]
    (choice,) = space.widths
    assert choice.candidates == choice.of("patch") == (4, 8, 12, 16)
    assert choice.of("blocks.1.qkv") == (12, 24, 36, 48)
    assert space.equal(0.55).widths == {"patch": 8, "blocks.0.qkv": 24, "blocks.1.qkv": 24}
    assert space.share("patch") > 0.9
    small = Source.of(space).derive(space.shape([1], []))
    assert [block.num_heads for block in small.blocks] == [2, 2]


def test_pytorchs_own_attention_and_its_stream() -> None:
    assert joints(check(Net(Own()))) == [("patch", "blocks.0.attention")]


def test_all_that_is_counted_by_the_stream_goes_with_it() -> None:
    assert joints(check(Net(Reduced()))) == [("patch", "blocks.0.q", "blocks.0.reduce")]


def test_what_the_net_itself_divides() -> None:
    assert joints(check(OfItsOwn())) == [("patch", "qkv")]


def test_modules_of_one_class_are_rewritten_together_whatever_their_names() -> None:
    assert joints(check(TwoNames())) == [("patch", "first.qkv", "second.qkv")]


def test_what_only_happens_to_be_as_large_is_a_choice_of_its_own() -> None:
    space = check(Net(Gated()))
    assert joints(space) == [("patch", "blocks.0.qkv")]
    assert "blocks.0.up" in {choice.name for choice in space.widths}


def test_a_part_of_the_stream_goes_with_it() -> None:
    assert joints(check(Net(Halved(DIM // 2)))) == [("patch", "blocks.0.up")]


def test_what_follows_the_stream_in_no_ratio_is_locked() -> None:
    free = nn.Sequential(nn.Linear(DIM, 24), nn.Tanh(), nn.Linear(24, DIM))
    space = check(Net(Fewer(DIM - 4), free))
    assert [choice.keys for choice in space.widths] == [("blocks.1.0",)]


def test_other_ratios_are_refused() -> None:
    space = check(Net(Divided()))
    shape = space.shape([1], [])
    wrong = shape.replace(widths={**shape.widths, "patch": 12})
    with pytest.raises(ShapeError, match=r"12 of 16 channels for 'patch', but 24 of 48"):
        tas.graph.cut_to(space.model, space.structure, wrong)


def test_a_grouped_space_keeps_them_together() -> None:
    torch.manual_seed(0)
    space = tas.spaces.trace(
        Net(Divided(), nn.Sequential(nn.Linear(DIM, 24), nn.Tanh(), nn.Linear(24, DIM))), IMAGES[:1]
    )
    grouped = space.grouped()
    for choice in grouped.widths:
        for a, b in zip(choice.of("patch"), choice.of("blocks.0.qkv"), strict=True):
            assert 3 * a == b
