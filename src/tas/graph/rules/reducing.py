"""Sums, means, softmax, norms, pooling: what is taken together, and what is handed on.

Channels that are taken together may shrink where the net with weighted channels can compute the
same as the cut one (``..weighted``), else they must stay.
"""

import re

from torch import Tensor

from ..labels import Plane, Tracer
from ..weighted import taken_together
from .call import Call
from .marks import alike, mark_numbers

__all__ = [
    "batch_norm",
    "distances",
    "fourier",
    "fractional_pool",
    "group_norm",
    "layer_norm",
    "reduce",
    "unpool",
    "weight_norm",
    "window",
]

LIKE_THEIR_INPUT = ("_softmax", "_log_softmax", "_safe_softmax")  # a value for each channel
NUMBERED = ("max", "min")  # their second result holds indices
LARGEST = ("max", "min", "amax", "amin")  # of which a maxout layer takes one for every channel


def reduce(trace: Tracer, call: Call) -> None:
    """Sums, means, softmax, sorting: over the dimensions that the schema calls ``dim``.

    Without any, over all of them.
    """
    x = call.tensors[0]
    planes = trace.planes(x)
    if not planes:
        return
    over = _reduced(call, x.dim())
    inner = [p for d in sorted(over) if (p := trace.plane(x, d)) is not None]
    if inner and call.name in LARGEST:
        for dim in {*range(x.dim())} - over:
            trace.splits.prefer(x, dim)
    together = []
    for plane in inner:
        if plane.labels.any() and taken_together(trace, plane.labels):
            together.append(plane)
        else:
            trace.lock([plane], f"'{call.name}' over its channels")
    kept = [p for p in planes if p.dim not in over]
    kept += together if call.name in LIKE_THEIR_INPUT else []
    for number, result in enumerate(call.outs):
        if result.dim() == x.dim():
            place = {d: d for d in range(x.dim())}
        else:
            place = {d: n for n, d in enumerate(sorted({*range(x.dim())} - over))}
            if result.dim() != len(place):
                trace.lock(planes, f"'{call.name}'")
                return
        trace.carry(result, [Plane(place[p.dim], p.labels, p.origin) for p in kept])
        if number == 1 and call.name in NUMBERED:
            for plane in inner:
                mark_numbers(result, plane.labels[plane.labels > 0])


def _reduced(call: Call, dims: int) -> set[int]:
    """The dimensions that a call reduces, from 0."""
    given = call.get("dim")
    if given is None or given == []:
        return set(range(dims))
    return {d % max(dims, 1) for d in ([given] if isinstance(given, int) else given)}


def fourier(trace: Tracer, call: Call) -> None:
    """Over some dimensions; along the others each channel for itself."""
    x = call["self"]
    over = _reduced(call, x.dim())
    planes = trace.planes(x)
    trace.lock([p for p in planes if p.dim in over], f"'{call.name}' over its channels")
    trace.carry(call.outs[0], [p.at(p.dim) for p in planes if p.dim not in over])


def distances(trace: Tracer, call: Call) -> None:
    """[..., P, M] and [..., R, M] to [..., P, R]."""
    first, second = call["x1"], call["x2"]
    out = call.outs[0]
    trace.tie(trace.labels(first, -1), trace.labels(second, -1), "distances over them")
    inner = trace.along(first, -1)
    if inner and not taken_together(trace, inner[0].labels):
        trace.lock(inner, "distances over them")
    for x in (first, second):
        trace.lock([p for p in trace.planes(x) if p.dim < x.dim() - 2], "a batch of distances")
    last = out.dim() - 1
    rows = [p.at(last - 1) for p in trace.along(first, -2)]
    columns = [p.at(last) for p in trace.along(second, -2)]
    trace.carry(out, [*rows, *columns])
    sides = (trace.labels(first, -2), trace.labels(second, -2), trace.labels(first, -1))
    trace.note_cost(call.macs, *sides)


# Norms -------------------------------------------------------------------------------------------


