"""A net whose norms have the statistics of some batches, and that answers as it did.

The norms of a cut net measure anew, for what they are given has changed. Where the batches differ
from what the net was trained on (ImageNet, and a few pictures of one's own), measuring alone may
undo a net of which nothing is cut: a pretrained EfficientNet-Lite0 gives but 4 % of CIFAR-10's
pictures the class that it gave before. So before a net is cut its norms take the statistics of the
batches, and their scale and shift make up for it. New statistics then tell what a cut has changed,
and nothing else.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..forward import moving_norms, on_threads
from ..graph import copied
from .readings import SAMPLES, some

__all__ = ["Moments", "settled", "watched"]

Moments = tuple[int, Tensor, Tensor]  # numbers per channel; their mean, and variance [channels]


@contextmanager
def watched(net: nn.Module, samples: int = SAMPLES) -> Iterator[dict[str, Moments]]:
    """While a net is used, the moments of what its BatchNorms are given, by their paths.

    Not of those that are frozen (in evaluation mode within a net in training mode), nor of those
    without scale and shift, or with some that are not theirs alone.

    Args:
        samples: pictures and places in them that count, of every batch.
    """
    found: dict[str, Moments] = {}

    def adding(path: str) -> Callable[..., None]:
        def hook(norm: _BatchNorm, inputs: tuple[Tensor, ...]) -> None:
            if not inputs or inputs[0].numel() == 0 or inputs[0].dim() < 2:
                return  # named arguments: nothing is told
            x = some(inputs[0], 1, samples).float()
            with on_threads(1):  # several share out a sum, and its last digits depend on them
                mean = x.mean(0)
                variance = (x - mean).square_().mean(0)  # several times as fast as torch.var
            own = len(x), mean.cpu().double(), variance.cpu().double()
            found[path] = _both(found[path], own) if path in found else own

        return hook

    with ExitStack() as hooks:
        for path, norm in _own(net).items():
            hooks.callback(norm.register_forward_pre_hook(adding(path)).remove)
        yield found


@torch.no_grad()
def settled(net: nn.Module, moments: Mapping[str, Moments]) -> nn.Module:
    """A copy of a net that computes the same, with these moments as statistics of its norms."""
    net = copied(net, {})
    for path, (_, mean, variance) in moments.items():
        norm = net.get_submodule(path)
        assert isinstance(norm, _BatchNorm)
        _take(norm, mean, variance)
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
