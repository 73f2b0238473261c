"""The picture of how a run went, from the lines of its log."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..typed import checked
from .canvas import BLUE, GREEN, GREY, INK, ORANGE, PINK, SKY, VERMILLION, canvas
from .tables import SHARES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Line = Mapping[str, Any]

_PHASES = {"teacher": GREY, "search": ORANGE, "equal": GREEN, "student": BLUE}
_SHARED = {"probe-": (SKY, "probes"), "final-": (PINK, "final check of the search")}

MS = 1e-12  # of a femtosecond, which costs of time are counted in


@checked
def history_figure(
    lines: Iterable[Line],
    path: str | Path,
    *,
    budget: Mapping[str, Any] | None = None,
    tolerance: float = 0.05,
    narrow: bool = False,
) -> None:
    """Draw accuracy and loss of every phase and, of a search, its cost and how sure it became.

    >>> from tas.report import history_figure
    >>> lines = [{"phase": "teacher", "epoch": n, "loss": 2.3 / n} for n in (1, 2, 3)]
    >>> history_figure(lines, "history.png")

    Args:
        lines: those of ``log.jsonl``, with ``phase``, ``epoch``, and whatever there is of
            ``loss``, ``accuracy``, ``test_accuracy``; of a search also ``expected_cost`` and
            ``likely_cost`` in the budget's unit, ``tau`` and ``entropy`` (mean of the choices, in
            nats). Of an epoch that is there twice, the later line counts.
        path: the file to write, ``.png`` or ``.svg``.
        budget: ``{"unit": "macs", "value": 22.4e6}``, drawn as the band that the search accepts.
        tolerance: the height of that band, as a part of the budget.
        narrow: for a phone.

    Raises:
        InputError: there is no line to draw.
    """
    phases: dict[str, dict[int, Line]] = {}
    for line in lines:
        phases.setdefault(line["phase"], {})[line["epoch"]] = line
    if not phases:
        raise InputError("the log is empty: no epoch has been finished yet")
    runs = {phase: [line for _, line in sorted(of.items())] for phase, of in phases.items()}
    search = runs.get("search", [])

    panels = [partial(_accuracy, runs=runs), partial(_loss, runs=runs)]
    if _points(search, "expected_cost")[0]:
        panels.append(partial(_cost, search=search, budget=budget, tolerance=tolerance))
    if _points(search, "tau")[0]:
        panels.append(partial(_doubt, search=search))
    columns = 1 if narrow else 2
    rows = -(-len(panels) // columns)
    with canvas(path, 2.7 * rows, narrow=narrow) as figure:
        grid = figure.add_gridspec(rows, columns)
        for number, draw in enumerate(panels):
            alone = number == len(panels) - 1 and number % columns == 0
            row, column = divmod(number, columns)
            place = grid[row, :] if alone else grid[row, column]
            axes = figure.add_subplot(place)
            draw(axes)
            axes.set_xlabel("epoch")
            axes.set_xlim(left=0)
            axes.locator_params(axis="x", integer=True)
            axes.grid(axis="y")
            if axes.get_legend_handles_labels()[0]:
                axes.legend()


def _accuracy(axes: "Axes", runs: Mapping[str, Sequence[Line]]) -> None:
    shares = {share for share in SHARES for of in runs.values() for line in of if share in line}
    for phase, (color, label) in _looks(runs).items():
        of_phase = (share for share in SHARES if any(share in line for line in runs[phase]))
        share = next(of_phase, "accuracy")
        tested, trained = (_points(runs[phase], key) for key in (f"test_{share}", share))
        name = None if tested[0] else label  # one entry in the legend for both lines
        _plot(axes, *trained, color=color, ls=(0, (4, 2)), lw=1.0, mfc="white", label=name)
        _plot(axes, *tested, color=color, label=label)
    of = " and ".join(SHARES[share] for share in SHARES if share in shares) or SHARES["accuracy"]
    axes.set_title(f"{of}: test, and training (dashed, or hollow)")


def _loss(axes: "Axes", runs: Mapping[str, Sequence[Line]]) -> None:
    for phase, (color, label) in _looks(runs).items():
        _plot(axes, *_points(runs[phase], "loss"), color=color, label=label)
    axes.set_title("training loss (each phase has its own)")


def _cost(
    axes: "Axes", search: Sequence[Line], budget: Mapping[str, Any] | None, tolerance: float
) -> None:
    from matplotlib.ticker import EngFormatter

    unit, scale = "in the budget's unit", 1.0
    if budget is not None:
        unit = {"macs": "MACs", "params": "parameters"}.get(budget["unit"], budget["unit"])
        scale = MS if unit == "ms" else 1.0
        lowest, highest = budget["value"] * (1 - tolerance), budget["value"]
        label = f"budget, and {100 * tolerance:g} % below"
        axes.axhspan(lowest, highest, color=GREEN, alpha=0.25, lw=0, label=label)
    for key, look in (
        ("likely_cost", {"color": GREY, "lw": 1.0, "label": "most likely shape"}),
        ("expected_cost", {"color": ORANGE, "label": "expected"}),
    ):
        epochs, costs = _points(search, key)
        _plot(axes, epochs, [scale * cost for cost in costs], **look)
    axes.yaxis.set_major_formatter(EngFormatter())
    axes.set_title(f"cost during the search ({unit})")


def _doubt(axes: "Axes", search: Sequence[Line]) -> None:
    _plot(axes, *_points(search, "tau"), color=GREY, ls="--", label="temperature tau")
    _plot(axes, *_points(search, "entropy"), color=ORANGE, label="entropy, mean (nats)")
    axes.set_title("how undecided the search is")
    axes.set_ylim(bottom=0)


def _looks(runs: Mapping[str, Sequence[Line]]) -> dict[str, tuple[str, str | None]]:
    """Colour and legend entry of every phase; trainings of one kind share one."""
    others = cycle((VERMILLION, INK))
    looks: dict[str, tuple[str, str | None]] = {}
    for phase, lines in runs.items():
        kind = next((kind for kind in _SHARED if phase.startswith(kind)), None)
        if kind:
            color, label = _SHARED[kind]
            known = any(name.startswith(kind) for name in looks)
            looks[phase] = color, None if known else label
        else:
            by = " (by generation)" if "losses" in lines[0] else ""
            looks[phase] = _PHASES.get(phase) or next(others), phase + by
    return looks


def _points(lines: Sequence[Line], key: str) -> tuple[list[int], list[Any]]:
    """Epochs and values of the lines that have the key."""
    found = [line for line in lines if line.get(key) is not None]
    return [line["epoch"] for line in found], [line[key] for line in found]


def _plot(axes: "Axes", epochs: Sequence[int], values: Sequence[float], **look: Any) -> None:
    """A line; a dot where there is one epoch only, through which no line could be seen."""
    if epochs:
        axes.plot(epochs, values, marker="o" if len(epochs) == 1 else None, ms=4, **look)
