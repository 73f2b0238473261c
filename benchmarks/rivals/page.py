"""Draws docs/rivals.md and its figures from the table alone.

python benchmarks/rivals/page.py
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

from hours import seconds_of
from rows import TABLE, Row, Rows
from run import BUDGETS, NET_NAMES, TRIALS, TUNED
from run import __doc__ as rules

__all__ = ["Cell", "cells", "written"]

DOCS = Path(__file__).parents[2] / "docs"
OURS, EQUAL, RANDOM, SHAPE = "ours", "equal", "random", "tp-shape"
PICTURE_NOISE = 0.5  # points: the sampling of 10,000 test pictures, where there is one seed
STAGES = {"untrained": "Without fine-tuning", "tuned": "After fine-tuning"}


@dataclass(frozen=True)
class Cell:
    """All methods for one net, data set and budget.

    Attributes:
        rows: by method, of all seeds, those without an error.
    """

    net: str
    data: str
    pictures: int
    budget: float
    rows: dict[str, list[Row]]

    def has(self, method: str) -> bool:
        return bool(self.rows.get(method))

    def accuracy(self, method: str) -> float:
        return mean(row.accuracy or 0.0 for row in self.rows[method])

    def error(self, method: str) -> float | None:
        """The standard error over seeds; None of one seed."""
        values = [row.accuracy or 0.0 for row in self.rows[method]]
        return stdev(values) / len(values) ** 0.5 if len(values) > 1 else None

    def average(self, method: str, of: str) -> float:
        return mean(getattr(row, of) or 0.0 for row in self.rows[method])

    @property
    def teacher(self) -> Row:
        return next(iter(self.rows.values()))[0]

    def lost(self, method: str) -> float:
        """Points below the teacher."""
        return (self.teacher.teacher_accuracy or 0.0) - self.accuracy(method)

    @property
    def best_rival(self) -> str | None:
        """Torch-Pruning's best setting, by the accuracy that is shown."""
        own = [m for m in self.rows if is_rival(m) and self.has(m)]
        return max(own, key=self.accuracy) if own else None

    def noise(self, one: str, other: str) -> float:
        """Standard error of the difference of two methods."""
        errors = [self.error(one), self.error(other)]
        if None in errors:
            return PICTURE_NOISE
        return sum((e or 0.0) ** 2 for e in errors) ** 0.5

    @property
    def ours_is_best(self) -> bool:
        """Best, or within the noise of the best."""
        best = max((m for m in self.rows if self.has(m)), key=self.accuracy)
        gap = self.accuracy(best) - self.accuracy(OURS)
        return best == OURS or gap <= self.noise(OURS, best)

    @property
    def kept(self) -> float | None:
        """Of what Torch-Pruning's best setting loses, the part that ours keeps."""
        rival = self.best_rival
        if rival is None or not self.has(OURS) or self.lost(rival) <= 0:
            return None
        return 1 - self.lost(OURS) / self.lost(rival)


def is_rival(method: str) -> bool:
    return method.startswith("tp-") and method != SHAPE


