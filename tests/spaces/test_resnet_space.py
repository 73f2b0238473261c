"""The space of the ResNets: its cost is the cost of the derived nets, and in expectation too."""

import pytest
import torch

from helpers import random_shape
from tas import nets
from tas.costs import Budget, parse_budget
from tas.costs.count import count
from tas.costs.expected import ExpectedCost
from tas.errors import InfeasibleBudgetError, InputError
from tas.space import Space
from tas.spaces import depth_candidates, resnet_space, width_candidates

SPACES = [
    ("resnet20", "free", "both"),
    ("resnet20", "tied", "both"),
    ("resnet32", "free", "depth"),
    ("resnet20", "tied", "width"),
    ("resnet164", "free", "both"),
    ("resnet164", "tied", "both"),
    ("resnet18", "free", "both"),
    ("resnet50", "tied", "both"),
    ("resnet50", "free", "both"),
]


def space_of(net: str, residual: str, what: str) -> Space:
    large = nets.architecture(net).large_input
    side = 64 if large else 32
    return resnet_space(nets.full_shape(net, 10, (3, side, side)), residual=residual, what=what)


@pytest.mark.parametrize(("net", "residual", "what"), SPACES)
def test_cost_equals_the_derived_net(net: str, residual: str, what: str) -> None:
    space = space_of(net, residual, what)
    for seed in range(3):
        shape = random_shape(space, seed)
        with torch.device("meta"):
            counted = count(nets.build(shape), torch.empty(1, *shape.input))
        assert (shape.macs, shape.params) == (counted.macs, counted.params)
        assert space.cost(shape, "macs") == counted.macs


@pytest.mark.parametrize(("net", "residual", "what"), SPACES)
@pytest.mark.parametrize("unit", ["macs", "params"])
def test_expected_cost_of_one_shape_is_its_cost(
    net: str, residual: str, what: str, unit: str
) -> None:
    space = space_of(net, residual, what)
    model = ExpectedCost(space, unit, torch.float64)
    for seed in range(5):
        shape = random_shape(space, seed)
        hot = one_hot(space, *space.indices(shape))
        assert round(float(model(*hot))) == space.cost(shape, unit)


@pytest.mark.parametrize(
    ("net", "residual", "what"), [("resnet20", "free", "both"), ("resnet20", "tied", "both")]
)
@pytest.mark.parametrize("unit", ["macs", "params"])
def test_expected_cost_is_the_mean_over_samples(
    net: str, residual: str, what: str, unit: str
) -> None:
    space = space_of(net, residual, what)
    probs = [torch.softmax(p * 2, 1) for p in map(torch.randn_like, one_hot(space, *first(space)))]
    expected = float(ExpectedCost(space, unit, torch.float64)(*probs))
    generator = torch.Generator().manual_seed(0)
    draws = [
        torch.multinomial(p, 1000, replacement=True, generator=generator).T.tolist() for p in probs
    ]
    costs = torch.tensor(
        [space.cost(space.shape(w, d), unit) for w, d in zip(*draws, strict=True)],
        dtype=torch.float64,
    )
    standard_error = float(costs.std()) / len(costs) ** 0.5
    assert abs(expected - float(costs.mean())) < 4 * standard_error
    assert standard_error < 0.02 * expected  # or the comparison would mean nothing


def test_pictures_so_small_that_a_pixel_is_left() -> None:
    shape = nets.full_shape("resnet18", 10, (3, 32, 32))
    assert resnet_space(shape).unpruned.macs == nets.measured(shape).macs


def test_a_choice_on_both_sides_counts_its_square() -> None:
    from tas.space import Term, WidthChoice

    base = nets.measured(nets.full_shape("resnet20"))
    space = Space(
        base, base, (WidthChoice("w", (2, 4), ("stem",), ("stem",)),), (), (Term("w", "w", 5, 1),)
    )
    cost = ExpectedCost(space)(torch.tensor([[0.5, 0.5]]), torch.zeros(0, 1))
    assert float(cost) == 5 * (4 + 16) / 2


def test_candidates_are_those_of_the_release() -> None:
    assert width_candidates(16) == (4, 6, 8, 9, 11, 12, 14, 16)
    assert width_candidates(64) == (19, 25, 32, 38, 44, 51, 57, 64)
    assert depth_candidates(nets.architecture("resnet20")) == ((1, 2, 3),) * 3
    assert depth_candidates(nets.architecture("resnet56")) == ((1, 3, 5, 7, 9),) * 3
    assert depth_candidates(nets.architecture("resnet110"))[0] == (*range(1, 18, 2), 18)
    assert depth_candidates(nets.architecture("resnet50")) == (
        (1, 2, 3),
        (1, 2, 4),
        (2, 4, 6),
        (1, 2, 3),
    )


def test_every_published_cifar_shape_is_in_the_space() -> None:
    for name in nets.published():
        if name.startswith("C"):
            shape = nets.read_shape(name)
            space = resnet_space(nets.full_shape(shape.net, shape.classes))
            assert space.cost(shape) == shape.macs
            space.indices(shape)


