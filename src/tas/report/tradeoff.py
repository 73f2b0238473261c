"""The picture of what accuracy costs: one point for every net."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..typed import checked
from .canvas import BLUE, GREEN, GREY, INK, ORANGE, PINK, VERMILLION, canvas
from .tables import RUNTIMES, SHARES, Row, quantity

# The unpruned net, equal widths and the found net have the colours that they have elsewhere.
_LOOKS = ((GREY, "s"), (GREEN, "^"), (BLUE, "o"), (ORANGE, "D"), (VERMILLION, "v"), (PINK, "P"))


@checked
def tradeoff_figure(
    rows: Sequence[Row],
    path: str | Path,
    *,
    budget: Mapping[str, Any] | None = None,
    narrow: bool = False,
) -> None:
    """Draw accuracy against multiply-adds, and time where it is known of every net.

    Of pictures without labels it is the share of equal answers. Rows without either are left out.

    >>> from tas.report import tradeoff_figure
    >>> rows = [
    ...     {"name": "unpruned", "macs": 40.8e6, "params": 272_282, "accuracy": 92.1},
    ...     {"name": "searched", "macs": 22.4e6, "params": 160_000, "accuracy": 91.5},
    ... ]
    >>> tradeoff_figure(rows, "tradeoff.png")

    Args:
        rows: the nets, the unpruned one first. ``spread`` becomes an error bar.
        path: the file to write, ``.png`` or ``.svg``.
        budget: ``{"unit": "macs", "value": 22.4e6}``, drawn as a line if its unit is MACs.
        narrow: for a phone.

    Raises:
        InputError: no row has an accuracy.
    """
    share = next((s for s in SHARES if any(row.get(s) is not None for row in rows)), None)
    if share is None:
        raise InputError("no net has an accuracy yet: there is nothing to draw")
    from matplotlib.ticker import EngFormatter

    runtime = _timed(rows, share)
    panels = 2 if runtime else 1
    grid = (panels, 1) if narrow else (1, panels)
    height = 2.6 * panels + 0.2 * len(rows) if narrow else 3.8
    with canvas(path, height, narrow=narrow) as figure:
        axes = figure.add_subplot(*grid, 1)
        if budget is not None and budget["unit"] == "macs":
            label = f"budget: {quantity(budget['value'])}"
            axes.axvline(budget["value"], color=INK, lw=0.8, ls=(0, (4, 3)), label=label, zorder=0)
        _points(axes, rows, share, [row["macs"] for row in rows])
        axes.xaxis.set_major_formatter(EngFormatter())
        axes.set_xlabel("MACs of one image")
        axes.set_ylabel(SHARES[share])
        last = axes
        if runtime:
            last = figure.add_subplot(*grid, 2, sharey=axes)
            _points(last, rows, share, [row.get("ms", {}).get(runtime) for row in rows])
            last.set_xlabel(f"ms of one image, {RUNTIMES.get(runtime, runtime)}")
        if narrow:
            figure.legend(*axes.get_legend_handles_labels(), loc="outside lower left")
        else:
            last.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), labelspacing=0.9)


def _timed(rows: Sequence[Row], share: str) -> str | None:
    """The last runtime that every net with a point was timed on."""
    of = [row.get("ms", {}) for row in rows if row.get(share) is not None]
    names = [name for name in of[0] if all(name in ms for ms in of)]
    return names[-1] if names else None


def _points(axes: Any, rows: Sequence[Row], share: str, at: Sequence[float | None]) -> None:
    """A point for every net, at its cost and its share of right or equal answers."""
    for row, cost, (color, marker) in zip(rows, at, cycle(_LOOKS), strict=False):
        height, spread = row.get(share), row.get("spread")
        if height is None or cost is None:
            continue
        axes.errorbar(
            cost,
            height,
            yerr=None if spread is None else [spread],
            color=color,
            fmt=marker,
            ms=8,
            mec="white",  # keeps points apart that nearly coincide
            mew=0.6,
            capsize=4,
            lw=1.4,
            label=f"{row['name']}: {height:.2f}",
        )
    axes.margins(x=0.08, y=0.12)
    lowest, highest = axes.get_ylim()
    if highest - lowest < 1:  # all alike: a point of accuracy around them, not a long axis
        lowest, highest = (lowest + highest) / 2 - 0.5, (lowest + highest) / 2 + 0.5
    axes.set_ylim(lowest, min(highest, 100.2))
    axes.grid()
