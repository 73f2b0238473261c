"""Sums, means, softmax, norms, pooling: what is reduced over must stay, the rest is handed on."""

import re

from torch import Tensor

from ..labels import Tracer
from .call import Call

__all__ = ["batch_norm", "group_norm", "layer_norm", "reduce", "window"]


def reduce(trace: Tracer, call: Call) -> None:
    """Sums, means, softmax, sorting: over the dimensions that the schema calls ``dim``.

    Without any, over all of them.
    """
    x = call.tensors[0]
    planes = trace.planes(x)
    if not planes:
        return
    over = _reduced(call, x.dim())
    for result in call.outs:
        if result.dim() == x.dim():
            place = {d: d for d in range(x.dim())}
        else:
            place = {d: n for n, d in enumerate(sorted({*range(x.dim())} - over))}
            if result.dim() != len(place):
                trace.lock(planes, f"'{call.name}'")
                return
        trace.carry(result, [p.at(place[p.dim]) for p in planes if p.dim not in over])
    trace.lock([p for p in planes if p.dim in over], f"'{call.name}' over its channels")


def _reduced(call: Call, dims: int) -> set[int]:
    """The dimensions that a call reduces, from 0."""
    given = call.get("dim")
    if given is None or given == []:
        return set(range(dims))
    return {d % max(dims, 1) for d in ([given] if isinstance(given, int) else given)}


def batch_norm(trace: Tracer, call: Call) -> None:
    """Each channel for itself; its parameters and statistics are tied to it."""
    x = call["input"]
    own = trace.labels(x, 1)
    for name in ("weight", "bias", "running_mean", "running_var"):
        other = call.get(name)
        if isinstance(other, Tensor) and other.dim() == 1 and len(other) > 1:
            trace.tie(own, trace.labels(other, 0), "a norm of a tensor of fixed size")
    trace.lock([p for p in trace.planes(x) if p.dim != 1], "a norm over them")
    trace.carry(call.outs[0], [p.at(1) for p in trace.along(x, 1)])


def layer_norm(trace: Tracer, call: Call) -> None:
    """Over the last dimension: its channels may shrink, its statistics are then those left."""
    x, weight, over = call["input"], call["weight"], len(call["normalized_shape"])
    parameters = [t for t in (weight, call["bias"]) if isinstance(t, Tensor)]
    if over == 1:
        own = trace.labels(x, -1)
        for other in parameters:
            trace.tie(own, trace.labels(other, 0), "a norm of a tensor of fixed size")
        if not isinstance(own, int):
            scale = trace.along(weight, 0) if isinstance(weight, Tensor) else ()
            if not scale or scale[0].origin is None:
                trace.lock(trace.along(x, -1), "a layer norm without a scale of its own")
            else:
                trace.notes.norms[scale[0].origin[0]] = own
    else:
        why = "a layer norm over several dimensions"
        trace.lock([p for p in trace.planes(x) if p.dim >= x.dim() - over], why)
        for other in parameters:
            trace.lock(trace.planes(other), why)
    trace.carry(call.outs[0], [p.at(p.dim) for p in trace.planes(x)])


def group_norm(trace: Tracer, call: Call) -> None:
    """A group lives or dies as a whole; ``num_groups`` shrinks."""
    x, groups = call["input"], call["group"]
    own = trace.labels(x, 1)
    for other in (call["weight"], call["bias"]):
        if isinstance(other, Tensor):
            trace.tie(own, trace.labels(other, 0), "a norm of a tensor of fixed size")
    if not isinstance(own, int):
        members = own.view(groups, -1)
        for column in members.T[1:]:
            trace.tie(members[:, 0], column, "groups of a norm")
    trace.lock([p for p in trace.planes(x) if p.dim != 1], "a norm over them")
    trace.carry(call.outs[0], [p.at(1) for p in trace.along(x, 1)])


def window(trace: Tracer, call: Call) -> None:
    """Pooling, padding and resizing along the last dimensions: each channel for itself.

    How many they are is in the operator's name, as in ``avg_pool2d``; else all behind [N, C].
    """
    x = call.tensors[0]
    named = re.search(r"(\d)d", call.name)
    spatial = x.dim() - int(named[1]) if named else 2
    trace.lock([p for p in trace.planes(x) if p.dim >= spatial], f"'{call.name}' along them")
    kept = [p.at(p.dim) for p in trace.planes(x) if p.dim < spatial]
    for result in call.outs:
        trace.carry(result, kept)
