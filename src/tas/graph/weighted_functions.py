"""Functions over channels, when the channels have weights: at 0 and 1 what a cut net computes.

Each takes the function, what it was called with, and the weights of the channels along one
dimension of its first argument. Between 0 and 1 it gives something in between that has gradients,
where there is something natural; else a channel counts as soon as its weight is above 0.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor

__all__ = ["WEIGHTED", "Weighing"]


@dataclass(frozen=True, eq=False)
class Weighing:
    """A call of a function whose channels have weights.

    Attributes:
        func: the function.
        x: its first argument.
        rest: its further arguments by place.
        named: those by name.
        dim: the dimension of ``x`` along which its channels are.
        weights: of the channels, in the shape of x with 1 everywhere else.
    """

    func: Callable[..., Any]
    x: Tensor
    rest: tuple[Any, ...]
    named: dict[str, Any]
    dim: int
    weights: Tensor

    def of(self, x: Tensor) -> Any:
        """What the function gives for another first argument."""
        return self.func(x, *self.rest, **self.named)

    def bound(self, *names: str) -> list[Any]:
        """The further arguments in the order of their names; None where there is none."""
        given = dict(zip(names, self.rest)) | self.named  # noqa: B905 - as many as there are
        if len(self.rest) > len(names) or given.keys() - {*names}:
            raise TypeError(f"more arguments than {names}")
        return [given.get(name) for name in names]

    def moments(self, over: list[int]) -> tuple[Tensor, Tensor, Tensor]:
        """The sum of squared distances from the mean, the mean, and how many they are."""
        many = self.count(over)
        mean = (self.x * self.weights).sum(over, keepdim=True) / many
        squares = ((self.x - mean) ** 2 * self.weights).sum(over, keepdim=True)
        return squares, mean, many

    def count(self, over: list[int]) -> Tensor:
        if self.dim not in over:
            raise TypeError("it is not over the channels")
        return self.weights.sum() * prod(self.x.shape[d] for d in over if d != self.dim)


Formula = Callable[[Weighing], Any]


def _zeroed(call: Weighing) -> Any:
    """Zeros add nothing."""
    return call.of(call.x * call.weights)


def _norm(call: Weighing) -> Any:
    """Nor do they to a norm, unless it looks for what is smallest."""
    order = call.named.get("ord", call.named.get("p", call.rest[0] if call.rest else 2))
    if order in ("fro", "nuc", None) or order > 0:
        return _zeroed(call)
    raise TypeError(f"a norm of order {order}")


def _both_zeroed(call: Weighing) -> Any:
    """Two first arguments, with their channels at the same place from the end."""
    other = call.rest[0]
    at = other.shape[call.dim - call.x.dim()]
    if other.dim() > call.x.dim() or at != call.x.shape[call.dim]:
        raise TypeError("the channels of the two are at other places")
    weights = call.weights.flatten().view([-1] + [1] * (call.x.dim() - 1 - call.dim))
    return call.func(call.x * call.weights, other * weights, *call.rest[1:], **call.named)


def _mean(call: Weighing) -> Any:
    return call.of(call.x * call.weights) * (call.weights.numel() / call.weights.sum())


def _likely(call: Weighing) -> Any:
    """Softmax and its like: a weight is a factor of what is behind the exponential."""
    return call.of(call.x + _logarithm(call.weights))


def _log_softmax(call: Weighing) -> Any:
    return torch.where(call.weights > 0, _likely(call), 0)


def _largest(call: Weighing) -> Any:
    return call.of(call.x + _logarithm(call.weights))


def _smallest(call: Weighing) -> Any:
    return call.of(call.x - _logarithm(call.weights))


def _logarithm(weights: Tensor) -> Tensor:
    gone = weights <= 0
    return weights.masked_fill(gone, 1).log().masked_fill(gone, -torch.inf)


def _product(call: Weighing) -> Any:
    return call.of(torch.where(call.weights > 0, call.x, 1))


def _variance(call: Weighing) -> Any:
    """var, std, var_mean, std_mean: of some dimensions, with a correction or its old word."""
    rest = call.rest
    if rest and isinstance(rest[0], bool):
        rest = (None, *rest)
    given = dict(zip(("dim", "unbiased", "keepdim"), rest)) | call.named  # noqa: B905
    if given.keys() - {"dim", "unbiased", "keepdim", "correction", "axis"}:
        raise TypeError("other arguments than dim, unbiased, keepdim, correction")
    over = _dims(given.get("dim", given.get("axis")), call.x.dim())
    correction = given.get("correction")
    if correction is None:
        correction = 1 if given.get("unbiased") is None else int(given["unbiased"])
    squares, mean, many = call.moments(over)
    spread = squares / (many - correction)
    if "std" in call.func.__name__:
        spread = spread.sqrt()
    found: tuple[Tensor, ...] = (
        (spread, mean) if call.func.__name__.endswith("_mean") else (spread,)
    )
    if not given.get("keepdim"):
        found = tuple(each.squeeze(over) for each in found)
    return found if len(found) > 1 else found[0]


def _dims(given: Any, dims: int) -> list[int]:
    if given is None or given == () or given == []:
        return list(range(dims))
    return [d % dims for d in ([given] if isinstance(given, int) else given)]


def _normalised(call: Weighing) -> Any:
    order, over, eps, out = call.bound("p", "dim", "eps", "out")
    if out is not None or (order is not None and order <= 0):
        raise TypeError("a norm of another kind")
    x, over = call.x * call.weights, 1 if over is None else over
    norm = torch.linalg.vector_norm(x, 2 if order is None else order, over, keepdim=True)
    return call.x / norm.clamp_min(1e-12 if eps is None else eps)


# Norms -------------------------------------------------------------------------------------------


def _layer_norm(call: Weighing) -> Any:
    shape, weight, bias, eps = call.bound("normalized_shape", "weight", "bias", "eps")
    over = range(call.x.dim() - len(shape), call.x.dim())
    return _scaled(_standard(call, list(over), eps), weight, bias)


def _rms_norm(call: Weighing) -> Any:
    shape, weight, eps = call.bound("normalized_shape", "weight", "eps")
    over = list(range(call.x.dim() - len(shape), call.x.dim()))
    eps = torch.finfo(call.x.dtype).eps if eps is None else eps
    square = (call.x**2 * call.weights).sum(over, keepdim=True) / call.count(over)
    return _scaled(call.x * torch.rsqrt(square + eps), weight, None)


def _group_norm(call: Weighing) -> Any:
    groups, weight, bias, eps = call.bound("num_groups", "weight", "bias", "eps")
    if groups != 1:
        raise TypeError("more than one group")
    y = _standard(call, list(range(1, call.x.dim())), eps)
    column = [-1] + [1] * (call.x.dim() - 2)
    parameters = (None if each is None else each.view(column) for each in (weight, bias))
    return _scaled(y, *parameters)


def _batch_norm(call: Weighing) -> Any:
    """As weights are standardised by it: over all but dimension 1, without running statistics."""
    names = ("running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
    mean, variance, weight, bias, training, _, eps = call.bound(*names)
    if mean is not None or variance is not None or not training or call.dim == 1:
        raise TypeError("a batch norm of another kind")
    y = _standard(call, [d for d in range(call.x.dim()) if d != 1], eps)
    column = [-1] + [1] * (call.x.dim() - 2)
    return _scaled(y, *(None if each is None else each.view(column) for each in (weight, bias)))


def _standard(call: Weighing, over: list[int], eps: float | None) -> Tensor:
    squares, mean, many = call.moments(over)
    return (call.x - mean) * torch.rsqrt(squares / many + (1e-5 if eps is None else eps))


def _scaled(y: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def _weight_norm(call: Weighing) -> Any:
    scale, dim = call.bound("g", "dim")
    norm = torch.norm_except_dim(call.x * call.weights, 2, dim or 0)
    return call.x * (scale / norm)


# Neighbours --------------------------------------------------------------------------------------


def _of_those_left(call: Weighing) -> Any:
    """Channels with their neighbours: those are left that have a weight, and close the ranks."""
    left = (call.weights.flatten() > 0).nonzero()[:, 0]
    small = call.of(call.x.index_select(call.dim, left))
    if small.shape[call.dim] != len(left):
        raise TypeError("it makes another number of channels")
    shape = list(small.shape)
    shape[call.dim] = call.x.shape[call.dim]
    return small.new_zeros(shape).index_copy(call.dim, left, small)


def _convolution(call: Weighing) -> Any:
    """It reads channels along dimension 1, or slides along them as if they were pixels."""
    return _zeroed(call) if call.dim == 1 else _of_those_left(call)


WEIGHTED: dict[str, Formula] = {
    **dict.fromkeys(("sum", "nansum", "linear"), _zeroed),
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _convolution),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), _convolution),
    **dict.fromkeys(("norm", "linalg_norm", "linalg_vector_norm"), _norm),
    **dict.fromkeys(("cosine_similarity", "cdist"), _both_zeroed),
    "mean": _mean,
    **dict.fromkeys(("softmax", "logsumexp"), _likely),
    "log_softmax": _log_softmax,
    **dict.fromkeys(("amax", "max"), _largest),
    **dict.fromkeys(("amin", "min"), _smallest),
    "prod": _product,
    **dict.fromkeys(("var", "std", "var_mean", "std_mean"), _variance),
    "normalize": _normalised,
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "group_norm": _group_norm,
    "batch_norm": _batch_norm,
    "_weight_norm": _weight_norm,
    "local_response_norm": _of_those_left,
}
