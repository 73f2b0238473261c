"""The result as text: one row per net, the unpruned net first."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypedDict

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from ..errors import shown
from ..typed import checked

MISSING = "-"
SHARES = {"accuracy": "accuracy (%)", "agreement": "equal (%)"}
RUNTIMES = {"torch": "PyTorch", "onnxruntime": "ONNX"}  # short, for the heads of columns


class _Net(TypedDict):
    name: str
    macs: float  # multiply-adds of one image
    params: float


class Row(_Net, total=False):
    """One net of a result. What was not measured is left out or ``None``.

    >>> from tas.report import Row
    >>> row = Row(name="unpruned", macs=40.8e6, params=272_282, accuracy=92.1, seconds=840.0)

    The first row of a result is the unpruned net: percentages are of its MACs.
    """

    accuracy: float | None  # percent; the mean where there are several runs
    agreement: float | None  # percent of the answers that are the unpruned net's, without labels
    distance: float | None  # divergence of the answers from the unpruned net's
    spread: float | None  # standard deviation over the runs, in points
    runs: int
    series: str  # whose points one line joins, where nets of several budgets are drawn
    seconds: float | None  # wall time that this net took
    ms: dict[str, float]  # milliseconds of one picture, by runtime


def quantity(value: float) -> str:
    """A count with its unit: ``22.4 M`` MACs, ``1.21 G`` MACs, ``0.27 M`` parameters.

    >>> from tas.report import quantity
    >>> quantity(22_400_000), quantity(272_282)
    ('22.4 M', '0.27 M')
    """
    # Millions from a tenth on: the literature writes a ResNet-20 as 0.27 M, not as 272 k.
    for limit, one, unit in ((999.95e6, 1e9, "G"), (1e5, 1e6, "M"), (1e3, 1e3, "k")):
        if value >= limit:
            digits = 1 if value >= 10 * one else 2
            return f"{value / one:.{digits}f} {unit}"
    return f"{value:.0f}"


def duration(seconds: float) -> str:
    """A time as a person says it: ``8.4 s``, ``4 min 05 s``, ``2 h 07 min``.

    >>> from tas.report import duration
    >>> duration(8.4), duration(245), duration(7620)
    ('8.4 s', '4 min 05 s', '2 h 07 min')
    """
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    if seconds < 3599.5:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest:02d} s"
    hours, rest = divmod(round(seconds / 60), 60)
    return f"{hours} h {rest:02d} min"


def cells(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Header and body, as strings. A column that no row has a value for is left out."""
    columns: list[tuple[str, Callable[[Row], str]]] = [
        ("net", lambda row: shown(row["name"])),
        ("MACs", lambda row: quantity(row["macs"])),
        ("MACs (%)", lambda row: f"{100 * row['macs'] / (rows[0]['macs'] or 1):.1f}"),
        ("params", lambda row: quantity(row["params"])),
    ]
    for key, head in SHARES.items():
        if any(row.get(key) is not None for row in rows):
            columns.append((head, partial(_share, key)))
    if any(row.get("distance") is not None for row in rows):
        columns.append(("distance", _distance))
    if any(row.get("runs", 1) > 1 for row in rows):
        columns.append(("runs", lambda row: str(row.get("runs", 1))))
    columns += _times(rows)
    if any(row.get("seconds") is not None for row in rows):
        columns.append(("time", _time))
    return [name for name, _ in columns], [[cell(row) for _, cell in columns] for row in rows]


