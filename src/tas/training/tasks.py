"""What the loop asks of a task, and what all tasks share.

A task knows its nets, losses and optimizers; the loop knows none of them. ``Classification`` trains
a net on labels, ``Distillation`` on labels and a teacher's answers, the paper's ``Search`` a
supernet's weights and logits. Nothing in a step waits for the device.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol, TypeAlias, TypeVar

import torch
from accelerate import Accelerator
from torch import Generator, Tensor, nn
from torch.optim import Optimizer

from .checkpoint import Stateful
from .evaluation import Labelled, measure
from .modes import moving_buffers
from .norms import separate, synchronise
from .options import StepOptions
from .placing import Placing, refuse_halves, settled_with
from .preparing import average, compiled, prepare, release
from .rate import learning_rate
from .recording import Recorder

__all__ = ["Batch", "Epochs", "Learner", "Rate", "Task", "sgd"]

LATER = "later"  # marks a group of parameters that waits until the classifier has been trained
LEAST = 0.25  # of the learning rate, to which a limited travel may lower it

Batch: TypeAlias = tuple[Tensor, Tensor]  # images [N, C, H, W], labels [N]
T = TypeVar("T", covariant=True)


class Epochs(Protocol[T]):
    """What a training reads: one pass over the data after another, in items of what a step takes.

    ``set_epoch`` tells which pass comes next. ``tas.data.Batches`` are such.
    """

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[T]: ...
    def set_epoch(self, epoch: int) -> None: ...


class Task(Protocol):
    """What the loop needs of a task.

    Attributes:
        name: names the phase where the caller does not.
        options: the loop reads ``epochs`` and ``precision``.
        rate: the learning rate, once started; its ``highest`` is for the loop's advice.
        module: the net that is trained, which ``fit`` changes in place.
    """

    name: str
    rate: "Rate"

    @property
    def options(self) -> StepOptions: ...
    @property
    def module(self) -> nn.Module: ...

    def start(self, accelerator: Accelerator, steps: int, seed: int) -> None:
        """Make modules and optimizers ready for ``steps`` steps in all."""
        ...

    def parts(self) -> Mapping[str, Stateful]:
        """What a checkpoint is to hold, once started."""
        ...

    def step(self, batch: Any, step: int) -> tuple[int, dict[str, Tensor]]:
        """One step: the number of pictures, and scalars on the device that are means over them."""
        ...

    def end_epoch(self) -> dict[str, float]:
        """Make the processes agree, while the net is in training mode; further figures for the
        log."""
        ...

    def evaluate(self, batches: Labelled) -> dict[str, float]:
        """Figures on held-out pictures."""
        ...

    def stop(self) -> None:
        """Leave ``module`` the plain net that it was; the end of a phase, however it ends."""
        ...


class Learner:
    """What all tasks share: where and how they compute, the learning rate, evaluation.

    Attributes:
        model: what a step calls in the place of ``module``, from the first step on.
        placing: how, which is found out by the first pictures; None before.
        wrapped: the processes exchange gradients by the model itself.
    """

    wrapped = True

    module: nn.Module
    model: Any
    placing: Placing | None = None
    options: StepOptions
    accelerator: Accelerator
    rate: "Rate"
    take: Recorder
    own_norms: dict[nn.Module, type[nn.Module]]

    def start_together(self, accelerator: Accelerator, sync_norms: bool) -> None:
        """What is to be settled among the processes before anything is prepared."""
        refuse_halves(self.module)
        self.accelerator = accelerator
        self.placing = None
        self.module.to(accelerator.device)
        together = sync_norms and accelerator.num_processes > 1
        self.own_norms = synchronise(self.module, accelerator.device) if together else {}

    def recorder(self, *generators: Generator) -> Recorder:
        """What takes the passes of a step. Processes exchange gradients within them, and that is
        not recorded."""
        alone = self.accelerator.num_processes == 1
        return Recorder(
            self.module,
            self.accelerator.device,
            generators=generators,
            enabled=alone and self.options.cuda_graphs,
        )

    def ready(self, module: nn.Module) -> nn.Module:
        """What a step calls in the place of a module that was prepared."""
        return compiled(module) if self.options.compile else module

    def average_buffers(self, of: nn.Module | None = None) -> None:
        """Each process has its own running statistics of the norms, in the net or a copy of it."""
        average(self.accelerator, moving_buffers(self.module, of))

    def evaluate(self, batches: Labelled) -> dict[str, float]:
        return measure(self.module, batches, self.accelerator, self.placing)

    def nets(self) -> list[nn.Module]:
        """What is run on pictures: the net that is trained, and others."""
        return [self.module]

    def stop(self) -> None:
        del self.take  # and with it what was recorded
        release(self.accelerator, self.module)
        separate(self.own_norms)
        if self.options.compile:  # the caches hold the net, and would be full after some nets
            torch.compiler.reset()

    def _placed(self, batch: Batch) -> Batch:
        images, labels = batch
        if self.placing is None:
            self.placing = self._settled(images)
        return self.placing.pictures(images), labels.to(self.accelerator.device, non_blocking=True)

    def _settled(self, images: Tensor) -> Placing:
        """Ready the nets for pictures, as they bear it."""
        placing = settled_with(self.accelerator, self.nets(), images)
        prepared = prepare(
            self.accelerator,
            self.module,
            wrap=self.wrapped,
            channels_last=placing.channels_last,
        )
        self.model = self.ready(prepared)
        return placing


class Rate:
    """Sets the learning rate of every step, and remembers it for the log.

    Args:
        steps: of the whole training.
        travel: as in ``TrainOptions``.
        head_steps: groups that are marked to be trained later wait for so many.
    """

    def __init__(
        self, options: StepOptions, steps: int, travel: float = 0.0, head_steps: int = 0
    ) -> None:
        self.steps = steps
        self.head_steps = head_steps
        self.warmup_steps = steps * options.warmup_epochs // options.epochs
        lowest = LEAST * options.lr if travel else options.lr
        self.highest = min(options.lr, max(travel / steps, lowest))
        self.last = 0.0

    def set(self, optimizer: Optimizer, step: int) -> None:
        self.last = learning_rate(step, self.steps, self.warmup_steps, self.highest)
        for group in optimizer.param_groups:
            waits = step < self.head_steps and group.get(LATER, False)
            group["lr"] = 0.0 if waits else self.last


def sgd(
    parameters: Iterable[nn.Parameter] | list[dict[str, Any]], options: StepOptions
) -> torch.optim.SGD:
    """Of the parameters that are trained; those that are frozen get no gradient, and stay."""
    return torch.optim.SGD(
        parameters,
        lr=options.lr,
        momentum=options.momentum,
        nesterov=options.nesterov,
        weight_decay=options.weight_decay,
    )
