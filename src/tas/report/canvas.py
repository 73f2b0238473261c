"""What all figures share: colours, type, and a canvas that ends as a PNG or SVG file.

The colours are those of Okabe and Ito, which colour-blind readers tell apart; what matters is told
by form as well (hatching, dashes, markers). matplotlib is imported when a figure is drawn, without
pyplot, so that drawing leaves no global state behind and needs no display.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, SKY, GREEN, ORANGE = "#0072B2", "#56B4E9", "#009E73", "#E69F00"
VERMILLION, PINK, INK, GREY, PALE = "#D55E00", "#CC79A7", "#222222", "#8C8C8C", "#D6D6D6"

# One width for all, so that their text has the same size wherever they stand together; and one for
# phones, on which it stays legible.
WIDTH_INCHES, NARROW_INCHES = 9.0, 4.6

_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same picture on every machine
    "font.size": 9,
    "text.usetex": False,
    "text.color": INK,
    "savefig.dpi": 200,
    "savefig.bbox": None,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "grid.color": "#E8E8E8",
    "lines.linewidth": 1.6,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "hatch.linewidth": 0.6,
    "svg.fonttype": "none",  # text stays text: it can be read, searched and coloured
    "svg.hashsalt": "tas",  # the same file from the same figures
}


@contextmanager
def canvas(path: str | Path, height_inches: float, *, narrow: bool = False) -> "Iterator[Figure]":
    """An empty figure, written to ``path`` when the block ends: as SVG if it ends so, else PNG."""
    from matplotlib import style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # After a reset: a user's matplotlibrc must not reach into the figures of a report.
    with style.context(_STYLE, after_reset=True):
        figure = Figure(figsize=(NARROW_INCHES if narrow else WIDTH_INCHES, height_inches))
        figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.07)
        FigureCanvasAgg(figure)
        yield figure
        if Path(path).suffix == ".svg":
            undated = {"Date": None, "Creator": None, "Format": None, "Type": None}
            figure.savefig(path, format="svg", transparent=True, metadata=undated)
        else:
            figure.savefig(path, format="png", facecolor="white")
