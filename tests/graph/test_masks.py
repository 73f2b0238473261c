"""A masked net: weights reach every name of a parameter, and all is as before afterwards."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tas.graph import Masks, Structure, analyse, cut


class Half(nn.Module):
    def __init__(self, tail: nn.Module) -> None:
        super().__init__()
        self.stem, self.tail = nn.Conv2d(3, 8, 3, 2, 1), tail

    def forward(self, x: Tensor) -> Tensor:
        return self.tail(self.stem(x).relu()).mean((2, 3))


class Siamese(nn.Module):
    """Two halves that end in one and the same module, which so has two names."""

    def __init__(self) -> None:
        super().__init__()
        tail = nn.Sequential(nn.Conv2d(8, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 16, 1))
        self.left, self.right = Half(tail), Half(tail)
        self.head = nn.Linear(32, 5)
        self.fails = False

    def forward(self, x: Tensor) -> Tensor:
        y = torch.cat([self.left(x), self.right(x.flip(3))], 1)
        if self.fails:
            raise KeyError("in the middle of a pass")
        return self.head(y)


class SharedHead(nn.Module):
    """One head for two stages, and a weight that two layers share."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.next = nn.Conv2d(3, 12, 3, padding=1), nn.Conv2d(12, 12, 3, padding=1)
        self.head = nn.Sequential(nn.Conv2d(12, 10, 1), nn.ReLU(), nn.Conv2d(10, 5, 1))
        self.heads = nn.ModuleList([self.head, self.head])
        self.again = nn.Conv2d(12, 12, 3, padding=1)
        self.again.weight = self.next.weight

    def forward(self, x: Tensor) -> Tensor:
        first = self.stem(x).relu()
        second = self.again(self.next(first).relu()).relu()
        return sum(h(y).mean((2, 3)) for h, y in zip(self.heads, (first, second), strict=True))


class Stored(nn.Module):
    """A layer whose weight is a buffer, as those of frozen parts are kept."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 12, 3, padding=1)
        self.register_buffer("weight", torch.randn(10, 12, 1, 1))
        self.head = nn.Linear(10, 5)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.get_buffer("weight")
        return self.head(nn.functional.conv2d(self.stem(x).relu(), weight).relu().mean((2, 3)))


KINDS = [Siamese, SharedHead, Stored]


def halved(structure: Structure) -> tuple[dict[str, Tensor], Tensor]:
    """Every other atom of every width: to be kept in a cut, and as weights of masks."""
    kept = {width.name: torch.arange(0, width.atoms, 2) for width in structure.widths}
    weights = [(torch.arange(width.atoms) % 2 == 0).float() for width in structure.widths]
    return kept, torch.cat(weights)


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_a_masked_net_is_the_cut_one_and_is_left_as_it_was(kind: Callable[[], nn.Module]) -> None:
    net, x = kind().eval(), torch.randn(2, 3, 8, 8)
    structure = analyse(net, x)
    masks, (kept, weights) = Masks(structure), halved(structure)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    own = list(net.parameters())
    whole = net(x)
    for _ in range(2):
        small = cut(net, structure, kept, {})
        torch.testing.assert_close(small(x), masks(net, x, weights))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(a is b for a, b in zip(net.parameters(), own, strict=True))
    assert torch.equal(net(x), whole)


def test_a_pass_that_fails_leaves_the_net_as_it_was() -> None:
    net, x = Siamese(), torch.randn(1, 3, 8, 8)
    structure = analyse(net, x)
    masks, (_, weights) = Masks(structure), halved(structure)
    own = list(net.parameters())
    net.fails = True
    with pytest.raises(KeyError):
        masks(net, x, weights.requires_grad_())
    assert all(a is b for a, b in zip(net.parameters(), own, strict=True))
    assert all(p.is_leaf for p in net.parameters())


def test_gradients_of_all_uses_meet_in_the_one_parameter() -> None:
    net, x = Siamese(), torch.randn(1, 3, 8, 8)
    structure = analyse(net, x)
    weights = torch.ones(structure.atoms)
    Masks(structure)(net, x, weights).sum().backward()
    found = net.left.tail[0].weight.grad
    net.zero_grad()
    net(x).sum().backward()
    torch.testing.assert_close(found, net.left.tail[0].weight.grad)
