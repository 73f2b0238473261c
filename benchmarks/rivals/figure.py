"""The figure of the page: what every method makes of every net at every budget."""

from collections.abc import Sequence
from pathlib import Path

from cells import EQUAL, OURS, RANDOM, SHAPE, Cell, is_rival

from tas.report import canvas as c

__all__ = ["drawn"]


def drawn(of: Sequence[Cell], path: Path) -> None:
    """A dot for every method, a line for every net and budget."""
    marks = {
        OURS: ("searched", "o", c.BLUE),
        SHAPE: ("Torch-Pruning's shape, by us", "D", c.SKY),
        EQUAL: ("equal ratios, by us", "s", c.GREEN),
        RANDOM: ("random, by us", "x", c.GREY),
    }
    with c.canvas(path, 1.1 + 0.34 * len(of)) as figure:
        axes = figure.subplots()
        many = len({cell.pictures for cell in of}) > 1
        told = [cell.on if many else cell.data for cell in of]
        data = [f", {each}" if len({*told}) > 1 else "" for each in told]
        names = [f"{cell.net}{on}, {cell.budget:g}" for cell, on in zip(of, data, strict=True)]
        for at, cell in enumerate(of):
            values = [cell.accuracy(m) for m in cell.rows]
            teacher = cell.teacher.teacher_accuracy or 0.0
            axes.plot([min(values), teacher], [at, at], color=c.PALE, linewidth=1, zorder=1)
            axes.plot(teacher, at, "|", color=c.INK, markersize=12, markeredgewidth=1.6,
                      label=None if at else "teacher")  # fmt: skip
            others = [m for m in cell.rows if is_rival(m) and m != cell.best_rival]
            axes.plot([cell.accuracy(m) for m in others], [at] * len(others), "^", color="none",
                      markeredgecolor=c.ORANGE, markersize=5,
                      label=None if at else "Torch-Pruning, other settings")  # fmt: skip
            if cell.best_rival:
                axes.plot(cell.accuracy(cell.best_rival), at, "^", color=c.VERMILLION, markersize=7,
                          label=None if at else "Torch-Pruning, best setting")  # fmt: skip
            for method in (RANDOM, EQUAL, SHAPE, OURS):
                if cell.has(method):
                    title, form, colour = marks[method]
                    axes.plot(cell.accuracy(method), at, form, color=colour, markersize=6.5,
                              zorder=4, label=None if at else title)  # fmt: skip
        axes.set_yticks(range(len(of)), names)
        axes.set_ylim(len(of) - 0.5, -0.5)
        axes.grid(axis="x")
        axes.set_xlabel("accuracy on the test pictures (%)")
        handles: dict[str, object] = {}
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
        figure.legend(handles.values(), handles.keys(), loc="outside upper left", ncols=4)
