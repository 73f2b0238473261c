"""Costs that are products of three and more widths: their expectation against all combinations."""

from itertools import product
from math import prod

import pytest
import torch

from tas.costs.expected import ExpectedCost
from tas.nets import full_shape, measured
from tas.shape import Sum
from tas.space import DepthChoice, Space, Term, WidthChoice


def space_of(*terms: Term) -> Space:
    base = measured(full_shape("resnet20")).replace(
        widths={"a": 4, "b": 5, "c": 6}, depths={"d": 2}
    )
    widths = [("a", (1, 2, 4)), ("b", (2, 5)), ("c", (3, 4, 6))]
    return Space(
        base,
        base,
        tuple(WidthChoice(name, candidates, (name,), (name,)) for name, candidates in widths),
        (DepthChoice("d", (1, 2), ("d.0", "d.1"), ((), ())),),
        terms,
    )


BOTH = Sum((("a", 1, 1), ("b", 2, 1)), 3)
SPACES = {
    "three": (Term("a", "b", 7, 1, more=("c",)),),
    "the same three times": (Term("a", "a", 7, 1, more=("a",)),),
    "of sums": (Term(BOTH, "a", 7, 2, more=(BOTH, "c")),),
    "of different numbers": (
        Term("a", "b", 7, 1, more=("c",)),
        Term("a", "a", 2, 1),
        Term("c", BOTH, 2, 1, more=("c", "b", 2)),
        Term(3, "b", 1, 1, 4),
        Term("a", "b", 7, 1, 0, ("d", frozenset({2})), more=("b",)),
    ),
}


@pytest.mark.parametrize("terms", SPACES.values(), ids=SPACES)
@pytest.mark.parametrize("unit", ["macs", "params"])
def test_expectation_is_the_sum_over_all_combinations(terms: tuple[Term, ...], unit: str) -> None:
    space = space_of(*terms)
    torch.manual_seed(0)
    rows = [torch.rand(len(c.candidates)).double() for c in space.choices]
    rows = [row / row.sum() for row in rows]
    wanted = 0.0
    states = list(product(*(range(len(row)) for row in rows)))
    costs = []
    for state in states:
        costs.append(space.cost(space.shape(state[:3], state[3:]), unit))
        wanted += costs[-1] * prod(float(row[k]) for row, k in zip(rows, state, strict=True))
    table = torch.zeros(3, 3, dtype=torch.float64)
    for line, row in zip(table, rows, strict=False):
        line[: len(row)] = row
    table.requires_grad_()
    model = ExpectedCost(space, unit, torch.float64)
    found = model(table, rows[3][None])
    assert float(found) == pytest.approx(wanted, rel=1e-12)
    assert model.of_states(torch.tensor(states)).tolist() == costs
    (gradient,) = torch.autograd.grad(found, table)
    assert bool(gradient.isfinite().all())
    assert bool(gradient.ne(0).any())


def test_grouped_spaces_rename_all_sides() -> None:
    alike = [WidthChoice(name, (1, 2), (name,), (name,), group="all") for name in "abc"]
    base = space_of().unpruned.replace(widths=dict.fromkeys("abc", 2))
    space = Space(base, base, tuple(alike), (), (Term("a", "b", 5, 1, more=("c",)),)).grouped()
    assert len(space.widths) == 1
    assert space.cost(space.shape([0], [])) == 5
    model = ExpectedCost(space, "macs", torch.float64)
    assert float(model(torch.tensor([[0.5, 0.5]]).double(), torch.zeros(0, 1).double())) == 22.5
