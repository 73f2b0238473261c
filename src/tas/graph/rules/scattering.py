"""Reading and writing at places that are computed: along one dimension, channel by channel."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..labels import Plane, Tracer
from .call import Call
from .marks import alike
from .pointwise import element_by_element, united

__all__ = [
    "at_places",
    "embedding",
    "embedding_bag",
    "index_put",
    "packed",
    "slice_scatter",
    "unpacked",
]


def at_places(trace: Tracer, call: Call) -> None:
    """gather, scatter, index_fill, ...: along ``dim``; along the others each for itself."""
    x = call["self"]
    dim = call["dim"] % max(x.dim(), 1)
    why = f"'{call.name}' along them"
    beside = [t for t in call.tensors if t.dim() == x.dim() > 0]
    for other in call.tensors:
        whole = all(other is not t for t in beside) or len(beside) == 0
        trace.lock([p for p in trace.planes(other) if whole or p.dim == dim], why)
    found = united(trace, beside, x.dim(), f"'{call.name}' by a tensor of fixed size")
    trace.carry(call.out, [p.at(p.dim) for p in found if p.dim != dim])


def index_put(trace: Tracer, call: Call) -> None:
    """x[..., places, ...] = values: along what is indexed nothing may shrink; behind it, it may.

    Where a mask of x itself chooses numbers, such as x[x < 0] = 0, each is chosen for itself.
    """
    x, places, values = call["self"], call["indices"], call["values"]
    if _mask_of(x, places) and values.numel() == 1:
        element_by_element(trace, call)
        return
    over: set[int] = set()
    dim, several = 0, False
    for index in places:
        masks = isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8)
        sizes = index.dim() if masks and isinstance(index, Tensor) else 1
        if isinstance(index, Tensor):
            several |= index.dim() != 1
            over |= set(range(dim, dim + sizes))
        dim += sizes
    if several or len(over) != 1:  # points, masks of several dimensions: told from behind alone
        over = set(range(max(over) + 1))
    trace.lock([p for p in trace.planes(x) if p.dim in over], f"'{call.name}' along them")
    for index in places:
        if isinstance(index, Tensor):
            trace.lock(trace.planes(index), f"'{call.name}' at them")
    kept = [p for p in trace.planes(x) if p.dim not in over]
    _tie_values(trace, kept, x, values, f"'{call.name}'")
    trace.carry(call.out, [p.at(p.dim) for p in kept])


def _mask_of(x: Tensor, places: Sequence[Tensor | None]) -> bool:
    """Whether what is written to is told by one mask of all dimensions."""
    first = places[0] if len(places) == 1 else None
    return first is not None and first.dtype == torch.bool and first.shape == x.shape


def _tie_values(trace: Tracer, kept: Sequence[Plane], x: Tensor, values: Tensor, why: str) -> None:
    """What is written has the channels of what it is written into."""
    found = set()
    for plane in kept:
        own = plane.dim - x.dim() + values.dim()
        if own >= 0 and values.shape[own] > 1 and not alike(values, own):
            trace.tie(plane.labels, trace.labels(values, own), why)
            found.add(own)
    trace.lock([p for p in trace.planes(values) if p.dim not in found], why)


def slice_scatter(trace: Tracer, call: Call) -> None:
    """x with a part along ``dim`` from another: both have the channels of that part."""
    x, part, dim = call["self"], call["src"], call["dim"] % call["self"].dim()
    planes = trace.planes(x)
    for plane in planes:
        labels = plane.labels
        if plane.dim == dim:
            labels = labels[slice(call["start"], call["end"], call["step"])]
        if not alike(part, plane.dim):
            trace.tie(labels, trace.labels(part, plane.dim), f"'{call.name}'")
    own = {p.dim for p in planes}
    trace.lock([p for p in trace.planes(part) if p.dim not in own], f"'{call.name}'")
    trace.carry(call.out, [p.at(p.dim) for p in planes])


def embedding(trace: Tracer, call: Call) -> None:
    """Rows of a table [words, channels]: a layer that makes channels."""
    weight, out = call["weight"], call.out
    trace.lock(trace.planes(call["indices"]), "words to look up")
    trace.lock(trace.along(weight, 0), "rows of a table")
    trace.produce(trace.along(weight, 1), out)
    trace.carry(out, [p.at(out.dim() - 1) for p in trace.along(weight, 1)])


def embedding_bag(trace: Tracer, call: Call) -> None:
    """Sums, means, or the largest of rows of a table [words, channels], bag by bag."""
    weight, out = call["weight"], call.outs[0]
    others = [t for t in call.tensors if t is not weight]
    trace.lock([p for t in others for p in trace.planes(t)], f"'{call.name}' by them")
    trace.lock(trace.along(weight, 0), "rows of a table")
    trace.produce(trace.along(weight, 1), out)
    trace.carry(out, [p.at(1) for p in trace.along(weight, 1)])


def packed(trace: Tracer, call: Call) -> None:
    """Sequences that are padded, [N, T, ...], as what they have in all steps [steps, ...]."""
    planes = trace.planes(call["input"])
    trace.lock([p for p in planes if p.dim < 2], f"'{call.name}' along them")
    trace.carry(call.outs[0], [p.at(p.dim - 1) for p in planes if p.dim > 1])


def unpacked(trace: Tracer, call: Call) -> None:
    """The other way round."""
    planes = trace.planes(call["data"])
    trace.lock([p for p in planes if p.dim < 1], f"'{call.name}' along them")
    trace.carry(call.outs[0], [p.at(p.dim + 1) for p in planes if p.dim > 0])