@checked
def time_cells(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Header and body of the times alone, for a terminal, which has no room for more columns.

    >>> from tas.report.tables import time_cells
    >>> time_cells([{"name": "unpruned", "macs": 4e7, "params": 3e5, "ms": {"torch": 2.5}}])
    (['net', 'ms, PyTorch'], [['unpruned', '2.5']])
    """
    columns: list[tuple[str, Callable[[Row], str]]] = [("net", lambda row: shown(row["name"]))]
    columns += _times(rows)
    return [name for name, _ in columns], [[cell(row) for _, cell in columns] for row in rows]


@checked
def timed_rows(result: Mapping[str, Any]) -> list[Any]:
    """The rows of a result, with the milliseconds that were measured of their nets.

    >>> from tas.report import timed_rows
    >>> rows = [{"name": "unpruned", "macs": 40.8e6, "params": 272_282}]
    >>> timed_rows({"rows": rows, "times": {"ms": {"torch": {"unpruned": 2.5}}}})[0]["ms"]
    {'torch': 2.5}
    """
    times = (result.get("times") or {}).get("ms", {})

    def known(name: str) -> dict[str, float]:
        return {runtime: by[name] for runtime, by in times.items() if name in by}

    return [{**row, "ms": ms} if (ms := known(row["name"])) else row for row in result["rows"]]


@checked
def time_notes(result: Mapping[str, Any]) -> list[str]:
    """How the times of a result were measured, and which nets are not faster, in words.

    >>> from tas.report import time_notes
    >>> time_notes({"times": {"ms": {}, "notes": ["It is not faster."]}})
    ['It is not faster.']
    """
    return list((result.get("times") or {}).get("notes", []))


@checked
def table(rows: Sequence[Row]) -> Table:
    """The result for a terminal: ``rich.print(table(rows))``. The first row is the unpruned net.

    >>> import rich
    >>> from tas.report import table
    >>> rich.print(table([{"name": "unpruned", "macs": 40.8e6, "params": 272_282}]))
     net          MACs   MACs (%)   params
    ───────────────────────────────────────
     unpruned   40.8 M      100.0   0.27 M
    """
    return grid(*cells(rows))


@checked
def grid(header: Sequence[str], body: Sequence[Sequence[str]]) -> Table:
    """A table of texts for a terminal: names on the left, figures on the right.

    >>> import rich
    >>> from tas.report import grid
    >>> rich.print(grid(["net", "ms"], [["unpruned", "1.2"]]))
     net         ms
    ────────────────
     unpruned   1.2
    """
    result = Table(box=SIMPLE_HEAD, show_edge=False)
    for number, name in enumerate(header):
        result.add_column(
            name, justify="right" if number else "left", no_wrap=number > 0, overflow="fold"
        )
    for line in body:
        result.add_row(*map(Text, line))  # Text: a name may hold [brackets], which are no markup
    return result


@checked
def markdown(rows: Sequence[Row]) -> str:
    """The result as a Markdown table. The first row is the unpruned net.

    >>> from tas.report import markdown
    >>> print(markdown([{"name": "unpruned", "macs": 40.8e6, "params": 272_282}]))
    | net | MACs | MACs (%) | params |
    | --- | ---: | ---: | ---: |
    | unpruned | 40.8 M | 100.0 | 0.27 M |
    <BLANKLINE>
    """
    header, body = cells(rows)
    rule = ["---", *["---:"] * (len(header) - 1)]
    escaped = [[cell.replace("|", "\\|") for cell in line] for line in body]
    return "".join(f"| {' | '.join(line)} |\n" for line in [header, rule, *escaped])


def share_of(rows: Sequence[Row]) -> str | None:
    """By which share of their answers nets can be compared: one of ``SHARES`` that two have."""
    counts = {key: sum(row.get(key) is not None for row in rows) for key in SHARES}
    return next((key for key, count in counts.items() if count > 1), None)


def _share(key: str, row: Row) -> str:
    share, spread = row.get(key), row.get("spread")
    if share is None:
        return MISSING
    return f"{share:.2f}" if spread is None else f"{share:.2f} ± {spread:.2f}"


def _distance(row: Row) -> str:
    distance = row.get("distance")
    return MISSING if distance is None else f"{distance:.3g}"


def _times(rows: Sequence[Row]) -> list[tuple[str, Callable[[Row], str]]]:
    """A column for every runtime that some net was timed on."""
    names = dict.fromkeys(name for row in rows for name in row.get("ms", {}))
    return [(f"ms, {RUNTIMES.get(name, name)}", partial(_ms, name)) for name in names]


def _ms(runtime: str, row: Row) -> str:
    ms = row.get("ms", {}).get(runtime)
    return MISSING if ms is None else f"{ms:.3g}" if ms < 100 else f"{ms:.0f}"


def _time(row: Row) -> str:
    seconds = row.get("seconds")
    return MISSING if seconds is None else duration(seconds)
