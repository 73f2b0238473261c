"""The one training loop. It counts epochs, reads figures, writes the log and checkpoints; what is
learnt, and by which loss, is the task's.

The weights of the last epoch are the result. Figures on held-out pictures are a report: nothing
here looks at them.
"""

import math
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from torch import Tensor

from .. import processes
from ..checks import word
from ..errors import DivergedError, InputError
from ..runs.progress import PhaseProgress
from ..runs.rundir import RunDir
from ..typed import checked
from . import checkpoint
from .evaluation import Labelled
from .hardware import Device, computing
from .modes import in_training
from .preparing import compiling
from .settings import own_random_numbers
from .tasks import Epochs, Task

__all__ = ["History", "fit"]

READ_EVERY_SECONDS = 1.0  # reading makes the host wait for the device

T = TypeVar("T")


@dataclass(frozen=True)
class History:
    """What a phase left in the log.

    >>> from tas.training import History
    >>> line = {"phase": "train", "epoch": 1, "loss": 2.1, "seconds": 4.0}
    >>> history = History("train", (line, {**line, "epoch": 2, "loss": 1.7}))
    >>> history.last["loss"], history.seconds
    (1.7, 8.0)

    Attributes:
        phase: its name.
        epochs: a line per epoch, as in ``log.jsonl``.
    """

    phase: str
    epochs: tuple[dict[str, Any], ...]

    @property
    def last(self) -> dict[str, Any]:
        """The line of the last epoch, whose weights are the result."""
        return self.epochs[-1]

    @property
    def seconds(self) -> float:
        """Time of all epochs, those of interrupted runs included."""
        return float(sum(line["seconds"] for line in self.epochs))


@checked
def fit(
    task: Task,
    batches: Epochs[T],
    *,
    phase: str | None = None,
    out: RunDir | None = None,
    evaluate_on: Labelled | None = None,
    evaluate_every: int = 1,
    device: Device = "auto",
    seed: int = 0,
    progress: bool = True,
) -> History:
    """Train a task's module in place, for ``task.options.epochs`` epochs.

    >>> import tas
    >>> from tas.training import Classification, TrainOptions, fit
    >>> data = tas.data.load("digits")
    >>> net = tas.nets.build("resnet20", classes=data.classes, input=data.input)
    >>> train, test = (
    ...     tas.data.batches(data, part, 64, augment=None, device="cpu", shuffle=True)
    ...     for part in (data.train, data.test)
    ... )
    >>> task = Classification(net, TrainOptions(epochs=1, warmup_epochs=0))
    >>> history = fit(task, train, evaluate_on=test, device="cpu", progress=False)
    >>> {"loss", "accuracy", "test_loss", "test_accuracy"} <= set(history.last)
    True

    With ``out``, every epoch leaves a line in the log and a checkpoint, from which the same call
    continues, on any number of processes; an interrupted training ends bit for bit like an
    uninterrupted one on as many. A phase that is done is read back and not trained again.

    What is frozen stays so, bit for bit: parameters that take no gradient, and modules in
    evaluation mode within a net in training mode, the usual way to freeze norms. A net that is
    itself in evaluation mode was only used last, and all of it is trained. Afterwards each module
    is in the mode in which it was, and so are PyTorch's generators and settings, which are the
    training's own meanwhile.

    Args:
        batches: what ``task.step`` takes, pictures on any device.
        phase: its name in the log, the checkpoints and the progress line; default: the task's.
        evaluate_on: held-out batches, a report in the log under ``test_...``; never used to choose.
        evaluate_every: in epochs, 0 for never before the end; the last epoch always is.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
        seed: of Gumbel noise, dropout and the like; batches have a seed of their own.
        progress: show a line with the time left.

    Raises:
        DivergedError: the loss or a weight became NaN or infinite; the last good checkpoint stays.
        InputError: there is no batch, no such device, or ``out`` holds another training.
    """
    if phase is not None:
        word("phase", phase)
    epochs, steps = task.options.epochs, len(batches)
    if steps == 0:
        raise InputError("there are fewer pictures to train on than in a batch: lower --batch-size")
    plan = checkpoint.Plan(phase or task.name, epochs, steps, seed)
    tests = None if evaluate_on is None else _Tests(evaluate_on, evaluate_every)
    shown = progress and processes.is_first()
    with ExitStack() as ours:
        accelerator = ours.enter_context(computing(device, task.options.precision))
        seed_with = ours.enter_context(own_random_numbers(accelerator.device))
        task.start(accelerator, epochs * steps, seed)
        ours.callback(task.stop)
        record = _Record(task, plan, out, accelerator)
        with record.advising_if_diverged():
            done = record.read_back()
            with PhaseProgress(plan.phase, epochs, steps, done=done, enabled=shown) as bar:
                for epoch in range(done + 1, epochs + 1):
                    seed_with(_seed_of(epoch, plan, accelerator.process_index))
                    figures = _epoch(task, batches, epoch, plan, tests, accelerator, bar)
                    record.keep(epoch, figures)
                    bar.epoch(epoch, figures)
    return History(plan.phase, tuple(record.lines))


@dataclass(frozen=True)
class _Tests:
    """Held-out batches, and in epochs how often they are asked."""

    batches: Labelled
    every: int

    def due(self, epoch: int, epochs: int) -> bool:
        return epoch == epochs or (self.every > 0 and epoch % self.every == 0)


