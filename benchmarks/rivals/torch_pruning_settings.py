"""Torch-Pruning 1.6.1, to a budget of multiply-adds: its settings, of which a net has a best one.

It takes ratios: the ratio is found by bisection, each time from the whole net, so that the cost
ends at most 1 % below the budget where its steps allow (``bisection.py``). No channel is rounded
unless that is asked for.
Only the classifier is left out. One setting prunes as the project's own benchmark does, in steps
of a four hundredth over the whole net, until the budget is met.
"""

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
import torch_pruning
from bisection import within
from torch import Tensor, nn

from tas.costs.count import count

__all__ = ["SETTINGS", "Setting", "pruned"]

STEPS = 400  # of that project's own benchmark
GRADIENTS = 8  # batches
HEADS = ("num_heads", "attn_dim", "head_dim")  # that repeat a layer's size, as its example for ViTs


@dataclass(frozen=True)
class Setting:
    """How Torch-Pruning is told to prune.

    Attributes:
        taylor: by gradients of a few training batches; else by magnitude.
        scope: ``local`` (the same ratio for each layer), ``global``, or ``isomorphic`` (over the
            groups of layers that are alike).
        steps: 1, and the ratio is searched; or so many until the budget is met.
    """

    taylor: bool = False
    scope: str = "global"
    steps: int = 1


SETTINGS = {
    "tp-magnitude-local": Setting(scope="local"),
    "tp-magnitude-global": Setting(),
    "tp-magnitude-isomorphic": Setting(scope="isomorphic"),
    "tp-magnitude-steps": Setting(steps=STEPS),
    "tp-taylor-local": Setting(taylor=True, scope="local"),
    "tp-taylor-global": Setting(taylor=True),
    "tp-taylor-isomorphic": Setting(taylor=True, scope="isomorphic"),
}


def pruned(
    teacher: nn.Module,
    input: tuple[int, int, int],
    limit: float,
    setting: Setting,
    batches: Iterable[tuple[Tensor, Tensor]],
    round_to: int | None = None,
) -> nn.Module:
    """A copy of the teacher within a limit of multiply-adds.

    Args:
        batches: of training pictures, for gradients.
        round_to: what widths are multiples of.
    """
    gradients = _gradients(teacher, batches) if setting.taylor else []
    if setting.steps > 1:
        net, pruner = _start(teacher, input, setting, 1.0, gradients, round_to)
        for _ in range(setting.steps):
            if count(net, input).macs <= limit:
                return net
            pruner.step()
            net = _finished(net, pruner)
        if count(net, input).macs <= limit:
            return net
        raise ValueError(f"{count(net, input).macs} multiply-adds after {setting.steps} steps")

    def cut(ratio: float) -> tuple[int, nn.Module]:
        net, pruner = _start(teacher, input, setting, ratio, gradients, round_to)
        pruner.step()
        net = _finished(net, pruner)
        return count(net, input).macs, net

    return within(cut, limit)[1]


def _start(
    teacher: nn.Module,
    input: tuple[int, int, int],
    setting: Setting,
    ratio: float,
    gradients: list[Tensor | None],
    round_to: int | None,
) -> tuple[nn.Module, Any]:
    net = deepcopy(teacher).eval()
    for parameter, gradient in zip(net.parameters(), gradients, strict=False):
        parameter.grad = None if gradient is None else gradient.clone()
    of = torch_pruning.importance
    classes = net(torch.zeros(1, *input)).shape[1]
    pruner = torch_pruning.pruner.BasePruner(
        net,
        torch.zeros(1, *input),
        importance=of.GroupTaylorImportance() if setting.taylor else of.GroupMagnitudeImportance(),
        global_pruning=setting.scope != "local",
        isomorphic=setting.scope == "isomorphic",
        pruning_ratio=ratio,
        iterative_steps=setting.steps,
        round_to=round_to,
        ignored_layers=[
            m for m in net.modules() if isinstance(m, nn.Linear) and m.out_features == classes
        ],
        # Dictionaries of its own: the pruner's defaults are shared between pruners, and grow.
        num_heads={m.qkv: m.num_heads for m in net.modules() if hasattr(m, "qkv")},
        in_channel_groups={},
        out_channel_groups={},
        channel_groups={},
    )
    return net, pruner


def _finished(net: nn.Module, pruner: Any) -> nn.Module:
    """The net, fit to run: the attributes of ``HEADS`` follow, and gradients are gone."""
    for module in net.modules():
        if hasattr(module, "qkv") and hasattr(module, "head_dim"):
            module.num_heads = pruner.num_heads[module.qkv]
            module.attn_dim = module.qkv.out_features // 3
            module.head_dim = module.attn_dim // module.num_heads
    net.zero_grad()
    return net


def _gradients(teacher: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> list[Tensor | None]:
    net = deepcopy(teacher).eval()
    for images, labels in batches:
        F.cross_entropy(net(images.cpu()), labels.cpu()).backward()
    return [parameter.grad for parameter in net.parameters()]
