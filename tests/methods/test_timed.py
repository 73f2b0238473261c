"""What a search finds at a budget of time is measured, and meets it."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import fake_runtime
import tas
from tas.api.time_budget import bench_of
from tas.costs import Budget
from tas.costs.latency import Latency
from tas.errors import InputError
from tas.methods import Found, PaperOptions, ProbeOptions, TrialOptions, even_widths
from tas.methods.timed import aimed, fill, met
from tas.methods.trials.evolution import evolve, tried
from tas.runs import RunDir
from tas.shape import Shape
from tas.spaces import FINE_RATIOS, resnet_space
from tas.timing import OwnDevice
from tas.training import History

DIGITS = tas.data.load("digits")
SPACE = resnet_space(
    tas.nets.full_shape("resnet20", 10, (1, 8, 8)),
    residual="tied",
    ratios=FINE_RATIOS,
    round_to=None,
)
FAKE = fake_runtime.runtime(8)


def test_a_shape_is_corrected_until_its_time_meets_the_budget() -> None:
    """The device has become slower where nets are narrow: what the table says is off by a fifth."""
    bench = bench_of(SPACE, FAKE)
    fill(bench, nets=24, minutes=1)

    def now(net: nn.Module) -> float:
        took, whole = (
            fake_runtime.seconds(net, 8),
            fake_runtime.seconds(tas.nets.build(SPACE.unpruned), 8),
        )
        return took if took == whole else 1.2 * took

    bench = bench_of(SPACE, OwnDevice(now, "a fake"))
    bench.table.lines += LINES
    unit = Latency(bench.table, SPACE, ("fit", "test"))
    budget = Budget.of(SPACE, 0.6, unit)
    first = even_widths(SPACE, aimed(budget))
    assert first is not None
    found = Found(first, budget, History("search", ()), SPACE, bench.source)
    assert bench.measure(first, "test").ratio > 0.65
    better, line = met(found, budget, bench)
    assert 0.95 * 0.6 <= line.ratio <= 0.6
    assert now(better.derive(inherit=False)) / now(tas.nets.build(SPACE.unpruned)) == pytest.approx(
        line.ratio
    )
    assert better.budget == budget


LINES = []
_bench = bench_of(SPACE, FAKE)
fill(_bench, nets=24, minutes=1)
LINES += _bench.table.lines


def test_the_smallest_shape_is_measured_before_a_budget_is_refused() -> None:
    """By the fit nothing is fast enough: of all the shapes it has seen, none was."""
    smallest = tas.nets.build(SPACE.smallest)
    whole = fake_runtime.seconds(tas.nets.build(SPACE.unpruned), 8)

    def now(net: nn.Module) -> float:
        took = fake_runtime.seconds(net, 8)
        return took if alike(net, smallest) else max(took, 0.95 * whole)

    bench = bench_of(SPACE, OwnDevice(now, "a fake"))
    bench.table.lines += LINES
    budget = Budget.of(SPACE, 0.6, Latency(bench.table, SPACE, ("fit", "test")))
    first = even_widths(SPACE, aimed(budget))
    assert first is not None
    found = Found(first, budget, History("search", ()), SPACE, bench.source)
    better, line = met(found, budget, bench)
    assert line.ratio <= 0.6
    assert alike(better.derive(inherit=False), smallest)


@pytest.mark.parametrize(
    "options",
    [
        TrialOptions(trials=4, batch_size=256),
        ProbeOptions(probes=2, epochs=1, warmup_epochs=0, batch_size=512),
        PaperOptions(epochs=1, warmup_epochs=0, batch_size=512),
    ],
    ids=["trials", "probes", "paper"],
)
def test_every_method_meets_it(options: object) -> None:
    trials = isinstance(options, TrialOptions)
    net = tas.nets.build("resnet20", classes=10, input=(1, 8, 8)) if trials else "resnet20"
    found = tas.search(
        net, DIGITS, 0.7, unit="ms", latency=FAKE, options=options, subset=10, progress=False
    )
    whole = fake_runtime.seconds(tas.nets.build(found.space.unpruned), 8)
    took = fake_runtime.seconds(tas.nets.build(found.shape), 8) / whole
    assert 0.95 * 0.7 <= took <= 0.7


def test_all_limits_hold() -> None:
    net = tas.nets.build("resnet20", classes=10, input=(1, 8, 8))
    found = tas.search(
        net,
        DIGITS,
        0.8,
        limits={"params": 0.4, "macs": "1.5M"},
        options=TrialOptions(trials=4, batch_size=256),
        subset=10,
        progress=False,
    )
    assert found.shape.params <= 0.4 * found.space.unpruned.params
    assert found.shape.macs <= 1_500_000
    with pytest.raises(InputError, match="params"):
        tas.search(net, DIGITS, 0.8, limits={"params": 0.001}, progress=False)


def test_the_table_of_a_run_is_read_and_not_measured_again(tmp_path: Path) -> None:
    asked = []

    def counting(net: nn.Module) -> float:
        asked.append(net)
        return fake_runtime.seconds(net, 8)

    net = tas.nets.build("resnet20", classes=10, input=(1, 8, 8))
    how = {
        "latency": OwnDevice(counting, "a fake"),
        "options": TrialOptions(trials=4, batch_size=256),
        "subset": 10,
        "progress": False,
    }
    out = RunDir.open(tmp_path / "run", {"net": "resnet20"})
    first = tas.search(net, DIGITS, "0.5", unit="ms", out=out, **how)  # type: ignore[arg-type]
    before = len(asked)
    again = tas.search(net, DIGITS, "0.5", unit="ms", out=out, **how)  # type: ignore[arg-type]
    assert len(asked) == before
    assert again.shape == first.shape


def test_where_there_is_no_table() -> None:
    with pytest.raises(InputError, match=r"no latency table 'none\.jsonl'"):
        tas.search("resnet20", DIGITS, "5ms", latency="none.jsonl", progress=False)


def test_a_budget_no_shape_meets_says_the_range() -> None:
    net = tas.nets.build("resnet20", classes=10, input=(1, 8, 8))
    with pytest.raises(tas.InfeasibleBudgetError, match=r"can have .* ms to .* ms"):
        tas.search(net, DIGITS, "0.0001ms", latency=FAKE, progress=False)
    assert torch.get_num_threads() >= 1


def test_where_the_fit_was_off_the_best_of_what_was_asked_is_taken() -> None:
    """And not the nearest shape, of whose answers nothing is known."""
    net = tas.nets.build("resnet20", classes=10, input=(1, 8, 8))
    slow: list[nn.Module] = []

    def now(made: nn.Module) -> float:
        return fake_runtime.seconds(made, 8) * (1.04 if slow and alike(made, slow[0]) else 1.0)

    found = tas.search(
        net,
        budget=0.6,
        batches=[torch.randn(128, 1, 8, 8)],
        unit="ms",
        latency=OwnDevice(now, "a fake"),
        options=TrialOptions(trials=60),
        progress=False,
    )
    bench = bench_of(found.space, OwnDevice(now, "a fake"))
    fill(bench, nets=24, minutes=1)
    budget = Budget.of(found.space, 0.6, Latency(bench.table, found.space, ("fit", "test")))
    assert found.tried is not None
    asked = [
        found.space.shape(state[: len(found.space.widths)], state[len(found.space.widths) :])
        for state in found.tried.states(found.space).tolist()
    ]
    slow.append(found.derive(inherit=False))
    better, line = met(found, budget, bench)
    assert 0.95 * 0.6 <= line.ratio <= 0.6
    assert better.shape.widths != found.shape.widths
    assert better.shape.widths in [shape.widths for shape in asked]


def test_equal_widths_that_use_up_the_budget_are_held_against_what_is_found() -> None:
    """A search aims a little below its budget; equal widths may be just above that."""
    net = tas.nets.build("resnet20", classes=10, input=(1, 8, 8))
    half = tas.nets.build(SPACE.equal(0.5))
    ratio = fake_runtime.seconds(half, 8) / fake_runtime.seconds(net, 8)
    found = tas.search(
        net,
        budget=ratio / 0.995,
        batches=[torch.randn(128, 1, 8, 8)],
        unit="ms",
        latency=FAKE,
        score=lambda cut: float(alike(cut, half)),
        options=TrialOptions(trials=4),
        progress=False,
    )
    assert alike(found.derive(), half)


def alike(a: nn.Module, b: nn.Module) -> bool:
    return [p.shape for p in a.parameters()] == [p.shape for p in b.parameters()]


def six_per_cent_slower(net: nn.Module) -> float:
    took, whole = (fake_runtime.seconds(n, 8) for n in (net, tas.nets.build(SPACE.unpruned)))
    return took if took == whole else 1.06 * took


def lost(shape: Shape) -> float:
    """Of made-up answers: what every width loses, some of them more than others."""
    parts = [
        (1 + number / 10) * math.log2(shape.widths.get(key, 2) / width) ** 2
        for number, (key, width) in enumerate(SPACE.unpruned.widths.items())
    ]
    return sum(parts)


def shape_of(state: list[int]) -> Shape:
    return SPACE.shape(state[: len(SPACE.widths)], state[len(SPACE.widths) :])


def test_where_the_fit_was_off_what_is_as_good_is_taken() -> None:
    """By the losses that are known, though of what was asked only bad shapes meet the budget."""
    bench = bench_of(SPACE, OwnDevice(six_per_cent_slower, "a fake"))
    bench.table.lines += LINES  # of the device when it was faster
    budget = Budget.of(SPACE, 0.6, Latency(bench.table, SPACE, ("fit", "test")))
    generator = torch.Generator().manual_seed(0)

    losses: list[float] = []
    shapes: list[Tensor] = []

    def asked(states: Tensor) -> list[float]:
        shapes.append(states)
        new = [lost(shape_of(state)) for state in states.tolist()]
        losses.extend(new)
        return new

    shape = shape_of(evolve(SPACE, aimed(budget), 120, generator, asked)[0].tolist())
    known = tried(SPACE, torch.cat(shapes), torch.tensor(losses, dtype=torch.float64))
    found = Found(shape, budget, History("search", ()), SPACE, bench.source, tried=known)
    better, line = met(found, budget, bench)
    assert 0.95 * 0.6 <= line.ratio <= 0.6
    assert better.shape.widths != shape.widths
    again = evolve(
        SPACE, replace(aimed(budget), limit=round(0.93 * budget.limit)), 120, generator, asked
    )
    assert lost(better.shape) < 1.25 * lost(shape_of(again[0].tolist()))
