"""The optimizer of a plain net: which parameters decay, and which are trained from when on."""

from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from ..weights import classifier_of
from .options import TrainOptions
from .tasks import LATER, sgd

__all__ = ["optimizer_of"]


def optimizer_of(module: nn.Module, options: TrainOptions) -> Optimizer:
    """SGD or AdamW over the parameters of a net, in as many groups as are treated differently."""
    groups = _groups(module, options)
    if options.optimizer == "sgd":
        return sgd(groups, options)
    return torch.optim.AdamW(groups, lr=options.lr, weight_decay=options.weight_decay)


def _groups(module: nn.Module, options: TrainOptions) -> list[dict[str, Any]]:
    """Vectors apart, where they do not decay, and the classifier, where it is trained first."""
    head = f"{classifier_of(module)}."
    found: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        decays = options.decay_norms or parameter.ndim > 1
        later = options.head_epochs > 0 and not name.startswith(head)
        found.setdefault((decays, later), []).append(parameter)
    return [
        {"params": parameters, LATER: later, **({} if decays else {"weight_decay": 0.0})}
        for (decays, later), parameters in found.items()
    ]
