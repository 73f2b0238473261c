"""``tas latency``: how long a net takes."""

import json
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..api.latency import measure
from ..model_options import LatencyOptions
from ..timing import Time
from .text import put, shown

__all__ = ["main"]


def main(options: LatencyOptions) -> None:
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


def _figures(time: Time) -> dict[str, Any]:
    return {
        "ms": time.ms,
        "spread": time.spread,
        "ratio": time.ratio,
        "uncertain": time.uncertain,
        "rounds": time.rounds,
    }
