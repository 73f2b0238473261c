"""Budgets in milliseconds: what measures, what is known before a search, and what is found."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..costs import Budget
from ..costs.latency import Latency, LatencyTable, Measurement
from ..errors import InputError
from ..forward import Example, described
from ..inherit import Source
from ..methods import Found
from ..methods.timed import aimed, fill, met
from ..runs import say
from ..runs.rundir import TABLE
from ..space import Space
from ..timing import RUNTIMES, Command, OwnDevice, Runtime, runtime_named
from ..timing.bench import Bench, noise_of
from .latency import default_runtime
from .provenance import hardware

__all__ = ["TABLE", "How", "bench_of", "found_within", "is_table", "is_time", "time_unit"]

NETS, MINUTES = 60, 10.0  # of a table that a search measures for itself

How = str | Path | Runtime | Callable[[nn.Module], float] | None


def is_time(budget: Any, unit: str) -> bool:
    """Whether a budget is one of milliseconds."""
    return unit == "ms" or str(budget).strip().lower().endswith("ms")


def is_table(how: How) -> bool:
    """Whether the file of a table says what runs nets."""
    return isinstance(how, Path) or (isinstance(how, str) and how not in RUNTIMES)


def bench_of(
    space: Space, how: How, path: str | Path | None = None, example: Example | None = None
) -> Bench:
    """What measures shapes of a space.

    Args:
        how: the file of a table, which says what runs nets; or the name of a runtime, a runtime, or
            a function ``module -> seconds``.
        path: of a table that is measured now; None: it is kept in memory.
        example: what the nets take, unless it is pictures.
    """
    source = Source.of(space, trained=False)
    given: Any = example or torch.zeros(1, *space.unpruned.image)
    taken = {} if example is None else {"example": described(example.batch)}
    if is_table(how):
        assert isinstance(how, str | Path)
        if not Path(how).is_file():
            raise InputError(
                f"there is no latency table '{how}': make it with `tas latency table --net NET "
                f"--out {how}`, or give one of {', '.join(RUNTIMES)}"
            )
        table = LatencyTable.read(how)
        table.check(space)
        if taken.get("example") != (told := table.facts.get("example")):
            raise InputError(
                f"the latency table '{how}' holds times on {told or 'pictures'}, and here the net "
                f"takes {taken.get('example', 'pictures')}: choose another file"
            )
        return Bench(space, source, given, _runtime_of(table), table)
    if how is None or isinstance(how, str):
        runtime: Runtime = runtime_named(str(how or default_runtime()))
    else:
        assert not isinstance(how, Path)
        runtime = OwnDevice(how) if callable(how) else how
    facts = {**runtime.facts(), **taken, "hardware": hardware()}
    return Bench(space, source, given, runtime, LatencyTable.of(space, facts, path))


def _runtime_of(table: LatencyTable) -> Runtime:
    """What measured a table."""
    facts = dict(table.facts)
    name = str(facts.get("runtime"))
    if name in RUNTIMES:
        names = ("threads", "batch_size", "device", "precision")
        return runtime_named(name, **{key: facts[key] for key in names if key in facts})
    if "{onnx}" in name:
        return Command(name, int(facts.get("batch_size", 1)))
    raise InputError(
        f"the latency table '{table.path}' was measured by {name}, which cannot be asked again "
        "from a file: give the function itself"
    )


def found_within(budget: Budget, bench: Bench | None, find: Callable[[Budget], Found]) -> Found:
    """What a search finds; of a time, with what was measured of it in the budget.

    Args:
        find: the search, within the budget that it is to aim at.
    """
    found = find(aimed(budget))
    if bench is None:
        return found
    found, line = met(found, budget, bench)
    say(f"measured: {1000 * line.ratio * bench.table.whole:.3f} ms, {line.ratio:.3f} of unpruned")
    return found


def progress(number: int, line: Measurement) -> None:
    """Say how far a table is."""
    if number % 10 == 0:
        say(f"measured {number} shapes; the last took {line.ratio:.3f} of the unpruned net's time")


def time_unit(bench: Bench, *, whole: bool) -> Latency:
    """Milliseconds as the unit of budgets, after what it needs was measured.

    Args:
        whole: the table needs no more shapes.
    """
    if not whole:
        say(f"measuring what {NETS} shapes of the net take, or as many as in {MINUTES:g} minutes")
        fill(bench, NETS, MINUTES, progress)
        if noise := noise_of(bench.table):
            say(noise)
    return Latency(bench.table, bench.space, ("fit", "test"))
