"""What a row takes, foretold from the rows that are there."""

from collections.abc import Iterable
from statistics import mean

from plan import Item
from rows import Row

__all__ = ["epoch_seconds", "seconds_of"]

# Where nothing of the kind has been measured: in epochs of the teacher.
SEARCH = {"ours": 5.0}
CUT = 0.3
TEST = 0.3  # test and norms of an untrained net
DISTILLED = 1.3  # an epoch of fine-tuning: a smaller net, and the teacher's answers


def epoch_seconds(rows: Iterable[Row], net: str, data: str, pictures: int) -> float | None:
    """Of the teacher's training; from the teacher itself where there is one."""
    own = [r for r in rows if (r.net, r.data, r.pictures) == (net, data, pictures)]
    steps = [r for r in own if r.stage == "steps" and r.epochs and r.teacher_seconds]
    if not steps:
        return None
    trained = [r.teacher_seconds for r in own if r.stage != "steps" and r.teacher_seconds]
    epochs = steps[0].epochs or 1
    return (trained[0] if trained else steps[0].teacher_seconds or 0.0) / epochs


def seconds_of(rows: list[Row], data: str, pictures: int, item: Item) -> float | None:
    """Of an item of the plan, or None where nothing tells.

    As the rows of the same net, stage and method took, at whatever budget; else from an epoch of
    the teacher.
    """
    stage, net, _, method, _ = item
    own = [r for r in rows if (r.net, r.data, r.pictures) == (net, data, pictures)]
    epoch = epoch_seconds(rows, net, data, pictures)
    steps = next((r for r in own if r.stage == "steps"), None)
    if stage == "steps":
        return 20.0
    if epoch is None or steps is None:
        return None
    if stage == "teachers":
        return epoch * (steps.epochs or 1)
    if stage == "untrained":
        alike = [r.search_seconds for r in own if r.method == method and r.search_seconds]
        return (mean(alike) if alike else SEARCH.get(method, CUT) * epoch) + TEST * epoch
    from training_runs import epochs_for
    from zoo import NETS

    rates = len(NETS[net].rates) if stage == "rate" else 1
    alike = [r.tune_seconds for r in own if r.stage == stage and r.tune_seconds]
    epochs = epochs_for(NETS[net].tune_epochs, pictures)
    return rates * (mean(alike) if alike else DISTILLED * epochs * epoch)
