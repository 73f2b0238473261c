"""The picture of what accuracy costs: one point for every net."""

from collections.abc import Iterator, Mapping, Sequence
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
    budgets: Sequence[Mapping[str, Any]] = (),
    narrow: bool = False,
) -> None:
    """Draw accuracy against multiply-adds, and time where it is known of every net.

    Of pictures without labels it is the share of equal answers. Rows without either are left out;
    those of one ``series`` are joined by a line.

    >>> from tas.report import tradeoff_figure
    >>> rows = [
    ...     {"name": "unpruned", "macs": 40.8e6, "params": 272_282, "accuracy": 92.1},
    ...     {"name": "searched", "macs": 22.4e6, "params": 160_000, "accuracy": 91.5},
    ... ]
    >>> tradeoff_figure(rows, "tradeoff.png")

    Args:
        rows: the nets, the unpruned one first. ``spread`` becomes an error bar.
        path: the file to write, ``.png`` or ``.svg``.
        budgets: each ``{"unit": "macs", "value": 22.4e6}``, drawn as a line if its unit is MACs.
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
        limits = [each["value"] for each in budgets if each["unit"] == "macs"]
        for limit, label in zip(limits, _labels(limits), strict=True):
            axes.axvline(limit, color=INK, lw=0.8, ls=(0, (4, 3)), label=label, zorder=0)
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


def _labels(limits: Sequence[float]) -> list[str | None]:
    """Those of the budgets in the legend: one entry for all."""
    told = "budget: " if len(limits) == 1 else "budgets: "
    return [told + ", ".join(map(quantity, limits)), *[None] * len(limits)][: len(limits)]


def _series(
    rows: Sequence[Row], share: str, at: Sequence[float | None]
) -> Iterator[tuple[str, list[Any]]]:
    """What has one look: its name, and of every net in it cost, share and spread."""
    found: dict[str, list[Any]] = {}
    for row, cost in zip(rows, at, strict=True):
        points = found.setdefault(row.get("series", row["name"]), [])
        height: Any = row.get(share)
        if height is not None and cost is not None:
            points.append((cost, height, row.get("spread")))
    for name, points in found.items():
        yield name, sorted(points, key=lambda point: point[0])


def _timed(rows: Sequence[Row], share: str) -> str | None:
    """The last runtime that every net with a point was timed on."""
    of = [row.get("ms", {}) for row in rows if row.get(share) is not None]
    names = [name for name in of[0] if all(name in ms for ms in of)]
    return names[-1] if names else None


def _points(axes: Any, rows: Sequence[Row], share: str, at: Sequence[float | None]) -> None:
    """A point for every net, at its cost and its share of right or equal answers."""
    looks = cycle(_LOOKS)
    for (name, points), (color, marker) in zip(_series(rows, share, at), looks, strict=False):
        if not points:
            continue
        costs, heights, spreads = zip(*points, strict=True)
        axes.errorbar(
            costs,
            heights,
            yerr=None if None in spreads else spreads,
            color=color,
            fmt=marker if len(points) == 1 else f"{marker}-",
            ms=8,
            mec="white",  # keeps points apart that nearly coincide
            mew=0.6,
            capsize=4,
            lw=1.4,
            label=f"{name}: {heights[0]:.2f}" if len(points) == 1 else name,
        )
    axes.margins(x=0.08, y=0.12)
    lowest, highest = axes.get_ylim()
    if highest - lowest < 1:  # all alike: a point of accuracy around them, not a long axis
        lowest, highest = (lowest + highest) / 2 - 0.5, (lowest + highest) / 2 + 0.5
    axes.set_ylim(lowest, min(highest, 100.2))
    axes.grid()
