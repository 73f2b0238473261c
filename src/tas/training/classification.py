"""A plain net that learns from labels."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import TypeAlias

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim.swa_utils import AveragedModel

from ..errors import InputError
from ..forward import evaluating
from .checkpoint import Stateful
from .evaluation import Labelled, measure
from .mixing import mixer
from .optimizers import optimizer_of
from .options import TrainOptions
from .tasks import Batch, Learner, Rate

__all__ = ["Classification"]

Tensors: TypeAlias = tuple[Tensor, ...] | list[Tensor]


class Classification(Learner):
    """Cross-entropy on labels; SGD or AdamW, warm-up, cosine, gradients clipped.

    >>> import tas
    >>> from tas.training import Classification, TrainOptions, fit
    >>> data = tas.data.load("digits")
    >>> net = tas.nets.build("resnet20", classes=data.classes, input=data.input)
    >>> batches = tas.data.batches(
    ...     data, data.train, 64, augment=None, device="cpu", shuffle=True, drop_last=True
    ... )
    >>> task = Classification(net, TrainOptions(epochs=1, warmup_epochs=0))
    >>> history = fit(task, batches, device="cpu", progress=False)
    >>> history.phase
    'train'
    """

    name = "train"
    figure = "accuracy"  # what the share of correct answers is called
    decay = 0.0  # of the running mean of the weights, at the step that is taken
    options: TrainOptions

    def __init__(self, model: nn.Module, options: TrainOptions) -> None:
        self.module = model
        self.options = options

    def start(self, accelerator: Accelerator, steps: int, seed: int) -> None:
        self.start_together(accelerator, self.options.sync_norms)
        head_steps = steps * self.options.head_epochs // self.options.epochs
        self.rate = Rate(self.options, steps, self.options.travel, head_steps)
        self.mix: Callable[[Tensor, Tensor], Batch] | None = None
        self.mean: AveragedModel | None = None
        if self.options.ema:
            take_in = _mean_over_steps(lambda: self.decay)
            self.mean = AveragedModel(self.module, multi_avg_fn=take_in, use_buffers=True)
            self.mean.module.to(accelerator.device)  # its count of steps stays here
        self.optimizer = optimizer_of(self.module, self.options)
        self.take = self.recorder()

    def parts(self) -> Mapping[str, Stateful]:
        parts: dict[str, Stateful] = {"module": self.module, "optimizer": self.optimizer}
        return parts if self.mean is None else {**parts, "mean": self.mean}

    def step(self, batch: Batch, step: int) -> tuple[int, dict[str, Tensor]]:
        images, labels = self._mixed(self._placed(batch))
        self.rate.set(self.optimizer, step)
        figures = self.take(self._pass, images, labels)
        self.optimizer.step()
        if self.mean is not None:
            # Of a tenth of the steps so far at most: in a short training the start would remain.
            self.decay = min(self.options.ema, (1 + step) / (10 + step))
            self.mean.update_parameters(self.module)
        return len(labels), figures

    def _mixed(self, batch: Batch) -> Batch:
        """A batch as the options mix it; labels are then float [N, classes]."""
        images, labels = batch
        if not (self.options.mixup or self.options.cutmix):
            return batch
        if self.mix is None:
            with evaluating(self.module), torch.no_grad():
                classes = self.module(images[:1]).shape[1]
            self.mix = mixer(self.options, classes)
            assert self.mix is not None
        images, labels = self.mix(images, labels)
        return images, labels.to(images.dtype)

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
        return {"loss": loss, self.figure: correct * (100 / len(labels))}

    def _learn(
        self, images: Tensor, labels: Tensor, *, of: int, last: bool
    ) -> tuple[Tensor, Tensor]:
        """Add the gradients of a piece of a batch of ``of``; its share of the loss, and how many
        answers are correct. The processes exchange gradients at the last piece."""
        with nullcontext() if last else self.accelerator.no_sync(self.model):
            logits = self.model(images)  # [N, classes], float32
            if not isinstance(logits, Tensor):
                raise InputError(
                    f"in training the net returns a {type(logits).__name__}, not scores "
                    "[N, classes]: build it without its further heads, or train it in a loop of "
                    "your own"
                )
            loss, wanted = self.judged(images, logits, labels)
            loss = loss * (len(labels) / of)
            self.accelerator.backward(loss)
        return loss.detach(), (logits.detach().argmax(1) == wanted).sum()

    def judged(self, images: Tensor, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The loss, and the classes [N] that are correct."""
        smoothing = self.options.label_smoothing
        loss = F.cross_entropy(logits, labels, label_smoothing=smoothing)
        return loss, most_likely(labels)

    def end_epoch(self) -> dict[str, float]:
        self.average_buffers()
        if self.mean is not None:
            self.average_buffers(self.mean.module)
        return {"lr": self.rate.last}

    def evaluate(self, batches: Labelled) -> dict[str, float]:
        return measure(self.tested, batches, self.accelerator, self.placing)

    @property
    def tested(self) -> nn.Module:
        """The net whose figures count."""
        return self.module if self.mean is None else self.mean.module

    def nets(self) -> list[nn.Module]:
        return [self.module] if self.mean is None else [self.module, self.mean.module]

    def stop(self) -> None:
        super().stop()
        if self.mean is not None:
            self.module.load_state_dict(self.mean.module.state_dict())


def most_likely(labels: Tensor) -> Tensor:
    """The classes [N] of labels, which may be probabilities [N, classes]."""
    return labels if labels.dim() == 1 else labels.argmax(1)


def _mean_over_steps(
    decay: Callable[[], float],
) -> Callable[[Tensors, Tensors, Tensor | int], None]:
    """How ``AveragedModel`` takes a step into the mean; what is no fraction, a count, is copied."""

    @torch.no_grad()
    def take_in(mean: Tensors, new: Tensors, steps: Tensor | int) -> None:
        if mean[0].is_floating_point() or mean[0].is_complex():
            torch._foreach_lerp_(mean, new, 1 - decay())
        else:
            torch._foreach_copy_(mean, new)

    return take_in
