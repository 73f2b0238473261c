"""Draws docs/rivals.md and its figures from the table alone.

python benchmarks/rivals/page.py
"""

import argparse
import sys
from pathlib import Path

import tables
from cells import cells
from figure import drawn
from rows import TABLE, Row, Rows
from run import __doc__ as rules

__all__ = ["written"]

DOCS = Path(__file__).parents[2] / "docs"
STAGES = {"untrained": "Without fine-tuning", "tuned": "After fine-tuning"}

HEAD = """# Beside Torch-Pruning, equal ratios and random shapes

Written by `benchmarks/rivals/page.py` from `benchmarks/rivals/rows.csv`, where every line is one \
measured net. Measured by

    python benchmarks/rivals/run.py --data PATH --work FOLDER

which goes on where it was stopped. The table is **not complete**: what is not here has not been \
measured. Targets stand beside what was reached; where ours is worse, it stands here as well."""

INTRODUCTION = {
    "untrained": """Cut, compensated where it is us who cut, norms measured anew on training \
pictures for every method alike, and tested. No training at all, but for the epochs by which our \
search chooses between its shapes and equal ratios; the net that is tested has none of it. \
Accuracy in percent, ± the standard error over seeds where there are several; bold is the best of \
all. Where a net reaches less than 99 % of the budget, what it has is said. Where two methods have \
one seed each they count as alike within the standard error of an accuracy on 10,000 test \
pictures, 0.5 points at 50 % and 0.3 at 90 %; else within the standard error of their \
difference.""",
    "tuned": """All methods alike, from the same teacher, with labels and its answers.""",
}
APART = """The same for every data set and budget. Where little is cut every method ends near the \
teacher once it is fine-tuned, so that averages depend on what has been measured."""
COST = """Seconds of the processor to the net that is cut, the short trainings at the end of \
our search included."""


def written(rows: list[Row]) -> str:
    """The page, in Markdown."""
    parts = [HEAD]
    both = {stage: cells(rows, stage) for stage in STAGES}
    parts += [tables.verdict(both), APART, tables.apart(both)]
    for stage, title in STAGES.items():
        parts += [f"## {title}", INTRODUCTION[stage]]
        if not both[stage]:
            parts.append("No row has been measured.")
            continue
        parts.append(f"![{title}: accuracy of every method](images/rivals_{stage}.png)")
        parts += [tables.methods(both[stage]), tables.shorter(both[stage])]
        parts += ["### Torch-Pruning's settings", tables.settings(both[stage])]
    parts += ["## What it costs", COST, tables.cost(both["untrained"])]
    parts += ["## What failed", tables.failures(rows)]
    parts += ["## Rules", _rules()]
    parts += ["## Nets", tables.nets(rows)]
    parts += ["## The whole table", tables.hours(rows)]
    parts.append(_versions(rows))
    return "\n\n".join(part for part in parts if part) + "\n"


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


def _versions(rows: list[Row]) -> str:
    known = []
    for name in ("hardware", "torch", "tas", "torch_pruning"):
        values = list(dict.fromkeys(getattr(row, name) for row in rows if getattr(row, name)))
        title = {"tas": "torch-tas", "torch_pruning": "Torch-Pruning"}.get(name, name)
        if values:
            known.append(f"{title} {'; '.join(values)}")
    return f"Measured with: {', '.join(known)}." if known else ""


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
