"""What a run found, as text and pictures.

Pure functions from plain data (the JSON files of a run directory) to tables, PNG figures and one
self-contained HTML page. Nothing here knows a network or a tensor.
"""

from .comparison import compare
from .history import history_figure
from .page import html
from .shape import shape_figure
from .tables import (
    Row,
    duration,
    grid,
    markdown,
    quantity,
    table,
    time_cells,
    time_notes,
    timed_rows,
)
from .tradeoff import tradeoff_figure

__all__ = [
    "Row",
    "compare",
    "duration",
    "grid",
    "history_figure",
    "html",
    "markdown",
    "quantity",
    "shape_figure",
    "table",
    "time_cells",
    "time_notes",
    "timed_rows",
    "tradeoff_figure",
]
