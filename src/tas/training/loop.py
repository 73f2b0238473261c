"""The one training loop. It counts epochs, reads figures, writes the log and checkpoints; what is
learnt, and by which loss, is the task's.

The weights of the last epoch are the result. Figures on held-out pictures are a report: nothing
here looks at them.
"""

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from torch import Tensor

from .. import processes
from ..errors import DivergedError, InputError
from ..runs.progress import PhaseProgress
from ..runs.rundir import RunDir
from ..training import checkpoint
from .hardware import accelerator as open_accelerator
from .hardware import compiling
from .tasks import Batches, Task

__all__ = ["History", "fit"]

READ_EVERY_SECONDS = 1.0  # reading makes the host wait for the device

T = TypeVar("T")


@dataclass(frozen=True)
class History:
    """What a phase left in the log.

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


def fit(
    task: Task,
    batches: Batches[T],
    *,
    phase: str | None = None,
    out: RunDir | None = None,
    evaluate_on: Iterable[tuple[Tensor, Tensor]] | None = None,
    evaluate_every: int = 1,
    device: str = "auto",
    seed: int = 0,
    progress: bool = True,
) -> History:
    """Train a task's module in place, for ``task.options.epochs`` epochs.

    With ``out``, every epoch leaves a line in the log and a checkpoint, from which the same call
    continues, on any number of processes; an interrupted training ends bit for bit like an
    uninterrupted one on as many. A phase that is done is read back and not trained again. PyTorch's
    global generator is seeded at every epoch.

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
    phase = phase or task.name
    epochs, steps = task.options.epochs, len(batches)
    if steps == 0:
        raise InputError("there is no full batch to train on: lower --batch-size")
    accelerator = open_accelerator(device, task.options.precision)
    main = accelerator.is_main_process
    shown = progress and processes.is_first()
    plan = checkpoint.Plan(phase, epochs, steps, seed)
    folder = out.checkpoint(phase) if out else None
    history: list[dict[str, Any]] = []

    task.start(accelerator, epochs * steps, seed)
    try:
        newest = checkpoint.latest(folder) if folder else None
        if accelerator.num_processes > 1:  # a shared disk may show it to one before another
            newest = processes.agreed(newest)
        if newest:
            history = checkpoint.load(newest, plan, task.parts())
            accelerator.wait_for_everyone()  # before the first process writes the next one
        if out and main:
            out.keep_log(phase, history)  # a line may have been written without its checkpoint
        done = len(history)
        with PhaseProgress(phase, epochs, steps, done=done, enabled=shown) as bar:
            for epoch in range(done + 1, epochs + 1):
                started = time.perf_counter()
                with compiling(task.options.compile):
                    figures = _train(task, batches, epoch, plan, accelerator, bar)
                figures |= task.end_epoch()
                _check_weights(task, epoch)
                if evaluate_on is not None and _due(epoch, epochs, evaluate_every):
                    bar.testing(epoch, figures)
                    test = task.evaluate(evaluate_on)
                    figures |= {f"test_{name}": value for name, value in test.items()}
                figures = {"seconds": time.perf_counter() - started, **figures}
                history.append({"phase": phase, "epoch": epoch, "epochs": epochs, **figures})
                if folder:
                    checkpoint.save(accelerator, folder, plan, history, task.parts())
                if out and main:
                    out.log(history[-1])
                bar.epoch(epoch, figures)
    except DivergedError as error:
        raise DivergedError(f"{error}{_advice(task, folder)}") from None
    finally:
        task.stop()
    return History(phase, tuple(history))


def _train(
    task: Task,
    batches: Batches[T],
    epoch: int,
    plan: checkpoint.Plan,
    accelerator: Accelerator,
    bar: PhaseProgress,
) -> dict[str, float]:
    """One pass over the batches; the means of the step's figures over all pictures."""
    # Every epoch starts from a seed of its own, so that no generator's state needs to be saved.
    salt = (plan.seed * 1_000_003 + epoch) * 4099 + accelerator.process_index
    torch.manual_seed(salt % 2**63)
    batches.set_epoch(epoch - 1)
    task.module.train()
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


def _due(epoch: int, epochs: int, every: int) -> bool:
    return epoch == epochs or (every > 0 and epoch % every == 0)


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
    kept = checkpoint.latest(folder)
    return f"{advice}; the last good checkpoint is kept in '{kept}'" if kept else advice
