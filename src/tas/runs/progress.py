"""How far a phase is, for a person to read: one live line on a terminal, else a line per epoch."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from types import TracebackType
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column

from .. import processes
from ..errors import shown
from .stages import current_stages

__all__ = ["PhaseProgress", "is_quiet", "quiet", "quietly", "readable_seconds", "say"]

SHOWN = {  # which figures, under which name, and how
    "loss": "loss {:.3f}",
    "best": "best loss {:.3f}",
    "accuracy": "accuracy {:.1f} %",
    "test_accuracy": "test {:.1f} %",
    "agreement": "equal {:.1f} %",
    "test_agreement": "test {:.1f} %",
    "expected_cost": "cost {:.3g}",
    "used": "cost {:.1f} % of the budget",
    "tau": "tau {:.2f}",
}


class PhaseProgress:
    """A context; says nothing at all with ``enabled=False``.

    Within ``runs.stages.staged`` it says as well which stage of the job this is, and about how much
    time is left for all.

    >>> from tas.runs import PhaseProgress
    >>> with PhaseProgress("teacher", epochs=2, steps_per_epoch=10) as progress:
    ...     for epoch in (1, 2):
    ...         progress.epoch(epoch, {"loss": 2.3 / epoch, "seconds": 0.1})

    Args:
        phase: what is named at the start of the line.
        epochs, steps_per_epoch: of the whole phase.
        done: epochs that are there already, from an earlier run.
        each: what an epoch is called.
    """

    def __init__(
        self,
        phase: str,
        epochs: int,
        steps_per_epoch: int,
        *,
        done: int = 0,
        enabled: bool = True,
        each: str = "epoch",
    ) -> None:
        self.phase = phase
        self.epochs = epochs
        self.steps_per_epoch = steps_per_epoch
        self.first_step = done * steps_per_epoch
        self.enabled = enabled = enabled and not is_quiet()
        self.each = each
        self.started = time.perf_counter()
        self.stages = current_stages()
        if self.stages:
            self.stages.enter(phase, done / epochs if epochs else 1.0)
        console = Console(stderr=True)
        self.live = enabled and console.is_terminal
        self.bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=12),
            TextColumn(each + " {task.fields[epoch]}"),
            TextColumn("[cyan]{task.fields[left]}"),
            # On a narrow terminal it is the last figures that go.
            TextColumn(
                "{task.fields[figures]}  [dim]{task.fields[within]}",
                table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"),
            ),
            expand=True,
            console=console,
            auto_refresh=False,  # a thread of its own would take time from the training
        )
        self.task = self.bar.add_task(
            self.title,
            total=epochs * steps_per_epoch,
            completed=self.first_step,
            epoch=f"{min(done + 1, epochs)}/{epochs}",
            within="",
            figures="",
            left="?",
        )

    def __enter__(self) -> "PhaseProgress":
        if self.live:
            self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.live:
            self.bar.stop()

    def batch(self, epoch: int, done: int, figures: dict[str, float]) -> None:
        """``done`` batches of an epoch (counted from 1) are through."""
        if self.live:
            within = f"batch {done}/{self.steps_per_epoch}"
            self._show(epoch, (epoch - 1) * self.steps_per_epoch + done, within, figures)

    def testing(self, epoch: int, figures: dict[str, float]) -> None:
        """The epoch's training is through, its evaluation begins."""
        if self.live:
            self._show(epoch, epoch * self.steps_per_epoch, "testing", figures)

    def epoch(self, epoch: int, figures: dict[str, float]) -> None:
        """An epoch is through, its evaluation included."""
        step = epoch * self.steps_per_epoch
        if self.live:
            self._show(epoch, step, f"{figures['seconds']:.1f} s/{self.each}", figures)
        elif self.enabled:
            print(
                f"{self.title}  {self.each} {epoch}/{self.epochs}  {_text(figures)}  "
                f"{figures['seconds']:.1f} s  {self._left(step)}",
                file=sys.stderr,
                flush=True,
            )

    def _show(self, epoch: int, step: int, within: str, figures: dict[str, float]) -> None:
        self.bar.update(
            self.task,
            completed=step,
            epoch=f"{epoch}/{self.epochs}",
            within=within,
            figures=_text(figures),
            left=self._left(step),
        )
        self.bar.refresh()

    def _left(self, step: int) -> str:
        """Time to the end of the phase at the pace since it was started or continued, and to the
        end of the job."""
        pace = (time.perf_counter() - self.started) / max(step - self.first_step, 1)
        steps = self.epochs * self.steps_per_epoch
        text = f"{readable_seconds(pace * (steps - step))} left"
        if self.stages:
            self.stages.reach(self.phase, step / steps)
            if (left := self.stages.left()) is not None:
                text += f", {readable_seconds(left)} in all"
        return text

    @property
    def title(self) -> str:
        """What is named at the start of the line."""
        return (self.stages and self.stages.title) or self.phase


def readable_seconds(seconds: float) -> str:
    """``0:07``, ``12:05``, ``3:20:00``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _text(figures: dict[str, float]) -> str:
    return "  ".join(form.format(figures[name]) for name, form in SHOWN.items() if name in figures)


def say(text: str) -> None:
    """Tell the person at the terminal; what is not a result goes to standard error.

    Where it is quiet, only a warning is told.

    >>> from tas.runs import say
    >>> say("writing to runs/mine")
    """
    if processes.is_first() and (not is_quiet() or text.startswith("warning:")):
        print(shown(text), file=sys.stderr)


# Of the whole process, for threads of a run speak as well.
_quiet = [False]


def is_quiet() -> bool:
    """Whether nothing but warnings is to be said.

    >>> from tas.runs import is_quiet
    >>> is_quiet()
    False
    """
    return _quiet[-1]


@contextmanager
def quiet(wanted: bool = True) -> Iterator[None]:
    """Inside, nothing but warnings is said.

    >>> from tas.runs import quiet, say
    >>> with quiet():
    ...     say("nobody hears it")
    """
    _quiet.append(is_quiet() or wanted)
    try:
        yield
    finally:
        _quiet.pop()


Verb = TypeVar("Verb", bound=Callable[..., Any])


def quietly(verb: Verb) -> Verb:
    """A verb that says nothing but warnings where its options, or a change of them, are quiet.

    >>> from tas.runs import quietly, say
    >>> @quietly
    ... def work(options=None, **changes):
    ...     say("nobody hears it")
    >>> work(quiet=True)
    """

    @wraps(verb)
    def call(*given: Any, **named: Any) -> Any:
        options = given[0] if given else named.get("options")
        with quiet(bool(named.get("quiet", getattr(options, "quiet", False)))):
            return verb(*given, **named)

    return call  # type: ignore[return-value]
