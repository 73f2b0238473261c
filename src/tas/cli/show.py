"""Prints results: tables on the terminal."""

from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from .. import processes
from ..api import Run
from ..report import grid, quantity, table, time_cells, time_notes, timed_rows
from ..shape import Shape
from .text import shown

__all__ = ["print_rows", "print_run", "print_shapes", "print_table"]

console = Console()


def print_rows(rows: Sequence[dict[str, Any]]) -> None:
    """The result as a table on the terminal."""
    console.print(table([{k: v for k, v in row.items() if k != "ms"} for row in rows]))  # type: ignore[misc]
    if any("ms" in row for row in rows):
        print_table(*time_cells(rows))  # type: ignore[arg-type]


def print_table(header: Sequence[str], body: Sequence[Sequence[str]]) -> None:
    """A table of texts."""
    console.print(grid(header, body))


def print_run(run: Run, *, quiet: bool = False) -> None:
    """The result of a finished run, and where its report lies; quiet: its table alone."""
    if not processes.is_first():
        return
    try:
        print_rows(timed_rows(run.result))
        for note in [] if quiet else time_notes(run.result):
            print(f"note: {shown(note)}")
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise run.directory.damaged(error) from None
    page = run.report()
    if not quiet:
        print(f"report: {page}")


def print_shapes(shapes: list[tuple[str, Shape]]) -> None:
    """A list of shapes with their cost and depths."""
    listing = Table("shape", "net", "classes", "MACs", "params", "blocks kept", box=SIMPLE_HEAD)
    for name, shape in shapes:
        assert shape.macs is not None
        assert shape.params is not None
        depths = " ".join(str(depth) for depth in shape.depths.values())
        cost = quantity(shape.macs), quantity(shape.params)
        listing.add_row(name, shape.net, str(shape.classes), *cost, depths)
    console.print(listing)
