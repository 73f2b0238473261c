"""Times as costs: fitted to a fake runtime with steps, kept in a file, exact where the fit is."""

import json
import statistics
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import fake_runtime
import tas
from tas.costs import Budget
from tas.costs.latency import Latency, LatencyTable, Measurement, errors
from tas.errors import InputError
from tas.inherit import Source
from tas.methods.timed import fill, trial_shapes
from tas.space import Space
from tas.spaces import FINE_RATIOS, resnet_space, trace
from tas.timing import OwnDevice
from tas.timing.bench import Bench
from tas.timing.rounds import Time, Timer


class Small(nn.Module):
    """Convolutions of several kinds, a sum, a concatenation, and blocks that may go."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 48, 3, padding=1)
        self.blocks = nn.Sequential(*(Block(48, 96) for _ in range(3)))
        self.left, self.right = nn.Conv2d(48, 64, 1), nn.Conv2d(48, 32, 3, padding=1)
        self.head = nn.Linear(96, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.blocks(self.stem(x).relu())
        x = torch.cat([self.left(x).relu(), self.right(x).relu()], 1)
        return self.head(x.mean((2, 3)))


class Block(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.one = nn.Conv2d(width, inner, 1)
        self.deep = nn.Conv2d(inner, inner, 3, padding=1, groups=inner)
        self.two = nn.Conv2d(inner, width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.two(self.deep(self.one(x).relu()).relu())


def traced() -> Space:
    torch.manual_seed(0)
    return trace(Small(), torch.zeros(1, 3, 8, 8), ratios=FINE_RATIOS)


def own() -> Space:
    shape = tas.nets.full_shape("resnet20", 10, (3, 8, 8))
    return resnet_space(shape, residual="tied", ratios=FINE_RATIOS)


def free() -> Space:
    return resnet_space(tas.nets.full_shape("resnet20", 10, (3, 8, 8)), residual="free")


def bench_of(space: Space, path: Path | None = None, slow: float = 1.0) -> Bench:
    table = LatencyTable.of(space, {"runtime": "a fake"}, path)
    source = Source.of(space, trained=False)
    example = torch.zeros(1, *space.unpruned.input)
    return Bench(space, source, example, fake_runtime.runtime(8, slow=slow), table)


@pytest.mark.parametrize("make", [traced, own, free])
def test_shapes_that_were_not_measured_are_told(make: type) -> None:
    bench = bench_of(space := make())
    fill(bench, nets=45, minutes=10)
    off = sorted(errors(bench.table, space))
    assert len(off) == 15
    assert off[7] < 0.03
    assert off[-1] < 0.10


@pytest.mark.parametrize("make", [traced, own])
def test_an_unpruned_net_that_was_fast_by_chance_shifts_no_other_prediction(make: type) -> None:
    """All ratios are to its time: 6 % less of it makes them 6 % larger, and itself stays 1.
    Sessions differ by 4 % besides."""
    bench = bench_of(space := make())
    fill(bench, nets=45, minutes=10)
    table = LatencyTable.of(space, {"runtime": "a fake"})
    draws = torch.randn(45, generator=torch.Generator().manual_seed(0)).tolist()
    for line, drawn in zip(bench.table.lines, draws, strict=True):
        ratio = line.ratio * 1.06 * (1 + 0.04 * drawn)
        table.add(replace(line, whole=line.whole / 1.06, ratio=ratio))
    unit = Latency(table, space, ("fit",))
    assert unit.seconds(unit.cost(space, space.unpruned)) == pytest.approx(table.whole, rel=1e-6)
    off = []
    for line in table.lines_for("test"):
        shape = space.unpruned.replace(widths=line.widths, depths=line.depths)
        off.append(unit.seconds(unit.cost(space, shape)) / (line.ratio * table.whole) - 1)
    assert abs(statistics.mean(off)) < 0.015


@pytest.mark.parametrize("make", [traced, own])
def test_times_that_are_uncertain_count_less(make: type) -> None:
    """For a while something else kept the machine busy: some shapes took up to twice as long."""
    bench = bench_of(space := make())
    fill(bench, nets=45, minutes=10)

    def median(uncertain: float) -> float:
        table = LatencyTable.of(space, {"runtime": "a fake"})
        for number, line in enumerate(bench.table.lines):
            if line.use == "fit" and number % 4 == 0:
                longer = line.ratio * (1.2 + number % 3 * 0.4)
                line = replace(line, ratio=longer, uncertain=uncertain)
            table.add(line)
        return statistics.median(errors(table, space))

    assert median(0.6) < 0.05 < median(0.0)


@pytest.mark.parametrize("make", [traced, own])
def test_widths_that_leave_the_fast_layouts_are_told(make: type) -> None:
    bench = bench_of(space := make(), slow=2.5)
    fill(bench, nets=60, minutes=10)
    assert statistics.median(errors(bench.table, space)) < 0.05


@pytest.mark.parametrize("make", [traced, own, free])
def test_expected_time_of_one_shape_is_its_time(make: type) -> None:
    bench = bench_of(space := make())
    fill(bench, nets=12, minutes=10)
    unit = Latency(bench.table, space)
    model, n = unit.expected(space, torch.float64), len(space.widths)
    for part in (space, space.within(0.4, 0.8, 1.0)):
        model = unit.expected(part, torch.float64)
        sizes = torch.tensor([len(choice.candidates) for choice in part.choices])
        states = (torch.rand(20, len(sizes)) * sizes).long()
        costs = [unit.cost(part, part.shape(s[:n].tolist(), s[n:].tolist())) for s in states]
        assert model.of_states(states).tolist() == costs
    assert unit.value(unit.cost(space, space.unpruned)) == pytest.approx(1000 * bench.table.whole)


def test_the_expected_time_has_gradients() -> None:
    bench = bench_of(space := traced())
    fill(bench, nets=12, minutes=10)
    model = Latency(bench.table, space).expected(space, torch.float64)
    widths = torch.zeros(len(space.widths), model.columns[0], dtype=torch.float64)
    depths = torch.zeros(len(space.depths), model.columns[1], dtype=torch.float64)
    widths.requires_grad_()
    model(widths.softmax(-1), depths.softmax(-1)).backward()
    assert bool(widths.grad.abs().sum(1).gt(0).all())  # type: ignore[union-attr]


@settings(max_examples=5, deadline=None)
@given(ratio=st.floats(0.4, 0.9))
def test_a_budget_of_time_is_a_budget(ratio: float) -> None:
    unit = Latency(FILLED.table, FILLED.space)
    budget = Budget.of(FILLED.space, ratio, unit)
    shape = tas.methods.even_widths(FILLED.space, budget)
    assert shape is not None
    assert 0.98 * budget.limit <= unit.cost(FILLED.space, shape) <= budget.limit
    ms = unit.value(budget.limit)
    assert Budget.of(FILLED.space, f"{ms}ms", unit).limit == pytest.approx(budget.limit, rel=1e-9)


FILLED = bench_of(traced())
fill(FILLED, nets=30, minutes=10)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("0.0001ms", "can have"),
        ("0.001", "can have"),
        ("8", "ratio above 1"),
        ("8M", "is not a budget"),
        ("-8ms", "is not above 0"),
        ("nanms", "is not a budget"),
    ],
)
def test_budgets_of_time_that_cannot_be(given: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as raised:
        Budget.of(FILLED.space, given, Latency(FILLED.table, FILLED.space))
    assert "ms" in str(raised.value)


def test_a_table_that_was_interrupted_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "table.jsonl"
    space, asked = traced(), 0

    def breaks(net: nn.Module) -> float:
        nonlocal asked
        asked += 1
        if asked == 9:
            raise OSError("the device is gone")
        return fake_runtime.seconds(net, 8)

    broken = bench_of(space, path)
    broken.runtime = OwnDevice(breaks, "a fake")
    with pytest.raises(InputError, match="the device is gone"):
        fill(broken, nets=12, minutes=10)
    kept = LatencyTable.read(path)
    assert len(kept.lines) == 4  # two calls each
    with path.open("a") as file:
        file.write('{"widths": {"stem": 12')  # a process that was killed while it wrote
    fill(bench_of(space, path), nets=12, minutes=10)
    whole = bench_of(space)
    fill(whole, nets=12, minutes=10)
    assert LatencyTable.read(path).lines == whole.table.lines


@pytest.mark.parametrize("use", ["fit", "test", "found"])
def test_a_shape_has_the_median_of_its_sessions(use: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ratios = iter([0.9, 0.50, 0.52, 0.51, 0.8])
    monkeypatch.setattr(OwnDevice, "fewest", 7)
    monkeypatch.setattr(
        "tas.timing.sessions.in_turns",
        lambda *given: [Time(1.0, 0.0), Time(1.0, 0.0, next(ratios))],
    )
    bench = bench_of(space := own())
    assert bench.measure(space.equal(0.5), use).ratio == 0.52


def test_a_slow_session_of_the_unpruned_net_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has as many sessions, which are kept for the next shape."""
    first = [1.2, 1.0, 1.0, 1.0, 1.2, 1.0, 1.0, 1.0, 1.0, 1.0]  # of both nets, in turns
    seconds = iter([*first, *5 * [0.9]])

    def begin() -> Timer:
        took = next(seconds)
        return lambda: took

    monkeypatch.setattr(OwnDevice, "fewest", 7)
    monkeypatch.setattr(OwnDevice, "ready", lambda *given: begin)
    bench = bench_of(space := own())
    assert bench.measure(space.equal(0.5)).ratio == 1.0
    assert bench.measure(space.equal(0.7)).ratio == 0.9


