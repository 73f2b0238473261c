"""Layers: convolutions, linear layers, matrix products. They read channels and make fresh ones."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..labels import Plane, Tracer
from ..weighted import taken_together
from .call import Call
from .marks import alike, blank, filled, runs_over

__all__ = [
    "bilinear",
    "contract",
    "convolution",
    "deformed_convolution",
    "linear",
    "product",
    "vector_product",
]


FIXED = "its input has a fixed size"


def convolution(trace: Tracer, call: Call) -> None:
    """Fresh channels out of those that the input carries.

    Groups: a group lives or dies as a whole, with all it reads and all it makes; ``groups``
    shrinks. A depthwise convolution is the case of one channel to a group. Where whole groups
    cannot go (``..splits``), all of them shrink alike. The weight [in, out / groups, ...] of a
    transposed one has no places for all that it makes: they go by its inputs.
    """
    x, weight, bias, groups = call.args[0], call["weight"], call["bias"], call["groups"]
    transposed = call.get("transposed", False)
    to = 1 if transposed else 0
    for dim in range(2, weight.dim()):
        trace.lock(trace.along(weight, dim), "a kernel")
    inputs = trace.labels(x, 1)
    outputs = trace.along(weight, to)
    made = trace.labels(weight, to)
    if alike(weight, 0) and groups == weight.shape[0] == x.shape[1] and weight.shape[1] == 1:
        made = inputs  # the same filter for every channel
    if transposed and groups > 1:
        outputs = trace.along(weight, 0)
        read = trace.labels(weight, 0)
        trace.tie(inputs, read, "a grouped convolution of a tensor of fixed size")
        if not isinstance(read, int):
            made = read.view(groups, -1)[:, :1].expand(groups, weight.shape[1]).flatten()
    if groups == 1:
        _meets(trace, x, 1, trace.labels(weight, 1 - to), FIXED)
        _reads(trace, weight, 1 - to, inputs)
    elif not transposed and _within_groups(trace, weight, groups, inputs, made):
        pass
    else:
        trace.lock(trace.along(weight, 1), "within a group")
        if isinstance(inputs, int) or isinstance(made, int):
            trace.tie(inputs, made, "a grouped convolution of a tensor of fixed size")
        else:
            members = torch.cat([inputs.view(groups, -1), made.view(groups, -1)], 1)
            for column in members.T[1:]:
                trace.tie(members[:, 0], column, "groups")
    if isinstance(bias, Tensor):
        _meets(trace, bias, 0, made, "its bias")
    beside = _beside(trace, call, transposed)
    sides = [trace.labels(weight, 0), trace.labels(weight, 1), *(p.labels for p in beside)]
    if isinstance(sides[0], int) and groups > 1 and made is inputs:
        sides[0] = made
    trace.note_cost(call.macs, *sides)
    trace.produce(outputs, call.outs[0])
    channels = [] if isinstance(made, int) else [Plane(1, made)]
    trace.carry(call.outs[0], [*channels, *beside])


def _within_groups(
    trace: Tracer, weight: Tensor, groups: int, inputs: Tensor | int, made: Tensor | int
) -> bool:
    """Whether all groups shrink alike, the channels at the same place of each together."""
    if isinstance(inputs, int) or isinstance(made, int) or weight.shape[1] == 1:
        return False
    if not trace.splits.within(trace.path[-1], made):
        return False
    first, *others = inputs.view(groups, -1)
    for other in others:
        trace.tie(first, other, "groups")
    trace.tie(first, trace.labels(weight, 1), FIXED)
    _reads(trace, weight, 1, first)
    first, *others = made.view(groups, -1)
    for other in others:
        trace.tie(first, other, "groups")
    return True


def _beside(trace: Tracer, call: Call, transposed: bool) -> list[Plane]:
    """Planes along the batch, and along what a convolution slides over, where they may stay.

    They may where the net takes its channels for examples or pixels, so that each is a map of one.
    """
    x, weight, out = call.args[0], call["weight"], call.outs[0]
    kept = []
    for plane in trace.planes(x):
        dim = plane.dim
        if dim == 1:
            continue
        slides = dim > 1 and (weight.shape[dim] > 1 or out.shape[dim] != x.shape[dim])
        as_pixels = slides and not transposed and out.shape[dim] == x.shape[dim]
        if x.shape[1] == 1 and (not slides or (as_pixels and taken_together(trace, plane.labels))):
            kept.append(plane.at(dim))
        else:
            trace.lock([plane], "a convolution along them")
            trace.splits.prefer(x, 1)
    return kept


def _made_up(x: Tensor) -> bool:
    """Whether it has no channels of its own along its last dimension, or along a part of it."""
    return alike(x, x.dim() - 1) or blank(x, -1) is not None


def _meets(trace: Tracer, x: Tensor, dim: int, others: Tensor | int, why: str) -> None:
    """What a tensor carries along a dimension is tied to others, but where it is blank."""
    trace.tie(filled(x, dim, trace.labels(x, dim), others), others, why)


def _reads(trace: Tracer, weight: Tensor, dim: int, inputs: Tensor | int) -> None:
    """A layer reads channels along a dimension of its weight.

    Where that is computed (standardised, normed, a buffer), no parameter can be weighted in the
    place of what it reads: the call itself reads weighted channels.
    """
    if isinstance(inputs, int) or _is_parameter(weight) or not taken_together(trace, inputs):
        trace.consume(trace.along(weight, dim))


def _is_parameter(tensor: Tensor) -> bool:
    """Whether it is a parameter, or a view of one."""
    return isinstance(tensor, nn.Parameter) or isinstance(tensor._base, nn.Parameter)


def deformed_convolution(trace: Tracer, call: Call) -> None:
    """A convolution at places that are computed: where they are is no channel of the map."""
    x, weight, bias = call["input"], call["weight"], call["bias"]
    for other in (call["offset"], call["mask"]):
        trace.lock(trace.planes(other), "where a deformable convolution looks")
    for dim in range(2, weight.dim()):
        trace.lock(trace.along(weight, dim), "a kernel")
    trace.lock([p for p in trace.planes(x) if p.dim != 1], "a convolution along them")
    inputs, made = trace.labels(x, 1), trace.labels(weight, 0)
    several = call["groups"] > 1 or call["offset_groups"] > 1
    if several:
        trace.lock([*trace.along(x, 1), *trace.along(weight, 1)], "groups that are deformed")
    else:
        trace.tie(inputs, trace.labels(weight, 1), FIXED)
        _reads(trace, weight, 1, inputs)
    if call["groups"] > 1:
        trace.lock(trace.along(weight, 0), "groups that are deformed")
    if not alike(bias, 0):  # zeros, where the layer has none
        trace.tie(made, trace.labels(bias, 0), "its bias")
    trace.note_cost(call.macs, made, trace.labels(weight, 1))
    trace.produce(trace.along(weight, 0), call.out)
    trace.carry(call.out, [p.at(1) for p in trace.along(weight, 0)])


def bilinear(trace: Tracer, call: Call) -> None:
    """_trilinear as a bilinear layer calls it: x [..., i], weight [o, i, j], y [..., j]."""
    x, weight, y, out = call["i1"], call["i2"], call["i3"], call.out
    if weight.dim() != 3 or x.dim() != 2 or y.dim() != 2 or out.dim() != 2:
        raise ValueError("no bilinear layer")
    for dim, read in ((1, x), (2, y)):
        trace.tie(trace.labels(read, 1), trace.labels(weight, dim), FIXED)
        trace.lock(trace.along(read, 0), "a bilinear layer's examples")
    trace.consume([*trace.along(weight, 1), *trace.along(weight, 2)])
    sides = [trace.labels(weight, d) for d in range(3)]
    trace.note_cost(call.macs, *sides)
    trace.produce(trace.along(weight, 0), out)
    trace.carry(out, [p.at(1) for p in trace.along(weight, 0)])


def product(trace: Tracer, call: Call) -> None:
    """mm, bmm, addmm, baddbmm: [..., i, k] times [..., k, j], and what is added."""
    *added, first, second = call.args
    out = call.out
    contract(trace, first, second, -2)
    planes = _product_planes(trace, first, second, out)
    for bias in added:
        _add_bias(trace, bias, out, planes)
    trace.produce([*trace.along(first, -2), *trace.along(second, -1)], out)
    trace.carry(out, planes)
    sides = [trace.labels(out, d) for d in range(out.dim())]
    summed = trace.labels(second, -2) if _made_up(first) else trace.labels(first, -1)
    if out.dim() == 3 and isinstance(summed, Tensor):
        trace.notes.summed.append(summed)
    trace.note_cost(call.macs, summed, *sides)


def vector_product(trace: Tracer, call: Call) -> None:
    """mv, dot: a matrix, or a vector, times a vector."""
    first, second = call.args[:2]
    contract(trace, first, second, 0)
    rows = [p.at(0) for p in trace.along(first, 0)] if first.dim() == 2 else []
    trace.carry(call.out, rows)
    trace.note_cost(call.macs, *(trace.labels(first, d) for d in range(first.dim())))


def linear(trace: Tracer, call: Call) -> None:
    """x [..., k] times the transpose of a weight [j, k], and a bias."""
    x, weight, bias, out = call["input"], call["weight"], call["bias"], call.out
    contract(trace, x, weight, -1)
    rows = [p for p in trace.planes(x) if p.dim < x.dim() - 1]
    planes = [*rows, *(p.at(out.dim() - 1) for p in trace.along(weight, 0))]
    if bias is not None:
        _add_bias(trace, bias, out, planes)
    sides = [trace.labels(x, d) for d in range(x.dim() - 1)]
    inner = trace.labels(weight if _made_up(x) else x, -1)
    trace.note_cost(call.macs, *sides, inner, trace.labels(weight, 0))
    trace.produce(trace.along(weight, 0), out)
    trace.carry(out, planes)


def contract(trace: Tracer, first: Tensor, second: Tensor, dim: int) -> None:
    """The last dimension of ``first`` is multiplied with ``dim`` of ``second`` and summed."""
    a, b = trace.labels(first, -1), trace.labels(second, dim)
    if alike(first, first.dim() - 1):  # zeros that a recurrent net starts from
        a = b
    else:
        _meets(trace, first, -1, b, FIXED)
    if not (isinstance(a, int) or _is_parameter(first) or _is_parameter(second)):
        computed = any(p.origin is not None for p in trace.along(second, dim))
        if computed and taken_together(trace, a):  # by a linear layer
            return
    origins = [
        p for p in (*trace.along(first, -1), *trace.along(second, dim)) if p.origin is not None
    ]
    if origins:
        trace.consume(origins)
    elif not (isinstance(a, int) or isinstance(b, int)):
        trace.notes.multiplied.append(a)


def _product_planes(trace: Tracer, first: Tensor, second: Tensor, out: Tensor) -> list[Plane]:
    last = out.dim() - 1
    found = [p.at(last - 1) for p in trace.along(first, -2)]
    found += [p.at(last) for p in trace.along(second, -1)]
    for dim in range(last - 1):
        a, b = trace.along(first, dim), trace.along(second, dim)
        if _the_same(second, dim, a) or _the_same(first, dim, b):
            found += [p.at(dim) for p in (*a, *b)]
        elif len(a) == len(b):
            for p, q in zip(a, b, strict=True):
                trace.tie(p.labels, q.labels, "a matrix product")
            found += [p.at(dim) for p in a]
        else:
            trace.lock([*a, *b], "a matrix product with a tensor of fixed size")
    return found


def _the_same(tensor: Tensor, dim: int, beside: Sequence[Plane]) -> bool:
    """Whether it will be there for as many channels of another tensor as there are."""
    same = alike(tensor, dim) or any(runs_over(tensor, dim, p.labels) for p in beside)
    return same and len(beside) == 1


def _add_bias(trace: Tracer, bias: Tensor, out: Tensor, planes: Sequence[Plane]) -> None:
    for own, size in enumerate(bias.shape):
        dim = own - bias.dim() + out.dim()
        found: list[Tensor | int] = [p.labels for p in planes if p.dim == dim]
        for side in found or [out.shape[dim]]:
            if size > 1:
                _meets(trace, bias, own, side, "its bias")
