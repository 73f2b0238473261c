"""The tables of the page."""

from collections import defaultdict
from collections.abc import Callable
from statistics import mean

from cells import EQUAL, OURS, RANDOM, SHAPE, Cell, is_rival
from contenders import METHODS
from hours import seconds_of
from plan import BUDGETS, NET_NAMES, TRIALS, TUNED, Item
from rows import Row
from training_runs import epochs_for
from zoo import NETS

__all__ = [
    "apart",
    "cost",
    "failures",
    "hours",
    "methods",
    "nets",
    "settings",
    "shorter",
    "verdict",
]

WHOLE = """Hours for all nets, three budgets and three seeds on {data} with {pictures} pictures, \
of one thread of the processor that the rows were measured on: foretold from rows where there are \
any, else from a few training steps."""


def verdict(both: dict[str, list[Cell]]) -> str:
    lines = ["| | target | without fine-tuning | after fine-tuning |", "|---|---|---|---|"]

    def line(name: str, target: str, of: Callable[[list[Cell]], str]) -> str:
        figures = [of([c for c in both[stage] if c.has(OURS)]) for stage in both]
        return f"| {name} | {target} | {' | '.join(figures)} |"

    def gap(to: Callable[[Cell], str | None]) -> Callable[[list[Cell]], str]:
        def told(of: list[Cell]) -> str:
            gaps = _gaps(of, to)
            if not gaps:
                return "-"
            return f"{mean(gaps):+.2f} points ({min(gaps):+.2f} to {max(gaps):+.2f})"

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
        line("ours is best, or within noise of the best", "90 %", _wins),
        line("ours above Torch-Pruning's best setting", "+0.5", gap(_best_rival)),
        line("ours above equal ratios", "+0.5", gap(_equal)),
        line("ours above random shapes", "", gap(lambda _: RANDOM)),
        line("ours above Torch-Pruning's shape, cut by us", "", gap(lambda _: SHAPE)),
        line("of what Torch-Pruning loses ours keeps", "50 % untrained", kept),
    ]
    return "\n".join(lines)


def apart(both: dict[str, list[Cell]]) -> str:
    """The verdict for every data set and budget: a little is cut without loss, and a lot is not."""
    lines = [
        "| pictures | budget | without: best | above Torch-Pruning | above equal ratios | "
        "fine-tuned: best | above Torch-Pruning | above equal ratios |",
        "|---|---|---|---|---|---|---|---|",
    ]
    ours = {stage: [c for c in both[stage] if c.has(OURS)] for stage in both}
    for on, budget in dict.fromkeys((c.on, c.budget) for of in ours.values() for c in of):
        figures = []
        for of in ours.values():
            own = [c for c in of if (c.on, c.budget) == (on, budget)]
            gaps = [_gaps(own, to) for to in (_best_rival, _equal)]
            figures += [_wins(own), *(f"{mean(gap):+.2f}" if gap else "-" for gap in gaps)]
        lines.append(f"| {on} | {budget:g} | {' | '.join(figures)} |")
    return "\n".join(lines)


def _wins(of: list[Cell]) -> str:
    wins = sum(cell.ours_is_best for cell in of)
    return f"{wins} of {len(of)} ({100 * wins / len(of):.0f} %)" if of else "-"


def _gaps(of: list[Cell], to: Callable[[Cell], str | None]) -> list[float]:
    """Points by which ours is above a method."""
    return [c.accuracy(OURS) - c.accuracy(m) for c in of if (m := to(c)) and c.has(m)]


def _best_rival(cell: Cell) -> str | None:
    return cell.best_rival


def _equal(_: Cell) -> str:
    return EQUAL


def methods(of: list[Cell]) -> str:
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
            f"| {cell.net} | {cell.on} | {cell.budget:g} | "
            f"{cell.teacher.teacher_accuracy:.2f} | {shown[OURS]} | {shown[EQUAL]} | "
            f"{shown[RANDOM]} | {setting} | {shown[SHAPE]} | {seeds} |"
        )
    return "\n".join(lines)


def shorter(of: list[Cell]) -> str:
    """What is to be said where our search was shorter than its default, or found nothing."""
    short = [c for c in of if c.has(OURS) and c.rows[OURS][0].trials != TRIALS]
    named = ", ".join(f"{_named(c)} ({c.rows[OURS][0].trials})" for c in short)
    text = f"Searches of fewer trials than the default's {TRIALS}: {named}. " if named else ""
    even = [_named(c) for c in of if c.has(OURS) and c.rows[OURS][0].note]
    if even:
        text += f"Where the search itself ended with equal widths (seed 0): {', '.join(even)}."
    return text.strip()


