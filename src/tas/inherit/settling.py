"""A net whose norms have the statistics of some batches, and that answers as it did.

The norms of a cut net measure anew, for what they are given has changed. Where the batches differ
from what the net was trained on (ImageNet, and a few pictures of one's own), measuring alone may
undo a net of which nothing is cut: a pretrained EfficientNet-Lite0 gives but 4 % of CIFAR-10's
pictures the class that it gave before. So before a net is cut its norms take the statistics of the
batches, and their scale and shift make up for it. New statistics then tell what a cut has changed,
and nothing else.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from .. import processes
from ..forward import Forward, call_batch, evaluating, moving_norms, on_threads
from ..graph import copied

__all__ = ["settled"]

Moments = tuple[int, Tensor, Tensor]  # numbers per channel; their mean, and variance [channels]


def settled(net: nn.Module, batches: Iterable[Any], forward: Forward = call_batch) -> nn.Module:
    """A copy of a net that computes the same, with the statistics of batches in its BatchNorms.

    Norms that are frozen stay as they are (in evaluation mode within a net in training mode), and
    so do those without scale and shift, or with some that are not theirs alone.

    Args:
        batches: on the net's device, a few of them; the first process tells all what it saw.
        forward: how the net is called on a batch.
    """
    net = copied(net, {})
    norms = _own(net)
    if not norms:
        return net
    moments = processes.agreed(_moments(net, norms, batches, forward))
    with torch.no_grad():
        for path, (_, mean, variance) in moments.items():
            _take(norms[path], mean, variance)
    return net


def _own(net: nn.Module) -> dict[str, _BatchNorm]:
    """The norms whose statistics move, and whose scale and shift are no other module's."""
    users = Counter(id(p) for m in net.modules() for p in m.parameters(recurse=False))
    paths = {module: path for path, module in net.named_modules()}
    found = {}
    for norm in moving_norms(net):
        affine = [norm._parameters.get("weight"), norm._parameters.get("bias")]
        alone = all(p is not None and users[id(p)] == 1 for p in affine)
        if alone and norm.running_var is not None:
            found[paths[norm]] = norm
    return found


def _moments(
    net: nn.Module, norms: dict[str, _BatchNorm], batches: Iterable[Any], forward: Forward
) -> dict[str, Moments]:
    """Of what each norm is given by the net as it is used."""
    found: dict[str, Moments] = {}

    def adding(path: str) -> Callable[..., None]:
        def hook(norm: _BatchNorm, inputs: tuple[Tensor, ...]) -> None:
            if not inputs or inputs[0].numel() == 0 or inputs[0].dim() < 2:
                return  # named arguments: nothing is told
            x = inputs[0].float()
            over = [0, *range(2, x.dim())]
            with on_threads(1):  # several share out a sum, and its last digits depend on them
                variance, mean = torch.var_mean(x, over, correction=0)
            own = x.numel() // x.shape[1], mean.cpu().double(), variance.cpu().double()
            found[path] = _both(found[path], own) if path in found else own

        return hook

    with evaluating(net), torch.no_grad(), ExitStack() as hooks:
        for path, norm in norms.items():
            hooks.callback(norm.register_forward_pre_hook(adding(path)).remove)
        for batch in batches:
            forward(net, batch)
    return found


def _both(a: Moments, b: Moments) -> Moments:
    """Chan, Golub & LeVeque, Algorithms for Computing the Sample Variance, 1983."""
    count = a[0] + b[0]
    apart, share = b[1] - a[1], b[0] / count
    between = apart**2 * share * (1 - share)
    return count, a[1] + share * apart, (1 - share) * a[2] + share * b[2] + between


def _take(norm: _BatchNorm, mean: Tensor, variance: Tensor) -> None:
    """Have a norm divide by other statistics, and compute what it did."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    before = norm.running_var.cpu().double() + norm.eps
    ratio = ((variance + norm.eps) / before).sqrt()
    good = (ratio > 0) & ratio.isfinite() & mean.isfinite()
    mean = torch.where(good, mean, norm.running_mean.cpu().double())
    variance = torch.where(good, variance, norm.running_var.cpu().double())
    ratio = torch.where(good, ratio, 1.0)
    weight, shifted = norm.weight.cpu().double(), mean - norm.running_mean.cpu().double()
    norm.bias.add_((weight * shifted / before.sqrt()).to(norm.bias))
    norm.weight.mul_(ratio.to(norm.weight))
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
