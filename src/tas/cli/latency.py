"""``tas latency``: how long a net takes."""

import json
import sys
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..api.latency import measure
from ..api.latency_table import latency_table
from ..costs.latency import Measurement
from ..model_options import LatencyOptions
from ..timing import Time
from ..timing.bench import noise_of
from .text import put, shown

__all__ = ["main"]


def main(options: LatencyOptions) -> None:
    if options.what == "table":
        _table(options)
        return
    took = measure(options)
    verdict = took.verdict
    if options.json:
        nets = [{"name": n, **_figures(t)} for n, t in zip(took.names, took.times, strict=True)]
        print(json.dumps({"nets": nets, **took.facts}))
        return
    table = Table("net", box=SIMPLE_HEAD, show_edge=False)
    for name in ("ms", "spread", "rounds"):
        table.add_column(name, justify="right")
    for name, time in zip(took.names, took.times, strict=True):
        spread = f"{100 * time.spread:.1f} %" if time.rounds > 1 else "-"
        table.add_row(Text(shown(name)), f"{time.ms:.3f}", spread, str(time.rounds))
    Console().print(table)
    facts = {k: v for k, v in took.facts.items() if k not in ("runtime", "versions")}
    how = ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in facts.items())
    put(f"{shown(took.facts['runtime'])}{', ' if how else ''}{how}")
    if verdict:
        put(verdict)


def _table(options: LatencyOptions) -> None:
    done = latency_table(options, told=_progress)
    table = done.table
    if options.json:
        figures = {"median": done.median, "worst": done.worst, "tests": len(done.errors)}
        figures["uncertain"] = table.uncertain
        print(json.dumps({"path": str(table.path), "shapes": len(table.lines), **figures}))
        return
    put(
        f"wrote {shown(str(table.path))}: {len(table.lines)} shapes; the unpruned net takes "
        f"{1000 * table.whole:.3f} ms"
    )
    if done.errors:
        put(
            f"on {len(done.errors)} shapes that it was not fitted to, it is off by "
            f"{100 * done.median:.1f} % in the median, and by less than {100 * done.worst:.1f} % "
            "for 95 % of them"
        )
    if noise := noise_of(table):
        put(noise)
    given = f"--net {shown(str(options.net))} --budget 0.5 --unit ms"
    put(f"search by it: tas run --data PATH {given} --latency-table {shown(str(table.path))}")


def _progress(number: int, line: Measurement) -> None:
    if number % 5 == 0:
        print(f"{number} shapes; the last took {line.ratio:.3f} of unpruned", file=sys.stderr)


def _figures(time: Time) -> dict[str, Any]:
    return {
        "ms": time.ms,
        "spread": time.spread,
        "ratio": time.ratio,
        "uncertain": time.uncertain,
        "rounds": time.rounds,
    }