def _named(cell: Cell) -> str:
    return f"{cell.net} at {cell.budget:g} ({cell.on})"


def _figure(cell: Cell, method: str) -> str:
    if not cell.has(method):
        return "-"
    error = cell.error(method)
    text = f"{cell.accuracy(method):.2f}" + (f" ± {error:.2f}" if error is not None else "")
    best = max((m for m in cell.rows if cell.has(m)), key=cell.accuracy)
    text = f"**{text}**" if method == best else text
    reached = cell.average(method, "macs_ratio")
    return text if reached >= 0.99 * cell.budget else f"{text} at {reached:.3f}"


def settings(of: list[Cell]) -> str:
    names = [m for m in _order(of) if is_rival(m)]
    lines = [
        f"| net | pictures | budget | {' | '.join(name.removeprefix('tp-') for name in names)} |",
        "|---|---|---|" + "---|" * len(names),
    ]
    for cell in of:
        figures = [_figure(cell, name) for name in names]
        lines.append(f"| {cell.net} | {cell.on} | {cell.budget:g} | {' | '.join(figures)} |")
    return "\n".join(lines)


def _order(of: list[Cell]) -> list[str]:
    known = {m for cell in of for m in cell.rows}
    return [m for m in METHODS if m in known]


def cost(of: list[Cell]) -> str:
    if not of:
        return "No row has been measured."
    lines = [
        "| net | pictures | budget | teacher (s) | searched (s) | of the teacher's | trials | "
        "equal ratios (s) | Torch-Pruning, best setting (s) |",
        "|---|---|---|---|---|---|---|---|---|",
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
            f"| {cell.net} | {cell.on} | {cell.budget:g} | {whole:.0f} | "
            f"{seconds(cell, OURS)} | {ratio} | {trials} | {seconds(cell, EQUAL)} | "
            f"{seconds(cell, cell.best_rival)} |"
        )
    return "\n".join(lines)


def failures(rows: list[Row]) -> str:
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


def nets(rows: list[Row]) -> str:
    lines = [
        "| net | changed for small pictures | pictures | teacher: epochs, rate | accuracy (%) | "
        "minutes | fine-tuning: epochs, rate |",
        "|---|---|---|---|---|---|---|",
    ]
    known: dict[tuple[str, str, int], list[Row]] = defaultdict(list)
    for row in rows:
        known[row.net, row.data, row.pictures].append(row)
    for name, data, pictures in sorted(known, key=lambda key: list(NETS).index(key[0])):
        net, own = NETS[name], known[name, data, pictures]
        trained = next((r for r in own if r.teacher_accuracy is not None), None)
        steps = next((r for r in own if r.stage == "steps"), None)
        rate = next((f"{r.lr:g}" for r in own if r.stage == "tuned" and r.lr), "not chosen yet")
        accuracy = f"{trained.teacher_accuracy:.2f}" if trained else "-"
        seconds = trained or steps
        foretold = "" if trained else "about "
        minutes = f"{foretold}{(seconds.teacher_seconds or 0) / 60:.0f}" if seconds else "-"
        by = "AdamW" if net.adam else "SGD"
        lines.append(
            f"| {name} | {net.changed or '-'} | {data}, {pictures:,} | "
            f"{epochs_for(net.epochs, pictures)}, {net.lr:g}, {by} | {accuracy} | {minutes} | "
            f"{epochs_for(net.tune_epochs, pictures)}, {rate} |"
        )
    return "\n".join(lines)


def hours(rows: list[Row]) -> str:
    """What all nets take at all budgets, with three seeds, on the first data set."""
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

        def of(stage: str, method: str = "", net: str = net) -> float:
            return seconds_of(rows, data, pictures, Item(stage, net, method=method)) or 0.0

        teacher = of("teachers")
        cut = len(BUDGETS) * sum(
            of("untrained", name) * (3 if method.draws else 1) for name, method in METHODS.items()
        )
        tuned = 4 + TUNED  # methods
        fine = of("rate") + 3 * len(BUDGETS) * tuned * of("tuned")
        hours = (teacher + cut + fine) / 3600
        total += hours
        each = " | ".join(f"{seconds / 3600:.1f}" for seconds in (teacher, cut, fine))
        lines.append(f"| {net} | {each} | {hours:.1f} |")
    lines.append(f"| all | | | | **{total:.0f}** |")
    return "\n".join([WHOLE.format(data=data, pictures=f"{pictures:,}"), "", *lines])
