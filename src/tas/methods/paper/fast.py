"""The two places where a search step spends its time beside the convolutions, with fewer passes
over the activations than their plain forms in ``paper``.

``norm_mix`` is ``mix_channels(norm(x), matrix)`` as one product: a norm is affine once its
statistics are known, and folds into the matrix. ``mix_depths`` is ``paper.mix_depths`` without a
concatenation, without a new tensor for every term of the sum, and without products with an
identity. All keep nothing but their inputs for the backward pass. Where the fast form does not
apply, they take the plain one; ``mixing`` brings ``norm_mix`` to the norms of a net.

Symbols: x is what the norm is given, z what it returns, y = M z; g and b are the norm's scale and
shift, d is 1 / standard deviation; n values per channel.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ..paper import algorithm as paper

__all__ = ["foldable", "mix_depths", "mixing", "norm_mix"]

FOLD = 16  # pixels that are taken side by side


def foldable(module: nn.Module) -> TypeGuard[nn.BatchNorm2d]:
    """Whether this is a norm that ``norm_mix`` can fold into a matrix.

    Not a class derived from it, such as one that synchronises processes; nor a norm that averages
    over all batches (``momentum=None``), whose momentum stands on the device.
    """
    return (
        type(module) is nn.BatchNorm2d
        and module.affine
        and module.track_running_stats
        and module.momentum is not None
    )


@contextmanager
def mixing(norms: Mapping[str, nn.BatchNorm2d], matrices: Mapping[str, Tensor]) -> Iterator[None]:
    """Inside, each norm returns ``norm_mix`` with the matrix of the same name."""
    for name, norm in norms.items():
        norm.forward = partial(norm_mix, norm, matrix=matrices[name])  # type: ignore[method-assign]
    try:
        yield
    finally:
        for norm in norms.values():
            del norm.forward  # the class's own is found again


def norm_mix(norm: nn.BatchNorm2d, x: Tensor, matrix: Tensor) -> Tensor:
    """``paper.mix_channels(norm(x), matrix)``, running statistics included.

    Args:
        x: [N, C_in, H, W]; the result has its type.
        matrix: [C_out, C_in].
    """
    if not (norm.training and foldable(norm) and _fast(x) and x.numel() > x.shape[1]):
        return paper.mix_channels(type(norm).forward(norm, x), matrix)
    assert norm.num_batches_tracked is not None
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.momentum is not None
    norm.num_batches_tracked.add_(1)
    x = x.contiguous(memory_format=torch.channels_last)  # as trainings have it anyway
    with torch.no_grad():
        mean, variance = _moments(x)
        n = x.numel() // x.shape[1]
        norm.running_mean.lerp_(mean, norm.momentum)
        norm.running_var.lerp_(variance * (n / (n - 1)), norm.momentum)
        d = (variance + norm.eps).rsqrt_()
    y: Tensor = _NormMix.apply(x, norm.weight, norm.bias, matrix, mean, d)
    return y


def mix_depths(
    features: list[Tensor],
    weights: Tensor,
    matrices: Tensor | None = None,
    widths: Tensor | None = None,
) -> Tensor:
    """``paper.mix_depths``; the arguments are the same, and one more.

    Args:
        widths: [len(features)], from which the matrices bring each feature to the widest: that of
            the widest is the identity on all that is not zero.
    """
    # On a GPU the sum alone is the faster one, not the products.
    if not all(_fast(f, cuda=matrices is None) for f in features):
        return paper.mix_depths(features, weights, matrices)
    needed: list[Tensor | None] = [None] * len(features)
    if matrices is not None:
        # Read, for on the CPU nothing waits for it.
        known = [0] * len(features) if widths is None else widths.tolist()
        same = [width == max(known) > 0 for width in known]
        needed = [None if is_same else m for is_same, m in zip(same, matrices, strict=True)]
    y: Tensor = _MixDepths.apply(weights, needed, *features)
    return y


def _fast(x: Tensor, cuda: bool = False) -> bool:
    """Where the fast form is faster by measurement, on CUDA as well if told so; PyTorch's compiler
    makes its own of the plain one."""
    measured = x.device.type == "cpu" or (cuda and x.is_cuda)
    return measured and x.dim() == 4 and not torch.compiler.is_compiling()


_AS_IT_IS = torch.autocast("cpu", enabled=False)  # the types here are chosen one by one


class _NormMix(torch.autograd.Function):
    """y = M (g d (x - mean) + b)."""

    @staticmethod
    @_AS_IT_IS  # type: ignore[untyped-decorator]
    def forward(
        ctx: Any, x: Tensor, g: Tensor, b: Tensor, matrix: Tensor, mean: Tensor, d: Tensor
    ) -> Tensor:
        ctx.save_for_backward(x, g, b, matrix, mean, d)
        folded = (matrix * (g * d)).to(x.dtype)
        # Taken from the matrix as rounded, so that rounding moves no channel's mean.
        shift = torch.addmv(matrix @ b, folded.to(mean.dtype), mean, alpha=-1)
        return _product(x, folded, shift.to(x.dtype))

    @staticmethod
    @once_differentiable
    @_AS_IT_IS  # type: ignore[untyped-decorator]
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, g, b, matrix, mean, d = ctx.saved_tensors
        dy = _laid_out_as(x, dy)
        if not ctx.needs_input_grad[3]:  # the pass of the weights: M is a constant
            dz = _product(dy, matrix.T.to(dy.dtype))
            dx, dg, db = torch.ops.aten.native_batch_norm_backward(
                dz, x, g, None, None, mean, d, True, 0.0, [True, True, True]
            )
            return dx, dg, db, None, None, None
        # The pass of the logits: dy (x - mean)^T, [C_out, C_in], is all that M's gradient and the
        # sums of the norm's backward pass need of the activations.
        n = x.numel() // x.shape[1]
        total = _wide(dy).sum(0, dtype=mean.dtype).view(-1, dy.shape[1]).sum(0)
        outer = _outer(dy, x).to(mean.dtype).addr_(total, mean, alpha=-1)
        scale = g * d
        db = total @ matrix
        dg = (matrix * outer).sum(0) * d
        slope = scale * d * dg / n
        # dx = g d (dz - mean(dz)) - slope (x - mean)
        constant = mean * slope - scale * db / n
        dx = _product(dy, (matrix * scale).T.to(dy.dtype), constant.to(dy.dtype))
        wide = _wide(x)
        row = slope.to(x.dtype).repeat(wide.shape[1] // len(slope))
        dx = dx.contiguous(memory_format=torch.channels_last)  # which it is, but for one pixel
        _wide(dx).addcmul_(wide, row, value=-1)
        return dx, dg, db, (outer * scale).addr_(total, b), None, None


class _MixDepths(torch.autograd.Function):
    """y = sum_d q_d M_d f_d; M_d is the identity where there is none."""

    @staticmethod
    @_AS_IT_IS  # type: ignore[untyped-decorator]
    def forward(
        ctx: Any, weights: Tensor, matrices: Sequence[Tensor | None], *features: Tensor
    ) -> Tensor:
        ctx.save_for_backward(weights, *features)
        ctx.matrices = matrices
        y: Tensor | None = None
        for weight, matrix, f in zip(weights, matrices, features, strict=True):
            if matrix is not None:
                term = _product(f, (weight * matrix).to(f.dtype))
                y = term if y is None else y.add_(term)
            else:
                own = weight.to(f.dtype)
                y = own * f if y is None else y.addcmul_(f, own)
        assert y is not None
        return y

    @staticmethod
    @once_differentiable
    @_AS_IT_IS  # type: ignore[untyped-decorator]
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        weights, *features = ctx.saved_tensors
        dy = _laid_out_as(features[0], dy)
        of_weights, of_features = [], []
        for weight, matrix, f in zip(weights, ctx.matrices, features, strict=True):
            if matrix is not None:
                of_features.append(_product(dy, (weight * matrix).T.to(dy.dtype)))
            else:
                of_features.append(weight.to(dy.dtype) * dy)
            if ctx.needs_input_grad[0]:
                agreement = _outer(dy, f) * matrix if matrix is not None else dy * f
                of_weights.append(agreement.sum(dtype=weight.dtype))
        return torch.stack(of_weights) if of_weights else None, None, *of_features


def _wide(x: Tensor) -> Tensor:
    """A view [pixels / k, k C]: neighbouring pixels side by side, as if they were more channels.

    PyTorch's kernels go through pixels one after another, a vector of channels at a time, and are
    slow for few channels and for a number of them that fills no vector.
    """
    channels = x.shape[1]
    folds = math.gcd(x.numel() // channels, FOLD)
    return x.permute(0, 2, 3, 1).view(-1, folds * channels)


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of every channel, in float32 at least."""
    wide = _wide(x)
    zeros = x.new_zeros(wide.shape[1], dtype=torch.promote_types(x.dtype, torch.float32))
    mean, variance = torch.batch_norm_update_stats(wide, zeros, zeros.clone(), 0.0)
    means, variances = mean.view(-1, x.shape[1]), variance.view(-1, x.shape[1])
    return means.mean(0), variances.mean(0) + means.var(0, correction=0)


def _laid_out_as(x: Tensor, dy: Tensor) -> Tensor:
    """dy in the memory format of x: that of a mean, say, is one number per picture and channel, and
    all that follows would be laid out by it."""
    last = x.is_contiguous(memory_format=torch.channels_last)
    return dy.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)


def _product(x: Tensor, matrix: Tensor, shift: Tensor | None = None) -> Tensor:
    """matrix x + shift."""
    return F.conv2d(x, matrix[:, :, None, None], shift)


def _outer(y: Tensor, x: Tensor) -> Tensor:
    """The sum of y x^T over pictures and pixels, [channels of y, channels of x]."""
    like = x.new_empty(y.shape[1], x.shape[1], 1, 1)
    grads = torch.ops.aten.convolution_backward(
        y, x, like, None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1, [False, True, False]
    )
    outer: Tensor = grads[1]
    return outer.flatten(1)
