"""What a search must not do: exceed its budget, trust noise, end because one training diverged."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import tas
from helpers import images
from tas import nets, recipes
from tas.costs import Budget
from tas.errors import DivergedError, InputError
from tas.methods import OPTIONS, Problem, TrialOptions, equal_widths
from tas.methods.baseline import near_equal, nearest
from tas.methods.trials import method
from tas.runs import RunDir
from tas.spaces import resnet_space, trace
from traced_nets import Mixed, example

SMALL = nets.full_shape("resnet20", 10, (1, 8, 8))


@pytest.mark.parametrize("what", ["width", "depth", "both"])
@pytest.mark.parametrize("residual", ["free", "tied"])
@pytest.mark.parametrize("unit", ["macs", "params"])
def test_equal_widths_meet_every_budget_that_they_can(what: str, residual: str, unit: str) -> None:
    """Whatever is searched: the baseline never costs more than the budget, counted on its net."""
    space = resnet_space(SMALL, what=what, residual=residual)
    lowest, highest = Budget(0, tas.costs.UNITS[unit]).range(space)
    for limit in torch.linspace(lowest / 4, highest, 12).int().tolist():
        budget = Budget(limit, tas.costs.UNITS[unit])
        shape = equal_widths(space, budget)
        assert shape is not None
        counted = nets.measured(shape.replace(macs=None, params=None))
        assert (shape.macs, shape.params) == (counted.macs, counted.params)
        assert getattr(shape, unit) <= limit


def test_where_no_ratio_is_small_enough_there_are_no_equal_widths() -> None:
    """A traced net of which only the depth is searched, and a budget below one channel of each."""
    depth = trace(Mixed(), example(), what="depth")
    budget = Budget(Budget(0).range(depth)[0])
    assert equal_widths(depth, budget) is None
    assert near_equal(depth, budget) is depth
    assert depth.cost(nearest(depth, depth.unpruned, budget, "")) <= budget.limit
    space = resnet_space(SMALL)
    assert equal_widths(space, Budget(100)) is None


def test_a_search_of_depths_alone_goes_without_the_baseline() -> None:
    torch.manual_seed(0)
    net = Mixed()
    options = replace(recipes.quick().inheriting().search, trials=4, batch_size=32)
    data = coloured_digits()
    found = tas.search(net, data, 0.95, what="depth", options=options, progress=False, subset=8)
    assert (found.shape.macs or 0) <= found.budget.limit


def coloured_digits() -> tas.data.Data:
    """The digits in three channels, of the first five classes, as ``Mixed`` takes them."""
    digits = tas.data.load("digits")
    transform = replace(digits.transform, colour="rgb", mean=(0.3,) * 3, std=(0.4,) * 3)

    def part(of: Any) -> Any:
        chosen = (of.labels < 5).nonzero()[:, 0]
        return replace(of.take(chosen), pixels=of.pixels[chosen].expand(-1, 3, -1, -1))

    return replace(
        digits,
        transform=transform,
        class_names=digits.class_names[:5],
        train=part(digits.train),
        test=part(digits.test),
    )


@pytest.mark.parametrize("net", ["traced_nets:Mixed", "resnet20"])
def test_shapes_of_fresh_weights_are_not_tried(net: str) -> None:
    """What they answer is noise, and ranks nothing."""
    with pytest.raises(InputError, match="the search by trials needs trained weights"):
        tas.search(net, coloured_digits(), 0.9, options=TrialOptions(trials=2), progress=False)


def trials(out: RunDir | None = None) -> tas.Found:
    torch.manual_seed(0)
    net = nets.build("resnet20", 10, (1, 8, 8))
    options = replace(
        recipes.quick().inheriting().search, trials=30, batch_size=256, precision="fp32"
    )
    how: dict[str, Any] = {"options": options, "out": out, "progress": False, "subset": 20}
    return tas.search(net, "digits", 0.5, what="width", widths_per="kind", **how)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[tas.Found, list[dict[str, Any]]]:
    """A search by trials, and the lines of its log."""
    out = RunDir.open(tmp_path_factory.mktemp("searched") / "run", {"verb": "search"})
    found = trials(out)
    return found, [line for line in out.log_lines if line["phase"] == "search"]


@pytest.mark.parametrize("damage", ["another generation", "fewer losses", "no states", "text"])
def test_a_generation_in_the_log_counts_for_its_own_shapes_alone(
    tmp_path: Path, searched: tuple[tas.Found, list[dict[str, Any]]], damage: str
) -> None:
    """A line of another search, or a damaged one, is asked anew, and so is what follows it."""
    expected, lines = searched
    assert all(len(line["states"]) == len(line["losses"]) for line in lines)
    changed = [dict(line) for line in lines]
    if damage == "another generation":
        changed[1]["states"] = changed[0]["states"][: len(changed[1]["states"])]
        changed[1]["losses"] = [0.0] * len(changed[1]["losses"])
    elif damage == "fewer losses":
        changed[1]["losses"] = changed[1]["losses"][:-1]
    elif damage == "no states":
        del changed[1]["states"]
    else:
        changed[1]["losses"] = "lost"
    other = RunDir.open(tmp_path / "other", {"verb": "search"})
    other.keep_log("search", changed)
    found = trials(other)
    assert found.shape == expected.shape
    again = [line for line in other.log_lines if line["phase"] == "search"]
    for a, b in zip(again, lines, strict=True):
        assert (a["states"], a["losses"]) == (b["states"], b["losses"])


def diverging(monkeypatch: pytest.MonkeyPatch, which: set[str]) -> None:
    """The trainings of these phases diverge."""
    fit = Problem.fit

    def sometimes(self: Problem, *args: Any, **more: Any) -> Any:
        if more.get("phase") in which:
            raise DivergedError("loss became NaN in epoch 1")
        return fit(self, *args, **more)

    monkeypatch.setattr(Problem, "fit", sometimes)


def probes() -> tas.Found:
    options = replace(recipes.quick().search, epochs=1, probes=4, batch_size=256)
    return tas.search("resnet20", "digits", 0.5, options=options, progress=False, subset=20)


def test_one_probe_that_diverges_does_not_end_the_search(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    diverging(monkeypatch, {"probe-02-of-04"})
    found = probes()
    assert 0.99 * found.budget.limit <= (found.shape.macs or 0) <= found.budget.limit
    assert {line["phase"] for line in found.history.epochs} == {
        f"probe-0{i}-of-04" for i in (1, 3, 4)
    }
    assert "probe-02-of-04 diverged and counts as the worst" in caplog.text
    diverging(monkeypatch, {f"probe-0{i}-of-04" for i in range(1, 5)})
    with pytest.raises(DivergedError, match="all 4 probes diverged: lower --lr"):
        probes()


@pytest.mark.parametrize("which", [1, 2, 3])
def test_of_the_finalists_the_one_that_does_not_diverge_is_taken(
    monkeypatch: pytest.MonkeyPatch, which: int
) -> None:
    """The best shape, the best for its parameters, and equal widths."""
    monkeypatch.setattr(method, "LARGER", 0.0)  # always three of them
    diverging(monkeypatch, {f"final-0{i}-of-03" for i in (1, 2, 3) if i != which})
    found = trials()
    assert found.shape.origin.startswith("equal widths") == (which == 3)
    assert math.isfinite(found.history.last["loss"])


def test_every_method_is_built_by_its_options() -> None:
    for options in OPTIONS:
        method = options().method()
        assert method.options == options()
        assert isinstance(method.name, str)


def test_a_search_leaves_the_net_that_it_is_given() -> None:
    """Its weights, the order of its channels, its mode."""
    torch.manual_seed(0)
    net = nets.build("resnet20", 10, (1, 8, 8))
    before, x = {k: v.clone() for k, v in net.state_dict().items()}, images(2, 1, 8, 8)
    options = replace(recipes.quick().inheriting().search, trials=2, batch_size=256)
    tas.search(net, "digits", 0.5, options=options, progress=False, subset=10)
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())
    assert net.training
    assert isinstance(net, nn.Module)
    assert net(x).shape == (2, 10)