def batch_norm(trace: Tracer, call: Call) -> None:
    """Each channel for itself; its parameters and statistics are tied to it."""
    x = call["input"]
    own = trace.labels(x, 1)
    for name in ("weight", "bias", "running_mean", "running_var"):
        other = call.get(name)
        if isinstance(other, Tensor) and other.dim() == 1 and len(other) > 1:
            trace.tie(own, trace.labels(other, 0), "a norm of a tensor of fixed size")
    planes, together = trace.planes(x), False
    for plane in planes:
        if plane.dim == 1:
            continue
        if plane.origin is not None and not together and taken_together(trace, plane.labels):
            together = True  # a weight that is standardised: it is read where it is used
        else:
            trace.lock([plane], "a norm over them")
    kept = [p for p in planes if p.dim == 1 or p.origin is not None]
    trace.carry(call.outs[0], kept)


def layer_norm(trace: Tracer, call: Call) -> None:
    """Over the last dimensions: channels may shrink, the statistics are then those left."""
    x, over = call["input"], len(call["normalized_shape"])
    parameters = [t for t in (call["weight"], call.get("bias")) if isinstance(t, Tensor)]
    first = x.dim() - over
    for other in parameters:
        for own in range(over):
            if not over > 1 or trace.along(x, first + own):
                why = "a norm of a tensor of fixed size"
                trace.tie(trace.labels(x, first + own), trace.labels(other, own), why)
            else:
                trace.lock(trace.along(other, own), "a norm over pixels")
    inner = [p for p in trace.planes(x) if p.dim >= first]
    for plane in inner:
        if len(inner) > 1 or not taken_together(trace, plane.labels):
            trace.lock([plane], "a norm over them")
    trace.carry(call.outs[0], [p.at(p.dim) for p in trace.planes(x)])


def group_norm(trace: Tracer, call: Call) -> None:
    """A group lives or dies as a whole; ``num_groups`` shrinks. One group may lose channels."""
    x, groups = call["input"], call["group"]
    own = trace.labels(x, 1)
    for other in (call["weight"], call["bias"]):
        if isinstance(other, Tensor):
            trace.tie(own, trace.labels(other, 0), "a norm of a tensor of fixed size")
    if not isinstance(own, int):
        members = own.view(groups, -1)
        if groups > 1 or not taken_together(trace, own):
            for column in members.T[1:]:
                trace.tie(members[:, 0], column, "groups of a norm")
    trace.lock([p for p in trace.planes(x) if p.dim != 1], "a norm over them")
    trace.carry(call.outs[0], [p.at(1) for p in trace.along(x, 1)])


def weight_norm(trace: Tracer, call: Call) -> None:
    """A weight v of rows with a length g each, or of columns."""
    v, g, dim = call["v"], call["g"], call["dim"]
    trace.tie(trace.labels(v, dim), trace.labels(g, dim), "their lengths")
    kept, together = [], False
    for plane in trace.planes(v):
        if plane.dim != dim:
            if plane.dim > 1 or together or not taken_together(trace, plane.labels):
                trace.lock([plane], "a norm of weights over them")
            together = True
        kept.append(plane)
    trace.carry(call.outs[0], kept)


# Windows -----------------------------------------------------------------------------------------


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


def unpool(trace: Tracer, call: Call) -> None:
    """A map and the places that its pixels had: each channel for itself."""
    x, places = call["self"], call["indices"]
    for dim in range(x.dim()):
        if trace.along(x, dim) or trace.along(places, dim):
            trace.tie(trace.labels(x, dim), trace.labels(places, dim), f"'{call.name}'")
    window(trace, call)


def fractional_pool(trace: Tracer, call: Call) -> None:
    """Windows at random places [N, C, ...], which every channel has for itself."""
    x, places = call["self"], call["random_samples"]
    for dim in (0, 1):
        own = x.dim() - places.shape[-1] - 2 + dim  # [C, H, W] has places [1, C, 2]
        if own >= 0 and trace.along(x, own) and not alike(places, dim):
            trace.tie(trace.labels(x, own), trace.labels(places, dim), f"'{call.name}'")
    window(trace, call)
