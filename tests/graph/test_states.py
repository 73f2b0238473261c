"""Zeros of a net's own, such as the state that a recurrent net starts from, follow its width."""

import torch
from exactly import check
from torch import Tensor, nn
from torch.nn import functional as F

HIDDEN = 12


class ByHand(nn.Module):
    """The hidden state stands beside the input, as in a first lesson on recurrent nets."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = HIDDEN
        self.step, self.head = nn.Linear(24 + HIDDEN, HIDDEN), nn.Linear(HIDDEN, 5)

    def forward(self, x: Tensor) -> Tensor:
        state = torch.zeros(len(x), self.hidden, dtype=x.dtype)
        for row in x.flatten(2).chunk(4, 2):
            state = self.step(torch.cat([row[..., :8].flatten(1), state], 1)).tanh()
        return self.head(state)


class Cell(nn.Module):
    """A convolutional LSTM's."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.gates = nn.Conv2d(inputs + hidden, 4 * hidden, 3, padding=1)

    def start(self, x: Tensor) -> tuple[Tensor, Tensor]:
        empty = torch.zeros(len(x), self.hidden, *x.shape[2:], dtype=x.dtype)
        return empty, empty

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        before, cell = state
        gates = self.gates(torch.cat([x, before], 1))
        i, f, o, g = torch.split(gates, self.hidden, 1)
        cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
        return o.sigmoid() * cell.tanh(), cell


class Pictures(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.ModuleList([Cell(3, 8), Cell(8, HIDDEN)])
        self.head = nn.Linear(HIDDEN, 5)

    def forward(self, x: Tensor) -> Tensor:
        steps = [x, x.flip(3)]
        for cell in self.cells:
            state, outs = cell.start(x), []
            for step in steps:
                state = cell(step, state)
                outs.append(state[0])
            steps = outs
        return self.head(steps[-1].mean((2, 3)))


class Literal(ByHand):
    def forward(self, x: Tensor) -> Tensor:
        state = torch.zeros(len(x), 12, dtype=x.dtype)
        for row in x.flatten(1).split(24, 1)[:2]:
            state = self.step(torch.cat([row, state], 1)).tanh()
        return self.head(state)


class Shortcut(nn.Module):
    """More channels than came in: the others are added to zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, HIDDEN, 3, padding=1)
        self.out, self.head = HIDDEN, nn.Linear(HIDDEN, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        more = x.new_zeros(len(x), self.out - x.shape[1], *x.shape[2:])
        return self.head((self.second(x.relu()) + torch.cat([x, more], 1)).relu().mean((2, 3)))


class PartlyBiased(nn.Module):
    """Keys without a bias beside queries and values that have one, as in BEiT."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.heads = nn.Conv2d(3, 8, 2, 2), 4
        self.qkv, self.head = nn.Linear(8, 3 * HIDDEN, bias=False), nn.Linear(HIDDEN, 5)
        self.q, self.v = nn.Parameter(torch.randn(HIDDEN)), nn.Parameter(torch.randn(HIDDEN))

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        bias = torch.cat([self.q, torch.zeros_like(self.v), self.v])
        qkv = F.linear(x, self.qkv.weight, bias).unflatten(2, (3, self.heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(2, 3) * 0.5).softmax(-1)
        return self.head((weights @ v).transpose(1, 2).flatten(2).mean(1))


def test_a_state_beside_the_input_follows_the_width_that_it_becomes() -> None:
    space = check(ByHand())
    assert [choice.name for choice in space.widths] == ["step"]
    assert [str(rewrite) for rewrite in space.structure.rewrites] == ["hidden"]


def test_states_that_are_maps() -> None:
    space = check(Pictures())
    assert [choice.name for choice in space.widths] == ["cells.0.gates", "cells.1.gates"]


def test_a_state_whose_size_stands_in_the_code_locks_it() -> None:
    space = check(nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 3, 1), Literal()))
    assert [choice.name for choice in space.widths] == ["0"]


def test_a_shortcut_that_is_filled_up() -> None:
    space = check(Shortcut())
    assert [choice.name for choice in space.widths] == ["first", "second"]
    assert [str(rewrite) for rewrite in space.structure.rewrites] == ["out"]


def test_a_bias_of_which_a_part_is_zeros() -> None:
    space = check(PartlyBiased())
    assert {"patch", "qkv.weight"} <= {choice.name for choice in space.widths}
