"""Grouped convolutions lose whole groups; where these hang together, all groups lose as many."""

from exactly import check
from torch import Tensor, nn

GROUPS, DIM = 2, 12


class Net(nn.Module):
    """Two grouped convolutions, with something between them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, DIM, 3, padding=1)
        self.first = nn.Conv2d(DIM, 2 * DIM, 3, padding=1, groups=GROUPS)
        self.second = nn.Conv2d(2 * DIM, DIM, 3, padding=1, groups=GROUPS, bias=False)
        self.head = nn.Linear(DIM, 5)

    def between(self, x: Tensor) -> Tensor:
        return x

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(self.stem(x).relu()).tanh()
        return self.head(self.second(self.between(x)).tanh().mean((2, 3)))


class Shuffled(Net):
    """Every group hands channels to all of the next ones."""

    def between(self, x: Tensor) -> Tensor:
        return x.unflatten(1, (GROUPS, -1)).transpose(1, 2).flatten(1, 2)


class Gated(Net):
    """The groups are weighed against one another, as in a split attention."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Conv2d(DIM, 2 * DIM, 1)
        self.second = nn.Conv2d(DIM, DIM, 1)

    def between(self, x: Tensor) -> Tensor:
        parts = x.unflatten(1, (GROUPS, -1))
        weights = self.gate(parts.sum(1).mean((2, 3), keepdim=True)).unflatten(1, (GROUPS, -1))
        return (parts * weights.softmax(1)).sum(1)


def test_whole_groups_go() -> None:
    space = check(Net())
    assert not space.structure.splits
    assert [choice.candidates for choice in space.widths] == [(6, 12)]


def test_where_groups_hang_together_all_of_them_shrink() -> None:
    space = check(Gated())
    assert space.structure.splits == {"first#groups": 1}
    assert [choice.name for choice in space.widths] == ["stem", "first", "second"]
    assert all(choice.candidates[0] <= choice.candidates[-1] // 3 for choice in space.widths)


def test_shuffled_groups_shrink_alike() -> None:
    space = check(Shuffled())
    assert space.structure.splits.keys() == {"first#groups", "second#groups"}
    assert len(space.widths) == 3