def cells(rows: Iterable[Row], stage: str) -> list[Cell]:
    """Of one stage, in the order of nets, data sets and budgets."""
    found: dict[tuple[str, str, int, float], dict[str, list[Row]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for row in rows:
        if row.stage == stage and not row.error and row.accuracy is not None:
            found[row.net, row.data, row.pictures, row.budget][row.method].append(row)
    order = {name: number for number, name in enumerate(NET_NAMES)}
    keys = sorted(found, key=lambda k: (k[1], k[2], order.get(k[0], 99), k[0], -k[3]))
    return [Cell(*key, dict(found[key])) for key in keys]


def written(rows: list[Row]) -> str:
    """The page, in Markdown."""
    parts = [HEAD]
    both = {stage: cells(rows, stage) for stage in STAGES}
    parts.append(_verdict(both))
    for stage, title in STAGES.items():
        parts += [f"## {title}", INTRODUCTION[stage]]
        if not both[stage]:
            parts.append("No row has been measured.")
            continue
        parts.append(f"![{title}: accuracy of every method](images/rivals_{stage}.png)")
        parts += [_methods(both[stage]), _shorter(both[stage])]
        parts += ["### Torch-Pruning's settings", _settings(both[stage])]
    parts += ["## What it costs", COST, _cost(both["untrained"])]
    parts += ["## What failed", _failures(rows)]
    parts += ["## Rules", _rules()]
    parts += ["## Nets", _nets(rows)]
    parts += ["## The whole table", _hours(rows)]
    parts.append(_versions(rows))
    return "\n\n".join(part for part in parts if part) + "\n"


def _verdict(both: dict[str, list[Cell]]) -> str:
    lines = ["| | target | without fine-tuning | after fine-tuning |", "|---|---|---|---|"]

    def line(name: str, target: str, of: Callable[[list[Cell]], str]) -> str:
        figures = [of([c for c in both[stage] if c.has(OURS)]) for stage in STAGES]
        return f"| {name} | {target} | {' | '.join(figures)} |"

    def best(of: list[Cell]) -> str:
        wins = sum(cell.ours_is_best for cell in of)
        return f"{wins} of {len(of)} ({100 * wins / len(of):.0f} %)" if of else "-"

    def gap(to: Callable[[Cell], str | None]) -> Callable[[list[Cell]], str]:
        def told(of: list[Cell]) -> str:
            gaps = [c.accuracy(OURS) - c.accuracy(m) for c in of if (m := to(c)) and c.has(m)]
            return (
                f"{mean(gaps):+.2f} points ({min(gaps):+.2f} to {max(gaps):+.2f})" if gaps else "-"
            )

        return told

    def kept(of: list[Cell]) -> str:
        parts = [c.kept for c in of if c.kept is not None]
        enough = sum(part >= 0.5 for part in parts)
        return (
            f"{100 * mean(parts):.0f} % on average; half in {enough} of {len(parts)}"
            if parts
            else "-"
        )

    lines += [
        line("ours is best, or within noise of the best", "90 %", best),
        line("ours above Torch-Pruning's best setting", "+0.5", gap(lambda c: c.best_rival)),
        line("ours above equal ratios", "+0.5", gap(lambda _: EQUAL)),
        line("ours above random shapes", "", gap(lambda _: RANDOM)),
        line("ours above Torch-Pruning's shape, cut by us", "", gap(lambda _: SHAPE)),
        line("of what Torch-Pruning loses ours keeps", "50 % untrained", kept),
    ]
    return "\n".join(lines)


def _methods(of: list[Cell]) -> str:
    lines = [
        "| net | pictures | budget | teacher | searched | equal ratios | random | "
        "Torch-Pruning, best setting | its shape, by us | seeds |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for cell in of:
        shown = {m: _figure(cell, m) for m in (OURS, EQUAL, RANDOM, SHAPE)}
        rival = cell.best_rival
        setting = f"{_figure(cell, rival)} ({rival.removeprefix('tp-')})" if rival else "-"
        seeds = max(len(rows) for rows in cell.rows.values())
        lines.append(
            f"| {cell.net} | {cell.data}, {cell.pictures:,} | {cell.budget:g} | "
            f"{cell.teacher.teacher_accuracy:.2f} | {shown[OURS]} | {shown[EQUAL]} | "
            f"{shown[RANDOM]} | {setting} | {shown[SHAPE]} | {seeds} |"
        )
    return "\n".join(lines)


def _shorter(of: list[Cell]) -> str:
    """What is to be said where our search was shorter than its default, or found nothing."""
    short = [c for c in of if c.has(OURS) and c.rows[OURS][0].trials != TRIALS]
    named = ", ".join(f"{c.net} at {c.budget:g} ({c.rows[OURS][0].trials})" for c in short)
    text = f"Searches of fewer trials than the default's {TRIALS}: {named}. " if named else ""
    even = [f"{c.net} at {c.budget:g}" for c in of if c.has(OURS) and c.rows[OURS][0].note]
    if even:
        text += f"Where the search itself ended with equal widths (seed 0): {', '.join(even)}."
    return text.strip()


def _figure(cell: Cell, method: str) -> str:
    if not cell.has(method):
        return "-"
    error = cell.error(method)
    text = f"{cell.accuracy(method):.2f}" + (f" ± {error:.2f}" if error is not None else "")
    best = max((m for m in cell.rows if cell.has(m)), key=cell.accuracy)
    text = f"**{text}**" if method == best else text
    reached = cell.average(method, "macs_ratio")
    return text if reached >= 0.99 * cell.budget else f"{text} at {reached:.3f}"


def _settings(of: list[Cell]) -> str:
    names = [m for m in _order(of) if is_rival(m)]
    lines = [
        f"| net | budget | {' | '.join(name.removeprefix('tp-') for name in names)} |",
        "|---|---|" + "---|" * len(names),
    ]
    for cell in of:
        figures = [_figure(cell, name) for name in names]
        lines.append(f"| {cell.net} | {cell.budget:g} | {' | '.join(figures)} |")
    return "\n".join(lines)


def _order(of: list[Cell]) -> list[str]:
    from contenders import METHODS

    known = {m for cell in of for m in cell.rows}
    return [m for m in METHODS if m in known]


def _cost(of: list[Cell]) -> str:
    if not of:
        return "No row has been measured."
    lines = [
        "| net | budget | teacher (s) | searched (s) | of the teacher's | trials | "
        "equal ratios (s) | Torch-Pruning, best setting (s) |",
        "|---|---|---|---|---|---|---|---|",
    ]

    def seconds(cell: Cell, method: str | None) -> str:
        known = method is not None and cell.has(method)
        return f"{cell.average(method, 'search_seconds'):.0f}" if known and method else "-"

    for cell in of:
        whole, ratio, trials = cell.teacher.teacher_seconds or 0.0, "-", "-"
        if cell.has(OURS) and whole:
            ratio = f"{100 * cell.average(OURS, 'search_seconds') / whole:.0f} %"
            trials = f"{cell.rows[OURS][0].trials}"
        lines.append(
            f"| {cell.net} | {cell.budget:g} | {whole:.0f} | {seconds(cell, OURS)} | {ratio} | "
            f"{trials} | {seconds(cell, EQUAL)} | {seconds(cell, cell.best_rival)} |"
        )
    return "\n".join(lines)


def _failures(rows: list[Row]) -> str:
    known: dict[tuple[str, str, str], set[float]] = defaultdict(set)
    for row in rows:
        if row.error:
            known[row.net, row.method, row.error].add(row.budget)
    if not known:
        return "Nothing that was tried."
    lines = ["| net | method | budgets | error |", "|---|---|---|---|"]
    for (net, method, error), budgets in sorted(known.items()):
        at = ", ".join(f"{b:g}" for b in sorted(budgets, reverse=True))
        lines.append(f"| {net} | {method} | {at} | {error.replace('|', '/')} |")
    return "\n".join(lines)


def _rules() -> str:
    text = (rules or "").partition("Rules, so that the comparison is fair:")[2]
    return "\n".join(line.strip() if line[:3].strip() else line[1:] for line in _numbered(text))


def _numbered(text: str) -> list[str]:
    """One line for each rule."""
    found: list[str] = []
    for line in text.splitlines():
        head = line.strip().partition(". ")[0]
        if head.isdigit():
            found.append(line.strip())
        elif line.strip():
            found[-1] += f" {line.strip()}"
    return found


def _nets(rows: list[Row]) -> str:
    from zoo import NETS

    lines = [
        "| net | changed for small pictures | teacher: epochs, rate | accuracy (%) | minutes | "
        "fine-tuning: epochs, rate |",
        "|---|---|---|---|---|---|",
    ]
    for name, net in NETS.items():
        own = [row for row in rows if row.net == name]
        trained = next((r for r in own if r.teacher_accuracy is not None), None)
        steps = next((r for r in own if r.stage == "steps"), None)
        rate = next((f"{r.lr:g}" for r in own if r.stage == "tuned" and r.lr), "not chosen yet")
        accuracy = f"{trained.teacher_accuracy:.2f}" if trained else "-"
        seconds = trained or steps
        foretold = "" if trained else "about "
        minutes = f"{foretold}{(seconds.teacher_seconds or 0) / 60:.0f}" if seconds else "-"
        by = "AdamW" if net.adam else "SGD"
        lines.append(
            f"| {name} | {net.changed or '-'} | {net.epochs}, {net.lr:g}, {by} | {accuracy} | "
            f"{minutes} | {net.tune_epochs}, {rate} |"
        )
    return "\n".join(lines)


def _hours(rows: list[Row]) -> str:
    """What all nets take at all budgets, with three seeds, on the first data set."""
    from contenders import METHODS

    steps = [row for row in rows if row.stage == "steps"]
    if not steps:
        return ""
    data, pictures = steps[0].data, steps[0].pictures
    lines = [
        "| net | teacher | without fine-tuning | fine-tuning | hours |",
        "|---|---|---|---|---|",
    ]
    total = 0.0
    for net in NET_NAMES:

        def of(stage: str, budget: float = 0.5, method: str = "", net: str = net) -> float:
            return seconds_of(rows, data, pictures, stage, net, budget, method) or 0.0

        teacher = of("teachers")
        cut = sum(
            of("untrained", budget, name) * (3 if method.draws else 1)
            for budget in BUDGETS
            for name, method in METHODS.items()
        )
        tuned = 4 + TUNED  # methods
        fine = of("rate") + 3 * len(BUDGETS) * tuned * of("tuned")
        hours = (teacher + cut + fine) / 3600
        total += hours
        each = " | ".join(f"{seconds / 3600:.1f}" for seconds in (teacher, cut, fine))
        lines.append(f"| {net} | {each} | {hours:.1f} |")
    lines.append(f"| all | | | | **{total:.0f}** |")
    return "\n".join([WHOLE.format(data=data, pictures=f"{pictures:,}"), "", *lines])


def _versions(rows: list[Row]) -> str:
    known = []
    for name in ("hardware", "torch", "tas", "torch_pruning"):
        values = list(dict.fromkeys(getattr(row, name) for row in rows if getattr(row, name)))
        title = {"tas": "torch-tas", "torch_pruning": "Torch-Pruning"}.get(name, name)
        if values:
            known.append(f"{title} {'; '.join(values)}")
    return f"Measured with: {', '.join(known)}." if known else ""


# Figures


def drawn(of: Sequence[Cell], path: Path) -> None:
    """A dot for every method, a line for every net and budget."""
    from tas.report import canvas as c

    marks = {
        OURS: ("searched", "o", c.BLUE),
        SHAPE: ("Torch-Pruning's shape, by us", "D", c.SKY),
        EQUAL: ("equal ratios, by us", "s", c.GREEN),
        RANDOM: ("random, by us", "x", c.GREY),
    }
    with c.canvas(path, 1.1 + 0.34 * len(of)) as figure:
        axes = figure.subplots()
        names = [f"{cell.net}, {cell.budget:g}" for cell in of]
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


HEAD = """# Beside Torch-Pruning, equal ratios and random shapes

Written by `benchmarks/rivals/page.py` from `benchmarks/rivals/rows.csv`, where every line is one \
measured net. Measured by

    python benchmarks/rivals/run.py --data PATH --work FOLDER

which goes on where it was stopped. The table is **not complete**: what is not here has not been \
measured. Targets stand beside what was reached; where ours is worse, it stands here as well."""

INTRODUCTION = {
    "untrained": """Cut, compensated where it is us who cut, norms measured anew on training \
pictures for every method alike, and tested. No training at all, but for the epoch by which our \
search chooses between its shape and equal ratios; the net that is tested has none of it. Accuracy \
in percent, ± the standard error over seeds where there are several; bold is the best of all. \
Where a net \
reaches less than 99 % of the budget, what it has is said. Where two methods have one seed each \
they count as alike within 0.5 points, which is about the standard error of 10,000 test pictures; \
else within the standard error of their difference.""",
    "tuned": """All methods alike, from the same teacher, with labels and its answers.""",
}
COST = """Seconds of the processor to the net that is cut, the two short trainings at the end of \
our search included."""
WHOLE = """Hours for all nets, three budgets and three seeds on {data} with {pictures} pictures, \
of one thread of the processor that the rows were measured on: foretold from rows where there are \
any, else from a few training steps."""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--out", type=Path, default=DOCS / "rivals.md")
    options = parser.parse_args()
    rows = list(Rows(options.table))
    options.out.write_text(written(rows), encoding="utf-8")
    for stage in STAGES:
        shown = cells(rows, stage)
        if shown:
            (options.out.parent / "images").mkdir(exist_ok=True)
            drawn(shown, options.out.parent / "images" / f"rivals_{stage}.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
