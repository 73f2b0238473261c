"""What a net is worth on held-out pictures, and the norm statistics it needs before."""

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from typing import TypeAlias

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn

from ..forward import Batches, Forward, call_batch, evaluating, example_for, measuring, modes_kept
from ..typed import checked
from .hardware import Device, computing
from .modes import moving_buffers
from .objective import divergence
from .placing import Placing, settled_with
from .preparing import average

__all__ = ["Labelled", "evaluate", "measure", "recompute_norm_statistics"]

Labelled: TypeAlias = Iterable[tuple[Tensor, Tensor]]  # images [N, C, H, W], labels [N]


@checked
def evaluate(
    model: nn.Module,
    batches: Labelled,
    *,
    device: Device = "auto",
    precision: str = "auto",
    teacher: nn.Module | None = None,
) -> dict[str, float]:
    """Top-1 accuracy and cross-entropy of a net, in eval and inference mode.

    >>> import tas
    >>> from tas.training import evaluate
    >>> data = tas.data.load("digits")
    >>> net = tas.nets.build("resnet20", classes=data.classes, input=data.input)
    >>> batches = tas.data.batches(data, data.test, 64, augment=None, device="cpu", shuffle=False)
    >>> sorted(evaluate(net, batches, device="cpu"))
    ['accuracy', 'loss']

    Args:
        model: moved to the device; each of its modules keeps its mode.
        device, precision: as in ``fit``.
        teacher: whose answers count in the place of labels.

    Returns:
        ``accuracy`` in percent and ``loss``, means over all pictures (of all processes). With a
        teacher ``agreement``, the share of answers that are the teacher's, in percent, and as
        ``loss`` the divergence from these (``tas.training.divergence``).
    """
    with computing(device, precision) as accelerator:
        return measure(model, batches, accelerator, teacher=teacher)


def measure(
    model: nn.Module,
    batches: Labelled,
    accelerator: Accelerator,
    placing: Placing | None = None,
    teacher: nn.Module | None = None,
) -> dict[str, float]:
    """``evaluate`` with an ``Accelerator`` that is there already.

    Args:
        placing: that of the model, and of the teacher; default: found out by the first pictures.
    """
    total = torch.zeros(3, device=accelerator.device)  # correct, loss, pictures
    asked = [model] if teacher is None else [model, teacher]
    with ExitStack() as modes:
        for net in asked:
            modes.enter_context(evaluating(net))
        for images, labels in batches:
            if len(labels) == 0:  # fewer pictures than processes
                continue
            if placing is None:
                placing = settled_with(accelerator, asked, images)
            given = (_as_taken(net, placing).pictures(images) for net in asked)
            with torch.inference_mode(), accelerator.autocast():
                logits, *answers = (  # [N, classes] each
                    net(x).float() for net, x in zip(asked, given, strict=True)
                )
            if answers:
                wanted, loss = answers[0].argmax(1), len(labels) * divergence(logits, *answers)
            else:
                wanted = labels.to(accelerator.device, non_blocking=True)
                loss = F.cross_entropy(logits, wanted, reduction="sum")
            total[0] += (logits.argmax(1) == wanted).sum()
            total[1] += loss
            total[2] += len(labels)
    equal, lost, pictures = accelerator.reduce(total, reduction="sum").tolist()
    share = "accuracy" if teacher is None else "agreement"
    return {share: 100 * equal / pictures, "loss": lost / pictures}


def _as_taken(net: nn.Module, placing: Placing) -> Placing:
    """With pictures of the type that a net takes."""
    return replace(placing, dtype=example_for(net, (1, 1, 1)).dtype)


@checked
def recompute_norm_statistics(
    model: nn.Module,
    batches: Batches,
    *,
    device: Device = "auto",
    precision: str = "auto",
    forward: Forward = call_batch,
) -> None:
    """Estimate the running mean and variance of every BatchNorm anew, as a plain average.

    >>> import tas
    >>> from tas.training import recompute_norm_statistics
    >>> data = tas.data.load("digits")
    >>> net = tas.nets.build("resnet20", classes=data.classes, input=data.input)
    >>> batches = tas.data.batches(data, data.test, 64, augment=None, device="cpu", shuffle=True)
    >>> recompute_norm_statistics(net, batches, device="cpu")

    For a net whose weights come from a supernet, where other channels fed these statistics. Several
    processes take each its share of the pictures. A norm that is frozen keeps its own: one in
    evaluation mode within a net in training mode, as in ``fit``. All else is in evaluation mode:
    what dropout and the like leave out would be measured as well.

    Args:
        batches: of pictures and labels; or of whatever the net takes.
        device, precision: as in ``fit``.
        forward: how the net is called on a batch.
    """
    with computing(device, precision) as accelerator, modes_kept(model), torch.no_grad():
        model.to(accelerator.device)
        norms = measuring(model)
        momenta = [norm.momentum for norm in norms]
        try:
            for norm in norms:
                norm.reset_running_stats()
                norm.momentum = None  # a plain average
            if norms:
                placing = None
                for batch in batches:
                    if placing is None:
                        placing = settled_with(accelerator, [model], batch, forward)
                    with accelerator.autocast():
                        forward(model, placing.pictures(batch))
        finally:
            for norm, momentum in zip(norms, momenta, strict=True):
                norm.momentum = momentum
        average(accelerator, moving_buffers(model))
