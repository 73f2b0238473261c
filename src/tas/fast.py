"""The two places where a search step spends its time beside the convolutions, with fewer passes
over the activations than their plain forms in ``paper``.

``norm_mix`` is ``mix_channels(norm(x), matrix)`` as one product: a norm is affine once its
statistics are known, and folds into the matrix. ``mix_depths`` is ``paper.mix_depths`` without a
concatenation, or without a new tensor for every term of the sum. All keep nothing but their inputs
for the backward pass. Where the fast form does not apply, they take the plain one; ``mixing``
brings ``norm_mix`` to the norms of a net.

Symbols: x is what the norm is given, z what it returns, y = M z; g and b are the norm's scale and
shift, d is 1 / standard deviation; n values per channel.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from . import paper

__all__ = ["foldable", "mix_depths", "mixing", "norm_mix"]


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
    assert norm.momentum is not None
    norm.num_batches_tracked.add_(1)
    with torch.no_grad():
        mean, variance = torch.batch_norm_update_stats(
            x, norm.running_mean, norm.running_var, norm.momentum
        )
        d = (variance + norm.eps).rsqrt_()
    y: Tensor = _NormMix.apply(x, norm.weight, norm.bias, matrix, mean, d)
    return y


def mix_depths(features: list[Tensor], weights: Tensor, matrices: Tensor | None = None) -> Tensor:
    """``paper.mix_depths``; the arguments are the same."""
    if not all(map(_fast, features)):
        return paper.mix_depths(features, weights, matrices)
    y: Tensor
    if matrices is None:
        y = _SumDepths.apply(weights, *features)
        return y
    y = _MixDepths.apply(weights[:, None, None] * matrices, *features)
    return y


def _fast(x: Tensor) -> bool:
    """Elsewhere the plain form is taken until the fast one has been measured there, and PyTorch's
    compiler makes its own of it."""
    return x.device.type == "cpu" and x.dim() == 4 and not torch.compiler.is_compiling()


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
        total = dy.sum((0, 2, 3)).to(mean.dtype)
        outer = _outer(dy, x).to(mean.dtype).addr_(total, mean, alpha=-1)
        scale = g * d
        db = total @ matrix
        dg = (matrix * outer).sum(0) * d
        slope = scale * d * dg / n
        # dx = g d (dz - mean(dz)) - slope (x - mean)
        constant = mean * slope - scale * db / n
        dx = _product(dy, (matrix * scale).T.to(dy.dtype), constant.to(dy.dtype))
        if x.dtype == torch.bfloat16:  # a product with a row is slow there, one with a matrix fast
            dx.sub_(_product(x, slope.diag().to(x.dtype)))
        else:
            dx.addcmul_(x, slope[:, None, None].to(x.dtype), value=-1)
        return dx, dg, db, (outer * scale).addr_(total, b), None, None


class _MixDepths(torch.autograd.Function):
    """y = sum_d M_d f_d."""

    @staticmethod
    @_AS_IT_IS  # type: ignore[untyped-decorator]
    def forward(ctx: Any, matrices: Tensor, *features: Tensor) -> Tensor:
        ctx.save_for_backward(matrices, *features)
        first, *others = matrices.to(features[0].dtype)
        y = _product(features[0], first)
        for feature, matrix in zip(features[1:], others, strict=True):
            y.add_(_product(feature, matrix))
        return y

    @staticmethod
    @once_differentiable
    @_AS_IT_IS  # type: ignore[untyped-decorator]
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        matrices, *features = ctx.saved_tensors
        dy = _laid_out_as(features[0], dy)
        transposed = matrices.mT.to(dy.dtype)
        of_matrices = None
        if ctx.needs_input_grad[0]:
            of_matrices = torch.stack([_outer(dy, f) for f in features]).to(matrices.dtype)
        return of_matrices, *(_product(dy, m) for m in transposed)


class _SumDepths(torch.autograd.Function):
    """y = sum_d q_d f_d."""

    @staticmethod
    @_AS_IT_IS  # type: ignore[untyped-decorator]
    def forward(ctx: Any, weights: Tensor, *features: Tensor) -> Tensor:
        ctx.save_for_backward(weights, *features)
        first, *others = weights.to(features[0].dtype)
        y: Tensor = first * features[0]
        for feature, weight in zip(features[1:], others, strict=True):
            y.addcmul_(feature, weight)
        return y

    @staticmethod
    @once_differentiable
    @_AS_IT_IS  # type: ignore[untyped-decorator]
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        weights, *features = ctx.saved_tensors
        dy = _laid_out_as(features[0], dy)
        of_weights = None
        if ctx.needs_input_grad[0]:
            sums = [(dy * f).sum(dtype=weights.dtype) for f in features]
            of_weights = torch.stack(sums)
        return of_weights, *(weight * dy for weight in weights.to(dy.dtype))


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
