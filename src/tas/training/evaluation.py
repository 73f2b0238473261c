"""What a net is worth on held-out pictures, and the norm statistics it needs before."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from .hardware import accelerator as open_accelerator
from .hardware import average, place, place_module

__all__ = ["evaluate", "measure", "recompute_norm_statistics"]

Batches = Iterable[tuple[Tensor, Tensor]]  # images [N, C, H, W], labels [N]


def evaluate(
    model: nn.Module, batches: Batches, *, device: str = "auto", precision: str = "auto"
) -> dict[str, float]:
    """Top-1 accuracy and cross-entropy of a net, in eval and inference mode.

    Args:
        model: moved to the device; its training mode is kept.
        device, precision: as in ``fit``.

    Returns:
        ``accuracy`` in percent and ``loss``, means over all pictures (of all processes).
    """
    accelerator = open_accelerator(device, precision)
    return measure(place_module(model, accelerator.device), batches, accelerator)


def measure(model: nn.Module, batches: Batches, accelerator: Accelerator) -> dict[str, float]:
    """``evaluate`` with an ``Accelerator`` that is there already and a model on its device."""
    total = torch.zeros(3, device=accelerator.device)  # correct, loss, pictures
    training = model.training
    model.eval()
    with torch.inference_mode(), accelerator.autocast():
        for images, labels in batches:
            if len(labels) == 0:  # fewer pictures than processes
                continue
            labels = labels.to(accelerator.device, non_blocking=True)
            logits = model(place(images, accelerator.device)).float()  # [N, classes]
            total[0] += (logits.argmax(1) == labels).sum()
            total[1] += F.cross_entropy(logits, labels, reduction="sum")
            total[2] += len(labels)
    model.train(training)
    correct, loss, pictures = accelerator.reduce(total, reduction="sum").tolist()
    return {"accuracy": 100 * correct / pictures, "loss": loss / pictures}


def recompute_norm_statistics(
    model: nn.Module, batches: Batches, *, device: str = "auto", precision: str = "auto"
) -> None:
    """Estimate the running mean and variance of every BatchNorm anew, as a plain average.

    For a net whose weights come from a supernet, where other channels fed these statistics. Several
    processes take each its share of the pictures.
    """
    accelerator = open_accelerator(device, precision)
    place_module(model, accelerator.device)
    placed = (place(images, accelerator.device) for images, _ in batches)
    with accelerator.autocast():
        update_bn(placed, model)
    average(accelerator, (b for b in model.buffers() if b.is_floating_point()))
