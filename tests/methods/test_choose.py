"""The chosen shape: never over the budget, close below it, and as likely as can be."""

import itertools

import pytest
import torch

from tas import nets
from tas.costs import Budget
from tas.errors import InfeasibleBudgetError
from tas.methods import choose as choose_module
from tas.methods.choose import choose
from tas.space import Space
from tas.spaces import resnet_space


def random_probs(space: Space, seed: int, sharpness: float) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    tables = []
    for choices in (space.widths, space.depths):
        columns = max((len(c.candidates) for c in choices), default=1)
        logits = sharpness * torch.randn(len(choices), columns, generator=generator)
        for row, choice in zip(logits, choices, strict=True):
            row[len(choice.candidates) :] = -torch.inf
        tables.append(logits.softmax(1))
    return tables[0], tables[1]


def score(space: Space, shape: object, probs: tuple[torch.Tensor, torch.Tensor]) -> float:
    total = 0.0
    for table, index in zip(probs, space.indices(shape), strict=True):  # type: ignore[arg-type]
        total += sum(float(row[i].log()) for row, i in zip(table, index, strict=True))
    return total


@pytest.mark.parametrize("net", ["resnet20", "resnet56", "resnet18"])
@pytest.mark.parametrize("residual", ["free", "tied"])
@pytest.mark.parametrize(("budget", "sharpness"), [(0.35, 0.1), (0.55, 3.0), (0.9, 1.0)])
def test_the_budget_is_met_within_one_percent(
    net: str, residual: str, budget: float, sharpness: float
) -> None:
    space = resnet_space(nets.full_shape(net), residual=residual)
    probs = random_probs(space, 0, sharpness)
    absolute = Budget.of(space, budget)
    shape = choose(space, *probs, absolute)
    assert shape.macs is not None
    assert 0.99 * absolute.limit <= shape.macs <= absolute.limit
    assert space.cost(shape) == shape.macs


def test_params_can_be_the_budget() -> None:
    space = resnet_space("resnet20")
    shape = choose(space, *random_probs(space, 0, 1.0), Budget.of(space, 0.4, "params"))
    assert shape.params is not None
    assert 0.99 * 0.4 * 272_282 <= shape.params <= 0.4 * 272_282


def test_small_spaces_are_solved_exactly() -> None:
    space = resnet_space("resnet20", residual="tied", what="depth")
    budget = Budget.of(space, 0.6)
    limit = budget.limit
    for seed in range(5):
        probs = random_probs(space, seed, 2.0)
        shapes = [space.shape([], list(d)) for d in itertools.product(range(3), repeat=3)]
        fitting = [s for s in shapes if space.cost(s) <= limit]
        window = [s for s in fitting if space.cost(s) >= 0.99 * limit]
        # Where the choices are too coarse for that: just below the most expensive that fits.
        dearest = max(map(space.cost, fitting))
        nearest = [s for s in fitting if space.cost(s) >= 0.99 * dearest]
        best = max(score(space, s, probs) for s in window or nearest)
        assert score(space, choose(space, *probs, budget), probs) == pytest.approx(best)


def test_where_the_choices_are_coarse_more_of_them_can_be_asked_for() -> None:
    space = resnet_space("resnet20", residual="tied", what="depth")
    budget = Budget.of(space, 0.6)
    limit = budget.limit
    for seed in range(5):
        probs = random_probs(space, seed, 2.0)
        shapes = [space.shape([], list(d)) for d in itertools.product(range(3), repeat=3)]
        fitting = sorted((s for s in shapes if space.cost(s) <= limit), key=space.cost)
        floor = space.cost(fitting[-4])  # those that cost the same are in or out together
        best = max(score(space, s, probs) for s in fitting if space.cost(s) >= floor)
        found = choose(space, *probs, budget, enough=4)
        assert score(space, found, probs) == pytest.approx(best)


def test_large_spaces_come_close_to_the_exact_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    space = resnet_space("resnet20", residual="tied", ratios=(0.5, 1.0), what="width")
    budget = Budget.of(space, 0.6)
    limit = budget.limit
    gaps = []
    for seed in range(5):
        probs = random_probs(space, seed, 1.0)
        monkeypatch.setattr(choose_module, "EXHAUSTIVE", 10**4)
        exact = choose(space, *probs, budget)
        monkeypatch.setattr(choose_module, "EXHAUSTIVE", 0)
        local = choose(space, *probs, budget)
        if space.cost(local) >= 0.99 * limit:  # else it missed one of very few such shapes
            gaps.append(score(space, exact, probs) - score(space, local, probs))
    assert len(gaps) >= 4
    assert min(gaps) > -1e-6
    # One candidate more or less costs about 1 in score here.
    assert sum(gaps) / len(gaps) < 0.2


def test_an_affordable_most_likely_shape_is_kept() -> None:
    space = resnet_space("resnet20")
    probs = random_probs(space, 3, 5.0)
    likely = space.shape(*(t.argmax(1).tolist() for t in probs))
    assert choose(space, *probs, Budget(space.cost(likely))) == likely


def test_the_ends_of_the_range() -> None:
    space = resnet_space("resnet20")
    probs = random_probs(space, 0, 1.0)
    lowest, highest = Budget(0).range(space)
    assert choose(space, *probs, Budget(highest)).macs >= 0.99 * highest
    assert choose(space, *probs, Budget(lowest)).macs == lowest
    with pytest.raises(InfeasibleBudgetError, match="can have"):
        choose(space, *probs, Budget(lowest - 1))
