"""What is learnt: a task knows its nets, losses and optimizers; the loop knows none of them.

``Classification`` trains a net on labels, ``Distillation`` on labels and a teacher's answers,
``Search`` a supernet's weights and logits, on two batches a step or on one. Nothing here waits for
the device within a step.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from typing import Any, Protocol, TypeVar

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Generator, Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ..errors import InputError
from .checkpoint import Stateful
from .evaluation import measure
from .hardware import average, compiled, place, place_module, prepare, release
from .losses import distill_loss
from .norms import separate, synchronise
from .options import StepOptions, TrainOptions
from .rate import learning_rate
from .recording import Recorder

__all__ = [
    "Batches",
    "Classification",
    "Distillation",
    "Learner",
    "Rate",
    "Task",
    "learning",
    "sgd",
]

LEAST = 0.25  # of the learning rate, to which a limited travel may lower it

Batch = tuple[Tensor, Tensor]  # images [N, C, H, W], labels [N]
T = TypeVar("T", covariant=True)


class Batches(Protocol[T]):
    """One pass over the data after another; ``set_epoch`` tells which comes next."""

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
        """Make the processes agree; further figures for the log."""
        ...

    def evaluate(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Figures on held-out pictures."""
        ...

    def stop(self) -> None:
        """Leave ``module`` the plain net that it was; the end of a phase, however it ends."""
        ...


class Learner:
    """What all tasks share: where they compute, the learning rate, evaluation."""

    module: nn.Module
    options: StepOptions
    accelerator: Accelerator
    rate: "Rate"
    take: Recorder
    own_norms: dict[nn.Module, type[nn.Module]]

    def start_together(self, accelerator: Accelerator, sync_norms: bool) -> None:
        """What is to be settled among the processes before anything is prepared."""
        self.accelerator = accelerator
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

    def average_buffers(self) -> None:
        """Each process has its own running statistics of the norms."""
        average(self.accelerator, [b for b in self.module.buffers() if b.is_floating_point()])

    def evaluate(self, batches: Iterable[Batch]) -> dict[str, float]:
        return measure(self.module, batches, self.accelerator)

    def stop(self) -> None:
        del self.take  # and with it what was recorded
        release(self.accelerator, self.module)
        separate(self.own_norms)
        if self.options.compile:  # the caches hold the net, and would be full after some nets
            torch.compiler.reset()

    def _placed(self, batch: Batch) -> Batch:
        images, labels = batch
        device = self.accelerator.device
        return place(images, device), labels.to(device, non_blocking=True)