class _Record:
    """What a phase leaves, on the disk if that is asked for: per epoch a line and a checkpoint."""

    def __init__(
        self, task: Task, plan: checkpoint.Plan, out: RunDir | None, accelerator: Accelerator
    ) -> None:
        self.lines: list[dict[str, Any]] = []
        self._task = task
        self._plan = plan
        self._accelerator = accelerator
        self._folder = out.checkpoint(plan.phase) if out else None
        self._log = out if accelerator.is_main_process else None

    def read_back(self) -> int:
        """Take up the training where it stopped; the number of epochs that are done."""
        newest = None
        if folder := self._folder:
            # A shared disk may show it to one process before another.
            apart = self._accelerator.num_processes == 1
            newest = (
                checkpoint.latest(folder)
                if apart
                else processes.by_first(lambda: checkpoint.latest(folder))
            )
        if newest:
            self.lines = checkpoint.load(newest, self._plan, self._task.parts())
            self._accelerator.wait_for_everyone()  # before the first process writes the next one
            if self._folder and self._accelerator.is_main_process:
                checkpoint.tidy(self._folder)  # the last run may have been killed before it had
        if self._log:  # a line may have been written without its checkpoint
            self._log.keep_log(self._plan.phase, self.lines)
            # Here and not with each checkpoint: a directory that was removed is to be missed.
            self._log.checkpoint(self._plan.phase).mkdir(parents=True, exist_ok=True)
        return len(self.lines)

    def keep(self, epoch: int, figures: dict[str, float]) -> None:
        """Write down an epoch and what it led to."""
        plan = self._plan
        self.lines.append({"phase": plan.phase, "epoch": epoch, "epochs": plan.epochs, **figures})
        if self._folder:
            parts = self._task.parts()
            checkpoint.save(self._accelerator, self._folder, plan, self.lines, parts)
        if self._log:
            self._log.log(self.lines[-1])

    @contextmanager
    def advising_if_diverged(self) -> Iterator[None]:
        try:
            yield
        except DivergedError as error:
            raise DivergedError(f"{error}{_advice(self._task, self._folder)}") from None


def _seed_of(epoch: int, plan: checkpoint.Plan, process: int) -> int:
    """Every epoch starts from a seed of its own, so that no generator's state need be saved."""
    return ((plan.seed * 1_000_003 + epoch) * 4099 + process) % 2**63


def _epoch(
    task: Task,
    batches: Epochs[T],
    epoch: int,
    plan: checkpoint.Plan,
    tests: _Tests | None,
    accelerator: Accelerator,
    bar: PhaseProgress,
) -> dict[str, float]:
    """Train for an epoch, and test if that is due; the figures of both, and the time."""
    started = time.perf_counter()
    with in_training(task.module):
        with compiling(task.options.compile):
            figures = _train(task, batches, epoch, plan, accelerator, bar)
        figures |= task.end_epoch()
    _check_weights(task, epoch)
    if tests is not None and tests.due(epoch, plan.epochs):
        bar.testing(epoch, figures)
        found = task.evaluate(tests.batches)
        figures |= {f"test_{name}": value for name, value in found.items()}
    return {"seconds": time.perf_counter() - started, **figures}


def _train(
    task: Task,
    batches: Epochs[T],
    epoch: int,
    plan: checkpoint.Plan,
    accelerator: Accelerator,
    bar: PhaseProgress,
) -> dict[str, float]:
    """One pass over the batches; the means of the step's figures over all pictures."""
    batches.set_epoch(epoch - 1)
    meter = _Meter()
    read = time.perf_counter()
    for index, batch in enumerate(batches):
        meter.add(*task.step(batch, (epoch - 1) * plan.steps_per_epoch + index))
        if time.perf_counter() - read > READ_EVERY_SECONDS:
            figures = meter.means()
            if accelerator.num_processes == 1:  # others would wait for a process that stops here
                _check_figures(figures, epoch)
            bar.batch(epoch, index + 1, figures)
            read = time.perf_counter()
    figures = meter.means(accelerator)
    _check_figures(figures, epoch)
    return figures


class _Meter:
    """Means of the figures of many steps, weighted by pictures; on the device until read."""

    def __init__(self) -> None:
        self.pictures = 0
        self.sums: dict[str, Tensor] = {}

    def add(self, pictures: int, figures: dict[str, Tensor]) -> None:
        self.pictures += pictures
        for name, value in figures.items():
            if name in self.sums:
                self.sums[name].add_(value, alpha=pictures)
            else:
                self.sums[name] = value.float() * pictures

    def means(self, over: Accelerator | None = None) -> dict[str, float]:
        """The means so far, of this process or of all: one exchange, one read."""
        first = next(iter(self.sums.values()))
        totals = torch.stack([*self.sums.values(), first.new_tensor(self.pictures)])
        if over is not None:
            totals = over.reduce(totals, reduction="sum")
        *sums, pictures = totals.tolist()
        return {name: total / pictures for name, total in zip(self.sums, sums, strict=True)}


def _check_figures(figures: dict[str, float], epoch: int) -> None:
    for name, value in figures.items():
        if not math.isfinite(value):
            what = "NaN" if math.isnan(value) else "infinite"
            raise DivergedError(f"{name} became {what} in epoch {epoch}")


def _check_weights(task: Task, epoch: int) -> None:
    """The last step of an epoch may have spoilt the weights after its loss was taken."""
    if not torch.stack([p.isfinite().all() for p in task.module.parameters()]).all():
        raise DivergedError(f"a weight became NaN or infinite in epoch {epoch}")


def _advice(task: Task, folder: Path | None) -> str:
    lr = task.rate.highest
    advice = f": lower --lr ({lr:g}), e.g. to {lr * 0.3:.1g}"
    if folder is None:
        return advice
    advice += ", with another --out"
    try:
        kept = checkpoint.latest(folder)
    except InputError:  # all are damaged
        kept = None
    return f"{advice}; the last good checkpoint is kept in '{kept}'" if kept else advice
