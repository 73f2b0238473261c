"""The methods of the table: each makes a smaller net of a teacher, within a budget.

A method is a function of a ``Task``, and returns a net that is cut and not trained. ``METHODS``
lists them by the names that they have in the table.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn

import tas
from tas import training
from tas.api import search_space
from tas.costs import Budget
from tas.costs.count import count
from tas.data import Augment, Data
from tas.graph import analyse
from tas.inherit import Source
from tas.methods import TrialOptions, equal_widths
from tas.methods.baseline import near_equal
from tas.methods.sampling import states_near
from tas.methods.trials.method import EQUAL
from tas.recipes import quick
from tas.runs import RunDir
from tas.shape import Shape
from tas.space import Space
from tas.training.pictures import few, training_batches

__all__ = ["METHODS", "PICTURES", "RIVALS", "Method", "Task"]

PICTURES = 256  # of a batch by which every method ranks channels


@dataclass(frozen=True)
class Task:
    """A teacher that is to become smaller.

    Attributes:
        budget: a ratio of its multiply-adds.
        precision: in which trials are asked.
        trials: of our search.
        found: what a method has found for the same task, made if it is not there.
        best_rival: name of the Torch-Pruning setting that loses least untrained, on training
            pictures; None: no setting made a net.
        log: directory of what a search writes, from which it goes on.
        notes: what the row is to say of how the net came about.
        spent: seconds that an interrupted search had spent before, of the wall.
    """

    teacher: nn.Module
    data: Data
    budget: float
    seed: int
    precision: str
    trials: int
    found: Callable[[str], nn.Module]
    best_rival: Callable[[], str | None]
    log: Path
    notes: list[str] = field(default_factory=list)
    spent: list[float] = field(default_factory=list)

    @property
    def limit(self) -> float:
        return self.budget * count(self.teacher, self.data.input).macs

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Shuffled and varied batches of training pictures."""
        options = replace(_options(self), batch_size=PICTURES)
        return iter(
            training_batches(self.data, self.data.train, options, Augment(), "auto", 0, self.seed)
        )


@dataclass(frozen=True)
class Method:
    """A way to a smaller net.

    Attributes:
        title: on the page.
        make: from a task to a net.
        draws: another net for every seed; else only its fine-tuning differs.
        ours: cut and compensated by torch-tas.
    """

    title: str
    make: Callable[[Task], nn.Module]
    draws: bool = True
    ours: bool = True


def _options(task: Task) -> TrialOptions:
    how = quick().inheriting().search
    assert isinstance(how, TrialOptions)
    return replace(how, trials=task.trials, precision=task.precision)


def searched(task: Task, **choices: Any) -> nn.Module:
    """The default search; a note says where it ended with equal widths.

    Args:
        choices: what may shrink, where that is not the default.
    """
    directory = RunDir.open(task.log, {"trials": task.trials})
    task.spent.extend(float(line.get("seconds", 0)) for line in directory.log_lines)
    found = tas.search(
        task.teacher,
        task.data,
        task.budget,
        options=_options(task),
        seed=task.seed,
        workers=0,
        out=directory,
        progress=False,
        **choices,
    )
    if found.shape.origin == EQUAL:
        task.notes.append("equal widths")
    return found.derive()


def equal(task: Task) -> nn.Module:
    """Every layer thinned by one ratio."""
    space, source, budget = _ordered(task)
    shape = equal_widths(space, budget)
    if shape is None:
        raise ValueError("no ratio is small enough")
    return source.derive(shape)


def random(task: Task) -> nn.Module:
    """A random shape at the budget, of the part of the space that the search draws from."""
    space, source, budget = _ordered(task)
    near = near_equal(space, budget)
    generator = Generator().manual_seed(task.seed)
    state = states_near(near, budget, 0.99, 1.0, 1, generator)[0].tolist()
    return source.derive(near.shape(state[: len(near.widths)], state[len(near.widths) :]))


def rival(name: str) -> Callable[[Task], nn.Module]:
    """Torch-Pruning by one of its settings."""

    def make(task: Task) -> nn.Module:
        from torch_pruning_settings import GRADIENTS, SETTINGS, pruned

        batches = islice(task.batches(), GRADIENTS)
        return pruned(task.teacher, task.data.input, task.limit, SETTINGS[name], batches)

    return make


def shape_of_rival(task: Task) -> nn.Module:
    """The channels that Torch-Pruning found by its best setting, cut and compensated by us."""
    from torch_pruning_settings import HEADS

    best = task.best_rival()
    if best is None:
        raise ValueError("none of Torch-Pruning's settings made a net")
    task.notes.append(best)
    theirs = task.found(best)
    layers = dict(theirs.named_modules())
    structure = analyse(task.teacher, torch.zeros(1, *task.data.input))
    widths = {}
    for width in structure.widths:
        layer = layers[width.name]
        size = getattr(layer, "out_channels", getattr(layer, "out_features", None))
        if size is None:
            raise ValueError(f"'{width.name}' does not tell its width")
        widths[width.name] = size
    source = Source(task.teacher, structure, cut=True, trained=True)
    source = _in_order(task, source)
    shape = Shape(
        f"{type(task.teacher).__name__}", task.data.classes, task.data.input, "tied", {}, {}
    )
    net = source.derive(shape.replace(net="its:own", widths=widths))
    for path, module in net.named_modules():  # it shrinks heads' sizes where our search drops heads
        if hasattr(module, "qkv"):
            for name in HEADS:
                setattr(module, name, getattr(layers[path], name))
    own, their = count(net, task.data.input).macs, count(theirs, task.data.input).macs
    if own != their:
        raise ValueError(f"its shape has {their} multiply-adds, as widths of ours {own}")
    return net


_CPU = torch.device("cpu")


def _ordered(task: Task) -> tuple[Space, Source, Budget]:
    """The space that is searched by default, and its source with the channels in order."""
    space, source = search_space(task.teacher, task.data, _options(task).method())
    return space, _in_order(task, source), Budget.of(space, task.budget)


def _in_order(task: Task, source: Source) -> Source:
    """A source with its channels in the order in which they are kept."""
    with training.alone(), training.repeatable():
        given = few(task.teacher, list(islice(task.batches(), 8)), _CPU)
        return source.ordered(task.data.input, *given)


RIVALS = {
    "tp-magnitude-local": "magnitude, local",
    "tp-magnitude-global": "magnitude, global",
    "tp-magnitude-isomorphic": "magnitude, isomorphic",
    "tp-magnitude-steps": "magnitude, global, 400 steps",
    "tp-taylor-local": "Taylor, local",
    "tp-taylor-global": "Taylor, global",
    "tp-taylor-isomorphic": "Taylor, isomorphic",
}
METHODS = {
    "equal": Method("equal ratios, by us", equal),
    "random": Method("random, by us", random),
    **{
        name: Method(f"Torch-Pruning: {how}", rival(name), draws="taylor" in name, ours=False)
        for name, how in RIVALS.items()
    },
    "tp-shape": Method("Torch-Pruning's shape, by us", shape_of_rival),
    "ours": Method("searched", searched),
}