class Classification(Learner):
    """Cross-entropy on labels; SGD, warm-up, cosine, gradients clipped."""

    name = "train"
    options: TrainOptions

    def __init__(self, model: nn.Module, options: TrainOptions) -> None:
        self.module = model
        self.options = options

    def start(self, accelerator: Accelerator, steps: int, seed: int) -> None:
        self.start_together(accelerator, self.options.sync_norms)
        self.rate = Rate(self.options, steps, self.options.travel)
        self.mean: AveragedModel | None = None
        if self.options.ema:
            decay = get_ema_multi_avg_fn(self.options.ema)  # type: ignore[no-untyped-call]
            self.mean = AveragedModel(self.module, multi_avg_fn=decay, use_buffers=True)
            place_module(self.mean.module, accelerator.device)  # its count of steps stays here
        self.model = self.ready(prepare(accelerator, self.module))
        self.optimizer = sgd(self.module.parameters(), self.options)
        self.take = self.recorder()

    def parts(self) -> Mapping[str, Stateful]:
        parts: dict[str, Stateful] = {"module": self.module, "optimizer": self.optimizer}
        return parts if self.mean is None else {**parts, "mean": self.mean}

    def step(self, batch: Batch, step: int) -> tuple[int, dict[str, Tensor]]:
        images, labels = self._placed(batch)
        self.rate.set(self.optimizer, step)
        figures = self.take(self._pass, images, labels)
        self.optimizer.step()
        if self.mean is not None:
            self.mean.update_parameters(self.module)
        return len(labels), figures

    def _pass(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The gradients of a batch, and its figures."""
        self.optimizer.zero_grad()
        halves = (half.chunk(self.options.accumulate) for half in (images, labels))
        pieces = list(zip(*halves, strict=True))
        figures = [
            self._learn(*piece, of=len(labels), last=number == len(pieces))
            for number, piece in enumerate(pieces, start=1)
        ]
        if self.options.clip_norm:
            clip_grad_norm_(self.module.parameters(), self.options.clip_norm)
        loss, correct = (torch.stack(parts).sum() for parts in zip(*figures, strict=True))
        return {"loss": loss, "accuracy": correct * (100 / len(labels))}

    def _learn(
        self, images: Tensor, labels: Tensor, *, of: int, last: bool
    ) -> tuple[Tensor, Tensor]:
        """Add the gradients of a piece of a batch of ``of``; its share of the loss, and how many
        answers are correct. The processes exchange gradients at the last piece."""
        with nullcontext() if last else self.accelerator.no_sync(self.model):
            logits = self.model(images)  # [N, classes], float32
            loss = self.loss(images, logits, labels) * (len(labels) / of)
            self.accelerator.backward(loss)
        return loss.detach(), (logits.detach().argmax(1) == labels).sum()

    def evaluate(self, batches: Iterable[Batch]) -> dict[str, float]:
        net = self.module if self.mean is None else self.mean.module
        return measure(net, batches, self.accelerator)

    def stop(self) -> None:
        super().stop()
        if self.mean is not None:
            self.module.load_state_dict(self.mean.module.state_dict())

    def loss(self, images: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels, label_smoothing=self.options.label_smoothing)

    def end_epoch(self) -> dict[str, float]:
        self.average_buffers()
        if self.mean is not None:
            statistics = (b for b in self.mean.module.buffers() if b.is_floating_point())
            average(self.accelerator, statistics)
        return {"lr": self.rate.last}


class Distillation(Classification):
    """Cross-entropy on labels and the divergence from a teacher's answers."""

    name = "distil"

    def __init__(self, model: nn.Module, teacher: nn.Module, options: TrainOptions) -> None:
        super().__init__(model, options)
        self.teacher = teacher

    def start(self, accelerator: Accelerator, steps: int, seed: int) -> None:
        super().start(accelerator, steps, seed)
        # Placed like the student but not prepared: it is neither wrapped nor saved.
        self.answering = self.ready(place_module(self.teacher, accelerator.device).eval())

    def loss(self, images: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        with torch.inference_mode(), self.accelerator.autocast():
            answers = self.answering(images)  # [N, classes]
        if answers.shape != logits.shape:
            raise InputError(
                f"the teacher knows {answers.shape[1]} classes, the student {logits.shape[1]}: "
                "give a teacher that was trained on the same classes"
            )
        return distill_loss(
            logits,
            answers.to(torch.float32, copy=True),  # autograd refuses tensors of inference mode
            labels,
            alpha=self.options.kd_alpha,
            temperature=self.options.kd_temperature,
            label_smoothing=self.options.label_smoothing,
        )


def learning(net: nn.Module, teacher: nn.Module | None, options: TrainOptions) -> Classification:
    """A net's training: on labels, and with a teacher's answers where there are any that count."""
    if teacher is None or not options.distils:
        return Classification(net, options)
    return Distillation(net, teacher, options)


class Rate:
    """Sets the learning rate of every step, and remembers it for the log."""

    def __init__(self, options: StepOptions, steps: int, travel: float = 0.0) -> None:
        self.steps = steps
        self.warmup_steps = steps * options.warmup_epochs // options.epochs
        lowest = LEAST * options.lr if travel else options.lr
        self.highest = min(options.lr, max(travel / steps, lowest))
        self.last = 0.0

    def set(self, optimizer: Optimizer, step: int) -> None:
        self.last = learning_rate(step, self.steps, self.warmup_steps, self.highest)
        for group in optimizer.param_groups:
            group["lr"] = self.last


def sgd(parameters: Iterable[nn.Parameter], options: StepOptions) -> torch.optim.SGD:
    return torch.optim.SGD(
        parameters,
        lr=options.lr,
        momentum=options.momentum,
        nesterov=options.nesterov,
        weight_decay=options.weight_decay,
    )
