"""Layers: convolutions, linear layers, matrix products. They read channels and make fresh ones."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..labels import Plane, Tracer
from .call import Call

__all__ = ["contract", "convolution", "linear", "product"]


def convolution(trace: Tracer, call: Call) -> None:
    """Fresh channels out of those that the input carries.

    Groups: a group lives or dies as a whole, with all it reads and all it makes; ``groups``
    shrinks. A depthwise convolution is the case of one channel to a group. The weight [in, out /
    groups, ...] of a transposed one has no places for all that it makes: they go by its inputs.
    """
    x, weight, bias, groups = call.args[0], call["weight"], call["bias"], call["groups"]
    transposed = call.get("transposed", False)
    to, of = (1, 0) if transposed else (0, 1)
    for dim in range(2, weight.dim()):
        trace.lock(trace.along(weight, dim), "a kernel")
    for dim in (0, *range(2, x.dim())):
        trace.lock(trace.along(x, dim), "a convolution along them")
    inputs = trace.labels(x, 1)
    outputs = trace.along(weight, to)
    made = trace.labels(weight, to)
    if transposed and groups > 1:
        outputs = trace.along(weight, 0)
        read = trace.labels(weight, 0)
        trace.tie(inputs, read, "a grouped convolution of a tensor of fixed size")
        if not isinstance(read, int):
            made = read.view(groups, -1)[:, :1].expand(groups, weight.shape[1]).flatten()
    if groups == 1:
        trace.tie(inputs, trace.labels(weight, of), "its input has a fixed size")
        trace.consume(trace.along(weight, of))
    else:
        trace.lock(trace.along(weight, 1), "within a group")
        if isinstance(inputs, int) or isinstance(made, int):
            trace.tie(inputs, made, "a grouped convolution of a tensor of fixed size")
        else:
            members = torch.cat([inputs.view(groups, -1), made.view(groups, -1)], 1)
            for column in members.T[1:]:
                trace.tie(members[:, 0], column, "groups")
    if isinstance(bias, Tensor):
        trace.tie(made, trace.labels(bias, 0), "its bias")
    sides = trace.labels(weight, 0), trace.labels(weight, 1)
    trace.note_cost(call.macs, *sides)
    trace.produce(outputs, call.out)
    trace.carry(call.out, [] if isinstance(made, int) else [Plane(1, made)])


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
    trace.note_cost(call.macs, trace.labels(first, -1), *sides)


def linear(trace: Tracer, call: Call) -> None:
    """x [..., k] times the transpose of a weight [j, k], and a bias."""
    x, weight, bias, out = call["input"], call["weight"], call["bias"], call.out
    contract(trace, x, weight, -1)
    rows = [p for p in trace.planes(x) if p.dim < x.dim() - 1]
    planes = [*rows, *(p.at(out.dim() - 1) for p in trace.along(weight, 0))]
    if bias is not None:
        _add_bias(trace, bias, out, planes)
    sides = [trace.labels(x, d) for d in range(x.dim())]
    trace.note_cost(call.macs, *sides, trace.labels(weight, 0))
    trace.produce(trace.along(weight, 0), out)
    trace.carry(out, planes)


def contract(trace: Tracer, first: Tensor, second: Tensor, dim: int) -> None:
    """The last dimension of ``first`` is multiplied with ``dim`` of ``second`` and summed."""
    a, b = trace.labels(first, -1), trace.labels(second, dim)
    trace.tie(a, b, "its input has a fixed size")
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
        if len(a) == len(b):
            for p, q in zip(a, b, strict=True):
                trace.tie(p.labels, q.labels, "a matrix product")
            found += [p.at(dim) for p in a]
        else:
            trace.lock([*a, *b], "a matrix product with a tensor of fixed size")
    return found


def _add_bias(trace: Tracer, bias: Tensor, out: Tensor, planes: Sequence[Plane]) -> None:
    for own, size in enumerate(bias.shape):
        dim = own - bias.dim() + out.dim()
        found: list[Tensor | int] = [p.labels for p in planes if p.dim == dim]
        for side in found or [out.shape[dim]]:
            if size > 1:
                trace.tie(side, trace.labels(bias, own), "its bias")
