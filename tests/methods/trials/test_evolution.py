"""Laws of the evolution: within the budget, no better shape missed in a small space, repeatable."""

from collections.abc import Callable

import pytest
import torch
from torch import Generator, Tensor

from tas.costs import Budget
from tas.errors import InfeasibleBudgetError
from tas.methods.found import Tried
from tas.methods.trials.evolution import evolve, generations, tried
from tas.space import Space
from tas.spaces import resnet_space


def per_kind() -> Space:
    return resnet_space("resnet20", residual="tied", what="width").grouped(kinds=True)


def bowl(at: Tensor) -> Callable[[Tensor], Tensor]:
    """A loss that is lowest at one state, and steeper along some choices than along others."""
    slope = torch.arange(1.0, len(at) + 1)
    return lambda states: ((states - at).double().square() * slope).sum(1)


def test_it_finds_the_best_shape_of_a_small_space() -> None:
    space = per_kind()
    budget = Budget.of(space, 0.5)
    limit = budget.limit
    sizes = [len(choice.candidates) for choice in space.widths]
    everything = torch.cartesian_prod(*map(torch.arange, sizes))
    costs = budget.expected(space).of_states(everything)
    at_budget = everything[(costs <= limit) & (costs >= 0.99 * limit)]
    loss = bowl(torch.tensor([5, 1, 4, 2, 6, 3]))
    best = float(loss(at_budget).min())
    median = float(loss(at_budget).median())
    for seed in range(3):
        found = evolve(space, budget, 160, Generator().manual_seed(seed), loss)[0]
        assert float(loss(found[None])) <= best + 0.02 * (median - best)


@pytest.mark.parametrize("unit", ["macs", "params"])
def test_what_it_asks_fits_is_new_and_no_more_than_it_may(unit: str) -> None:
    space = resnet_space("resnet20", residual="tied")
    budget = Budget.of(space, 0.4, unit)
    limit = budget.limit
    cost = budget.expected(space)
    asked: list[Tensor] = []

    def loss(states: Tensor) -> Tensor:
        asked.append(states)
        return bowl(torch.full((states.shape[1],), 2))(states)

    found = evolve(space, budget, 100, Generator().manual_seed(0), loss)
    states = torch.cat(asked)
    costs = cost.of_states(states)
    assert [len(generation) for generation in asked] == generations(100)
    assert len(states) == 100 == len(states.unique(dim=0))
    assert (costs <= limit).all()
    assert (costs >= 0.99 * limit).double().mean() > 0.95
    assert (cost.of_states(found) >= 0.99 * limit).all()
    assert len(found) == len(found.unique(dim=0))
    again = evolve(space, budget, 100, Generator().manual_seed(0), loss)
    assert torch.equal(again, found)


def test_a_space_with_few_shapes_is_asked_whole_and_the_budget_used() -> None:
    """The loss prefers the smallest shape, which is no answer to the budget."""
    space = resnet_space("resnet20", residual="tied", what="depth")
    budget = Budget.of(space, 0.7)
    cost = budget.expected(space)
    asked: list[Tensor] = []

    def loss(states: Tensor) -> Tensor:
        asked.append(states)
        return cost.of_states(states)

    found = evolve(space, budget, 300, Generator().manual_seed(0), loss)
    costs = cost.of_states(torch.cat(asked))
    assert len(costs) < 27
    assert float(cost.of_states(found[:1])) == float(costs.max())
    with pytest.raises(InfeasibleBudgetError):
        evolve(space, Budget(1000), 300, Generator().manual_seed(0), loss)


@pytest.mark.parametrize(
    ("fall", "asked", "trials"), [(0.0, 9, 300), (0.002, 24, 300), (0.0, 17, 600), (0.0, 6, 80)]
)
def test_it_ends_where_nothing_is_gained(fall: float, asked: int, trials: int) -> None:
    """After 8 generations, or a third of them; slow gains add up."""
    space = resnet_space("resnet20", residual="tied")
    seen = 0

    def loss(states: Tensor) -> Tensor:
        nonlocal seen
        seen += 1
        return torch.full((len(states),), (1 - fall) ** seen, dtype=torch.float64)

    evolve(space, Budget.of(space, 0.5), trials, Generator().manual_seed(0), loss)
    assert seen == asked


def test_the_last_of_them_lose_less_for_their_parameters() -> None:
    """They are asked in the place of others, and those that lose least are found as well."""
    space = resnet_space("resnet20", residual="tied")
    budget = Budget.of(space, 0.5)
    slope = torch.arange(1.0, len(space.choices) + 1).flip(0)

    def lost(states: Tensor) -> Tensor:
        return 1000 + ((states - 4).double().square() * slope).sum(1)

    def search(larger: bool, seed: int) -> tuple[Tensor, Tried]:
        asked: list[Tensor] = []

        def loss(states: Tensor) -> Tensor:
            asked.append(states)
            return lost(states)

        found = evolve(space, budget, 150, Generator().manual_seed(seed), loss, larger=larger)
        return torch.cat(asked), tried(space, found, lost(found))

    for seed in range(3):
        (asked, alone), (others, both) = search(False, seed), search(True, seed)
        assert len(others) <= len(asked) <= 150
        assert both.for_size.min() < alone.for_size.min()
        assert both.losses[0] == lost(others).min()
        assert torch.equal(both.losses / both.params.sqrt(), both.for_size)
