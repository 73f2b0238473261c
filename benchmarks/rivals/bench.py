"""Measures an item of the plan, and keeps what it made."""

import argparse
import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pictures
import torch
from contenders import METHODS, RIVALS, Task
from hours import seconds_of
from plan import RATE_BUDGET, TUNED, Item
from rows import TABLE, Key, Row, Rows, environment
from training_runs import (
    Teacher,
    clock,
    epochs_for,
    keep,
    seconds_per_picture,
    teacher_file,
    teacher_of,
    tune_epochs,
    tuned,
    untrained,
)
from zoo import NETS

from tas.costs.count import count
from tas.data import Transform

__all__ = ["Bench"]


class Bench:
    """Teachers, cut nets and the table of one data set.

    Args:
        options: of the command; see ``plan.added``.
        say: tells how far it is.
        transform: how the nets take pictures; default: as they are.
    """

    def __init__(
        self,
        options: argparse.Namespace,
        say: Callable[[str], None] = print,
        transform: Transform | None = None,
    ) -> None:
        self.options = options
        self.say = say
        self.rows = Rows(options.table or TABLE)
        if options.again:
            say(f"{self.rows.forget_errors()} rows that ended in an error are tried again")
        self.data = pictures.load(options.data, options.data_dir, options.pictures, transform)
        self.environment = environment(options.threads)
        self.teachers: dict[str, Teacher] = {}

    def done(self, item: Item) -> bool:
        """Whether nothing is left to do for it."""
        if item.stage == "teachers":
            return teacher_file(item.net, self.data, self.options.work).exists()
        if item.stage == "rate":
            return self.rate(item.net) is not None
        if item.stage == "tuned" and not self.is_tuned(item):
            return True
        return self.known(item) is not None

    def do(self, item: Item) -> str:
        """Measure it, and say what came out."""
        if item.stage == "teachers":
            return f"{self.teacher(item.net).accuracy:.2f} %"
        if item.stage == "rate":
            return f"{self.chosen_rate(item.net):g}"
        if item.stage == "steps":
            row = self.steps(item)
            return f"teacher of about {(row.teacher_seconds or 0) / 60:.0f} min"
        row = self.untrained(item) if item.stage == "untrained" else self.tuned(item)
        return row.error or f"{row.accuracy:.2f} % at {row.macs_ratio:.3f}"

    def hours_for(self, items: list[Item]) -> float | None:
        """For what is not done of them, as far as rows and steps tell."""
        known = list(self.rows)
        parts = [
            seconds_of(known, self.data.name, len(self.data.train), item)
            for item in items
            if not self.done(item)
        ]
        told = [part for part in parts if part is not None]
        return sum(told) / 3600 if told else None

    # What is known

    def key(self, item: Item, lr: float = 0.0) -> Key:
        return Row(*self.columns(item), lr=lr).key

    def columns(self, item: Item) -> tuple[str, str, int, float, str, int, str]:
        stage, net, budget, method, seed = item
        return net, self.data.name, len(self.data.train), budget, method, seed, stage

    def known(self, item: Item) -> Row | None:
        """Its row, unless that is of a search of another length."""
        row = self.rows.known.get(self.key(item))
        stale = row is not None and row.method == "ours" and row.trials != self.options.trials
        return None if stale else row

    def add(self, item: Item, **figures: Any) -> Row:
        made = Row(*self.columns(item), **{**self.environment, **figures})
        self.rows.add(made)
        return made

    def place(self, kind: str, net: str, *more: object) -> Path:
        """In the working folder, of a net, the data and what else tells it from others."""
        parts = (kind, net, self.data.name, len(self.data.train), *more)
        return self.options.work / "-".join(map(str, parts))

    def teacher(self, net: str) -> Teacher:
        if net not in self.teachers:  # one at a time
            self.teachers = {net: teacher_of(net, self.data, self.options.work)}
        return self.teachers[net]

    # Nets without training

    def steps(self, item: Item) -> Row:
        epochs = epochs_for(NETS[item.net].epochs, len(self.data.train))
        seconds = seconds_per_picture(item.net, self.data) * len(self.data.train) * epochs
        return self.add(item, teacher_seconds=seconds, epochs=epochs)

    def found(self, net: str, budget: float, method: str, seed: int) -> dict[str, Any]:
        """What a method makes, kept: the net, its seconds and a note."""
        if not METHODS[method].draws:
            seed = 0
        trials = [self.options.trials] if method == "ours" else []
        log = self.place("found", net, f"{budget:g}", method, seed, *trials)
        place = log.with_name(f"{log.name}.pt")
        if place.exists():
            return torch.load(place, weights_only=False)  # of this bench's own making
        task = Task(
            self.teacher(net).net,
            self.data,
            budget,
            seed,
            NETS[net].precision,
            self.options.trials,
            lambda of: self.found(net, budget, of, 0)["net"],
            lambda: self.best_rival(net, budget),
            log,
        )
        started = clock()
        made = METHODS[method].make(task)
        seconds = clock() - started + sum(task.spent)
        kept = {"net": made, "seconds": seconds, "note": " ".join(task.notes)}
        keep(kept, place)
        return kept

    def untrained(self, item: Item) -> Row:
        known = self.known(item)
        if known is not None:
            return known

        def measure() -> dict[str, Any]:
            found = self.found(*item[1:])
            accuracy, loss = untrained(found["net"], self.data, NETS[item.net].precision)
            return {**self.costs(item.net, found), "accuracy": accuracy, "loss": loss}

        return self.measured(item, measure)

    def costs(self, net: str, found: dict[str, Any]) -> dict[str, Any]:
        own = count(found["net"], self.data.input)
        whole = count(self.teacher(net).net, self.data.input)
        return {
            "macs_ratio": own.macs / whole.macs,
            "params_ratio": own.params / whole.params,
            "search_seconds": found["seconds"],
            "note": found["note"],
        }

    def measured(self, item: Item, measure: Callable[[], dict[str, Any]]) -> Row:
        """A row, or one with the error."""
        teacher = self.teacher(item.net)
        known: dict[str, Any] = {
            "teacher_accuracy": teacher.accuracy,
            "teacher_seconds": teacher.seconds,
        }
        if item.method == "ours":
            known["trials"] = self.options.trials
        try:
            return self.add(item, **known, **measure())
        except OSError:  # a full disk, say, is nobody's failure
            raise
        except Exception as error:  # whatever a rival, a net or we ourselves may raise
            text = " ".join(str(error).split())[:120]
            return self.add(item, **known, error=f"{type(error).__name__}: {text}")

    # Fine-tuning

    def best_rivals(self, net: str, budget: float) -> list[str]:
        """Torch-Pruning's settings that made a net, the one of the least loss on training pictures
        first."""
        rows = [self.untrained(Item("untrained", net, budget, name)) for name in RIVALS]
        fit = [row for row in rows if not row.error]
        return [row.method for row in sorted(fit, key=lambda row: row.loss or 0.0)]

    def best_rival(self, net: str, budget: float) -> str | None:
        """The first of them; None: no setting made a net."""
        return next(iter(self.best_rivals(net, budget)), None)

    def is_tuned(self, item: Item) -> bool:
        """Whether a method is fine-tuned: of Torch-Pruning the best settings, and what is named."""
        if self.options.methods is not None or item.method not in RIVALS:
            return True
        untrained = [Item("untrained", item.net, item.budget, name) for name in RIVALS]
        if any(self.known(each) is None for each in untrained):
            return True  # is to be seen
        return item.method in self.best_rivals(item.net, item.budget)[:TUNED]

    def tuned(self, item: Item) -> Row:
        _, net, budget, method, seed = item

        def measure() -> dict[str, Any]:
            lr = self.chosen_rate(net)
            found = self.found(net, budget, method, seed)
            figures = self.costs(net, found)
            out = self.place("tuned", net, budget, method, seed, f"{lr:g}")
            accuracy, seconds = tuned(
                found["net"], self.teacher(net).net, net, self.data, lr, seed, out
            )
            figures |= {"epochs": tune_epochs(net, self.data), "lr": lr}
            return {**figures, "accuracy": accuracy, "tune_seconds": seconds}

        return self.measured(item, measure)

    def rate(self, net: str) -> float | None:
        """That by which equal ratios do best; None before all have been tried."""
        if len(NETS[net].rates) == 1:
            return NETS[net].rates[0]
        item = Item("rate", net, RATE_BUDGET, "equal")
        known = [self.rows.known.get(self.key(item, lr)) for lr in NETS[net].rates]
        tried = [row for row in known if row is not None]
        if len(tried) < len(known):
            return None
        return max(tried, key=lambda row: row.accuracy or 0.0).lr

    def chosen_rate(self, net: str) -> float:
        """The same, after every rate that has not been tried was tried."""
        rate = self.rate(net)
        if rate is not None:
            return rate
        item = Item("rate", net, RATE_BUDGET, "equal")
        data, teacher = pictures.held_out(self.data), self.teacher(net)
        for lr in NETS[net].rates:
            if self.key(item, lr) in self.rows.known:
                continue
            found = self.found(*item[1:])
            out = self.place("rate", net, f"{lr:g}")
            small = copy.deepcopy(found["net"])
            accuracy, seconds = tuned(small, teacher.net, net, data, lr, 0, out)
            row = self.add(
                item,
                accuracy=accuracy,
                tune_seconds=seconds,
                lr=lr,
                epochs=tune_epochs(net, self.data),
                **self.costs(net, found),
            )
            self.say(f"  rate {lr:g}: {row.accuracy:.2f} % of the held-out pictures")
        rate = self.rate(net)
        assert rate is not None
        return rate
