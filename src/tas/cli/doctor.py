"""``tas doctor``: what can be searched in a net, what is locked and why, and feasible budgets."""

import json
import re
import time
from collections.abc import Iterable
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from .. import nets
from ..costs import Budget, readable
from ..costs.latency import Latency, LatencyTable
from ..forward import example_for
from ..model_options import LatencyOptions
from ..options import DoctorOptions, asked_input
from ..spaces import FINE_RATIOS, TracedSpace, rounding, trace

__all__ = ["main"]

console = Console()
FEW = 4  # candidates, or modules, that are printed; of more, the first and the last


def main(options: DoctorOptions) -> None:
    image = asked_input(options)
    started = time.perf_counter()
    net = nets.read_shape(options.net).net
    shape = nets.full_shape(net, options.classes, image)
    model = nets.build(shape)
    space = trace(
        model,
        example_for(model, shape.image),
        ignore=options.ignore or (),
        only=options.only or (),
        round_to=rounding(options.round_to, options.ratios),
        ratios=FINE_RATIOS if options.ratios is None else options.ratios,
        name=options.net,
    )
    seconds = time.perf_counter() - started
    times = None if options.latency_table is None else _range_ms(space, options)
    if options.json:
        print(json.dumps({**_facts(space, seconds), "range_ms": times}))
        return
    _print(space, seconds, times)


def _facts(space: TracedSpace, seconds: float) -> dict[str, Any]:
    lowest, highest = Budget(0).range(space)
    return {
        "net": space.unpruned.net,
        "input": list(space.unpruned.image),
        "macs": space.unpruned.macs,
        "params": space.unpruned.params,
        "widths": [
            {
                "name": c.name,
                "keys": list(c.keys),
                "layers": list(c.sites),
                "candidates": list(c.candidates),
                "share": round(space.share(c.name), 4),
            }
            for c in space.widths
        ],
        "depths": [{"name": d.name, "candidates": list(d.candidates)} for d in space.depths],
        "locked": [vars(entry) for entry in space.locked],
        "rewrites": [rewrite.to_dict() for rewrite in space.unpruned.rewrites],
        "range": [round(lowest / highest, 4), 1.0],
        "note": space.note,
        "seconds": round(seconds, 2),
    }


def _range_ms(traced: TracedSpace, options: DoctorOptions) -> list[float]:
    """The fastest and the slowest net, in milliseconds, by the latency table."""
    from ..api.latency_table import space_of  # here: without a table nothing waits for it

    assert options.latency_table is not None
    # Our own ResNets are shown as they are traced, and searched in a space of their own.
    own = LatencyOptions(net=options.net, classes=options.classes, input=options.input)
    space = traced if nets.is_named(options.net) else space_of(own)
    unit = Latency(LatencyTable.read(options.latency_table), space)
    return [unit.value(cost) for cost in Budget(0, unit).range(space)]


def _print(space: TracedSpace, seconds: float, times: list[float] | None) -> None:
    full = space.unpruned
    assert full.macs is not None
    size = "x".join(map(str, full.image))
    console.print(
        f"{full.net}, images of {size}: {readable(full.macs)} MACs, "
        f"{readable(full.params or 0)} parameters",
        highlight=False,
    )
    widths = Table("width of", "layers", "candidates", "MACs (%)", box=SIMPLE_HEAD)
    for choice in space.widths:
        share = f"{100 * space.share(choice.name):.1f}"
        widths.add_row(choice.name, str(len(choice.sites)), _few(choice.candidates), share)
    if space.widths:
        console.print(widths)
    depths = Table("depth of", "blocks", "MACs (%)", box=SIMPLE_HEAD)
    for depth in space.depths:
        share = f"{100 * space.share(depth.name):.1f}"
        depths.add_row(depth.name, _few(depth.candidates), share)
    if space.depths:
        console.print(depths)
    locked = Table("locked", "channels", "because", box=SIMPLE_HEAD)
    reasons: dict[tuple[str, int], list[str]] = {}
    for entry in space.locked:
        reasons.setdefault((entry.reason, entry.channels), []).append(entry.layer)
    for (reason, channels), layers in reasons.items():
        locked.add_row(_few(tuple(layers)), str(channels or ""), reason)
    console.print(locked)
    for choice in space.widths:
        if len(choice.keys) > 1:
            others = "; ".join(_kinds(choice.keys[1:]))
            line = f"cut together with {choice.name}: {others}"
            console.print(line, highlight=False, markup=False)
    for line in _kinds(map(str, space.unpruned.rewrites)):
        console.print(f"rewrites {line}", highlight=False, markup=False)
    if space.note:
        print(f"note: {space.note}")
    lowest, highest = Budget(0).range(space)
    print(
        f"budgets from {lowest / highest:.3f} ({readable(lowest)}) to 1 ({readable(highest)} "
        f"MACs) are possible; traced and tested in {seconds:.1f} s"
    )
    if times:
        print(f"budgets from {times[0]:.3f} ms to {times[1]:.3f} ms are possible, by the table")


def _kinds(names: Iterable[str]) -> list[str]:
    """Names, those of alike blocks once."""
    kinds: dict[str, list[str]] = {}
    for name in names:
        kinds.setdefault(re.sub(r"\d+", "*", name), []).append(name)
    return [of[0] + (f" and {len(of) - 1} more like it" if of[1:] else "") for of in kinds.values()]


def _few(values: tuple[Any, ...]) -> str:
    shown = values if len(values) <= 2 * FEW else (*values[:FEW], "...", values[-1])
    return ", ".join(map(str, shown))