def test_time_that_is_up_ends_a_table() -> None:
    bench, seconds = bench_of(traced()), iter(range(0, 10_000, 50))
    fill(bench, nets=100, minutes=5, clock=lambda: float(next(seconds)))
    assert len(bench.table.lines) == 7


def test_trial_shapes_are_the_same_each_time_and_spread() -> None:
    space = own()
    shapes = trial_shapes(space, 40)
    assert shapes == trial_shapes(space, 40)
    ratios = sorted((shape.macs or 0) / (space.unpruned.macs or 1) for shape in shapes)
    assert ratios[0] < 0.45
    assert ratios[-1] > 0.7


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("[]", "line 2: it holds"),
        ({"sha256": "0" * 16}, "line 2 is not what was written"),
        ("[" * 100_000, "line 2"),
        ("{", "line 2 is not JSON"),
        ('{"widths": {}, "depths": {}}', "line 2: the field 'seconds' is missing"),
        ({"ratio": -1.0}, "line 2: 'ratio' is -1.0, not a number"),
        ({"ratio": float("nan")}, "line 2: 'ratio' is nan, not a number"),
        ({"ratio": "x"}, "line 2: 'ratio' is 'x', not a number"),
        ({"use": "fun"}, "line 2: 'use' is 'fun', not 'fit' or 'test' or 'found'"),
        ({"widths": {"stem": 0}}, r"line 2: 'widths\.stem' is 0, not a whole number from 1"),
        ({"more": 1}, "line 2: unknown field 'more'"),
    ],
)
def test_a_damaged_table_is_told(line: object, said: str, tmp_path: Path) -> None:
    path = tmp_path / "table.jsonl"
    LatencyTable.of(traced(), {"runtime": "a fake"}, path)
    good = Measurement({"stem": 8}, {}, 0.1, 0.2, 0.5).to_dict()
    text = line if isinstance(line, str) else json.dumps({**good, **line})  # type: ignore[dict-item]
    path.write_text(path.read_text() + text + "\n")
    with pytest.raises(InputError, match=said) as raised:
        LatencyTable.read(path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["", "hello\n", '{"format": "tas-shape/1"}\n', "\xff\n"])
def test_what_is_no_table_is_told(text: str, tmp_path: Path) -> None:
    path = tmp_path / "table.jsonl"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match=r"table\.jsonl"):
        LatencyTable.read(path)


def test_a_table_of_another_net_or_runtime_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.jsonl"
    table = LatencyTable.of(traced(), {"runtime": "a fake", "threads": 1}, path)
    with pytest.raises(InputError, match="threads 1, not of a fake, threads 2"):
        LatencyTable.of(traced(), {"runtime": "a fake", "threads": 2}, path)
    with pytest.raises(InputError, match="latency table"):
        table.check(own())
    with pytest.raises(InputError, match="no measurement yet"):
        Latency(table, traced()).cost(traced(), traced().unpruned)