def test_what_is_searched() -> None:
    width, depth = (space_of("resnet20", "free", w) for w in ("width", "depth"))
    assert (len(width.widths), len(width.depths)) == (19, 0)
    assert (len(depth.widths), len(depth.depths)) == (0, 3)
    tied = space_of("resnet20", "tied", "width")
    assert tied.widths[0].keys == ("stem", *(f"stages.0.{b}.conv2" for b in range(3)))
    assert "stages.1.0.shortcut" in {s for c in tied.widths for s in c.sites}
    wider = resnet_space("resnet20", ratios=(0.5, 1.0, 1.5))
    assert wider.widest.widths["stem"] == 24
    assert wider.unpruned.macs == wider.cost(wider.unpruned) == 40_813_184
    # In free shapes of bottlenecks no projection has a norm, but the unpruned net has one.
    assert resnet_space("resnet164").unpruned.params == 1_703_386


@pytest.mark.parametrize(
    ("given", "budget"),
    [("0.55", 550_000), (0.5, 500_000), ("22.4k", 22_400), ("1.2G", 1_200_000_000), (5e5, 500_000)],
)
def test_budgets(given: str | float, budget: int) -> None:
    assert parse_budget(given, 1_000_000) == budget


@pytest.mark.parametrize("given", ["0", "-0.5", "1.5", "22X", "", "nan", "inf", "abc", "-3M"])
def test_what_is_no_budget_is_quoted(given: str) -> None:
    with pytest.raises(InputError, match=f"'{given}'.*ratio.*22.4M"):
        parse_budget(given, 1_000_000)


def test_an_infeasible_budget_names_the_range() -> None:
    space = space_of("resnet20", "free", "both")
    with pytest.raises(InfeasibleBudgetError) as caught:
        Budget.of(space, 0.01)
    lowest, highest = caught.value.lowest, caught.value.highest
    assert (lowest, highest) == Budget(0).range(space)
    assert "'0.01'" in str(caught.value)
    assert "40.8M" in str(caught.value)
    assert Budget.of(space, str(lowest)).limit == lowest
    with pytest.raises(InfeasibleBudgetError):
        Budget.of(space, "1G")


@pytest.mark.parametrize(
    ("options", "words"),
    [({"what": "widht"}, "did you mean 'width'"), ({"residual": "fre"}, "did you mean 'free'")],
)
def test_unknown_options(options: dict[str, str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        resnet_space("resnet20", **options)


def first(space: Space) -> tuple[list[int], list[int]]:
    return [0] * len(space.widths), [0] * len(space.depths)


def one_hot(space: Space, *indices: list[int]) -> list[torch.Tensor]:
    hot = []
    for choices, index in zip((space.widths, space.depths), indices, strict=True):
        columns = max((len(c.candidates) for c in choices), default=1)
        table = torch.zeros(len(choices), columns, dtype=torch.float64)
        table[torch.arange(len(choices)), index] = 1
        hot.append(table)
    return hot


@pytest.mark.parametrize("net", ["resnet20", "resnet164", "resnet50"])
@pytest.mark.parametrize("residual", ["free", "tied"])
@pytest.mark.parametrize("kinds", [False, True])
def test_a_grouped_space_has_a_width_per_stage_or_kind_and_the_same_costs(
    net: str, residual: str, kinds: bool
) -> None:
    space = resnet_space(net, residual=residual)
    grouped = space.grouped(kinds)
    groups = {(c.candidates, c.group, c.kind if kinds else "") for c in space.widths}
    assert len(grouped.widths) == len(groups) < len(space.widths)
    for seed in range(5):
        shape = random_shape(grouped, seed)
        counted = nets.measured(shape.replace(macs=None, params=None))
        assert (shape.macs, shape.params) == (counted.macs, counted.params)
        assert (space.cost(shape), space.cost(shape, "params")) == (counted.macs, counted.params)


def test_kinds_tell_what_is_added_up_from_what_is_not() -> None:
    grouped = resnet_space("resnet20", residual="tied").grouped(kinds=True)
    assert [(c.name, c.kind) for c in grouped.widths] == [
        ("stem", "stream"),
        ("stages.0.0.conv1", "inner"),
        ("stages.1.0.conv1", "inner"),
        ("stages.1.0.conv2", "stream"),
        ("stages.2.0.conv1", "inner"),
        ("stages.2.0.conv2", "stream"),
    ]
    assert {c.kind for c in resnet_space("resnet20").grouped().widths} == {""}


@pytest.mark.parametrize("grouped", [False, True])
def test_the_part_of_a_space_near_a_width_and_its_costs(grouped: bool) -> None:
    space = resnet_space("resnet20", residual="tied")
    space = (space.grouped() if grouped else space).within(0.55, 0.85, 0.5)
    assert space.widths[0].candidates == (9, 11, 12)  # of 16
    assert all(depth.candidates == (2, 3) for depth in space.depths)
    # Where none is as narrow, the narrowest stays.
    assert resnet_space("resnet20").within(0.1, 0.2, 1).widths[0].candidates == (4,)
    model = ExpectedCost(space, dtype=torch.float64)
    for seed in range(3):
        shape = random_shape(space, seed)
        widths, depths = space.indices(shape)
        assert int(model.of_states(torch.tensor([[*widths, *depths]]))) == shape.macs
        assert count(nets.build(shape), shape.input).macs == shape.macs
