"""Random shapes near a budget."""

import pytest
import torch
from torch import Tensor

from tas.costs import Budget
from tas.errors import InfeasibleBudgetError
from tas.methods.sampling import states_near
from tas.space import Space
from tas.spaces import resnet_space


def draw(
    space: Space, budget: Budget, low: float, high: float, count: int, seed: int = 0
) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return states_near(space, budget, low, high, count, generator)


def costs(space: Space, states: Tensor) -> list[float]:
    n = len(space.widths)
    return [space.cost(space.shape(s[:n], s[n:])) for s in states.tolist()]


@pytest.mark.parametrize("net", ["resnet20", "resnet110", "resnet50"])
@pytest.mark.parametrize("residual", ["free", "tied"])
def test_shapes_lie_in_the_range_and_differ(net: str, residual: str) -> None:
    space = resnet_space(net, residual=residual)
    budget = Budget.of(space, 0.5)
    states = draw(space, budget, 0.7, 1.1, 50)
    assert len(torch.unique(states, dim=0)) == len(states) == 50
    assert all(0.7 * budget.limit <= cost <= 1.1 * budget.limit for cost in costs(space, states))
    assert torch.equal(states, draw(space, budget, 0.7, 1.1, 50))


def test_all_candidates_of_every_choice_come_up() -> None:
    space = resnet_space("resnet110", residual="tied").grouped()
    states = draw(space, Budget.of(space, 0.5), 0.3, 1.15, 2000)
    for choice, column in zip([*space.widths, *space.depths], states.T, strict=True):
        assert len(torch.unique(column)) == len(choice.candidates)


def test_where_no_shape_lies_in_the_range_those_that_fit_are_taken() -> None:
    space = resnet_space("resnet20", residual="tied", what="depth")  # 27 shapes
    budget = Budget.of(space, 0.5)
    states = draw(space, budget, 0.9999, 1.0, 50)
    assert 0 < len(states) < 27
    assert all(cost <= budget.limit for cost in costs(space, states))


def test_a_budget_below_every_shape_is_refused() -> None:
    space = resnet_space("resnet20", residual="tied", what="depth")
    with pytest.raises(InfeasibleBudgetError):
        draw(space, Budget(1000), 0.5, 1.0, 10)


def test_where_the_smallest_shape_alone_fits_it_is_taken() -> None:
    space = resnet_space("resnet110", residual="tied", what="width")
    smallest = Budget(1).range(space)[0]
    assert draw(space, Budget(int(smallest)), 0.98, 1.0, 10).tolist() == [[0] * len(space.choices)]
