"""Moved about: views, permutations, selections, joins. The labels take the way of the data."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from ..labels import Plane, Tracer
from .call import Call, tensors
from .pointwise import unknown

__all__ = ["cat", "move", "stack"]


def move(trace: Tracer, call: Call) -> None:
    """Views, permutations, rolls, pads, selections: the labels take the way of the data."""
    sources = [t for t in call.tensors if trace.planes(t)]
    if not sources:
        return
    if len(sources) > 1:
        unknown(trace, call)
        return
    carried: list[list[Plane]] = [[] for _ in call.outs]
    for plane in trace.planes(sources[0]):
        parts = []
        for planes, moved in zip(carried, _moved(trace, call, sources[0], plane), strict=True):
            if moved is not None:
                planes.append(moved)
                parts.append(moved.labels)
        if len(parts) > 1 and len({len(p) for p in parts}) == 1:
            for part in parts[1:]:  # halves, thirds: the net's code counts on equal ones
                trace.tie(parts[0], part, f"'{call.name}'")
        elif call.name == "slice" and len(parts) == 1:
            _tie_parts(trace, plane, parts[0])
    for result, planes in zip(call.outs, carried, strict=True):
        trace.carry(result, planes)


def _moved(trace: Tracer, call: Call, source: Tensor, plane: Plane) -> list[Plane | None]:
    """Where the labels of a plane are in each of the results; None where just one of them is."""
    size = [1] * source.dim()
    size[plane.dim] = -1
    # Positions, not labels: these may be all the same. 0 is what the operator puts in.
    image = torch.arange(1, len(plane.labels) + 1).view(size).expand(source.shape)
    lookup = torch.cat([torch.zeros(1, dtype=torch.long), plane.labels])
    found: list[Plane | None] = []
    for positions in _again(call, source, image):
        line = _line(positions)
        if line is None:
            one = Plane(0, lookup[positions.flatten()[:1]])
            trace.lock([one], f"'{call.name}' with a constant index")
            found.append(None)
            continue
        dim, rows = line
        for row in rows[1:]:
            trace.tie(lookup[rows[0]], lookup[row], f"'{call.name}'")
        found.append(Plane(dim, lookup[rows[0]], plane.origin))
    return found


def _again(call: Call, source: Tensor, image: Tensor) -> list[Tensor]:
    """What the operator makes of ``image`` in the place of ``source``."""
    if call.name in ("view", "_unsafe_view", "reshape", "_reshape_alias"):
        return [image.reshape(call.outs[0].shape)]
    if call.name == "constant_pad_nd":
        return [call.func(image, call["pad"], 0)]
    if call.name == "expand":  # the example's own strides may be those of another expansion
        return [image.expand(call.outs[0].shape)]
    swap = {id(source): image}

    def given(x: Any) -> Any:
        return swap.get(id(x), x.cpu()) if isinstance(x, Tensor) else x

    return list(tensors(call.func(*tree_map(given, call.args), **tree_map(given, call.kwargs))))


def _line(positions: Tensor) -> tuple[int, Tensor] | None:
    """The dimension along which positions vary, and they [n, its size]; None where none does.

    Where a view splits the channels into a x b, they vary along two: the rows are then the a parts,
    and what stands at the same place of each is to be tied. The net's code takes a for a constant,
    so it is b that may shrink.
    """
    still = tuple(slice(0, 1) if stride == 0 else slice(None) for stride in positions.stride())
    small = positions[still]
    varying = [
        d
        for d in range(small.dim())
        if small.shape[d] > 1 and not torch.equal(small, small.narrow(d, 0, 1).expand_as(small))
    ]
    if not varying:
        return None
    last = varying[-1]
    for d in sorted(set(range(small.dim())) - set(varying), reverse=True):
        small = small.select(d, 0)
    return last, small.flatten(0, -2) if len(varying) > 1 else small[None]


def _tie_parts(trace: Tracer, plane: Plane, part: Tensor) -> None:
    """A slice that is one of several equal parts: the code counts on equal ones."""
    whole = plane.labels
    if len(part) == 0 or len(whole) == len(part) or len(whole) % len(part):
        return
    rows = whole.view(-1, len(part))
    if bool((rows == part).all(1).any()):
        for row in rows[1:]:
            trace.tie(rows[0], row, "'slice'")


def cat(trace: Tracer, call: Call) -> None:
    """Along the dimension, one behind the other; along the others, tied."""
    parts = [t for t in call["tensors"] if t.numel()]
    dim = call["dim"] % call.out.dim()
    found = _united_but(trace, parts, call.out.dim(), dim)
    kinds = [trace.along(t, dim) for t in parts]
    for kind in range(max(map(len, kinds), default=0)):
        lines = [
            own[kind].labels if kind < len(own) else torch.zeros(t.shape[dim], dtype=torch.long)
            for own, t in zip(kinds, parts, strict=True)
        ]
        found.append(Plane(dim, torch.cat(lines)))
    trace.carry(call.out, found)


def stack(trace: Tracer, call: Call) -> None:
    """Along a new dimension; along the others, tied."""
    parts = list(call["tensors"])
    new = call["dim"] % call.out.dim()
    found = _united_but(trace, parts, parts[0].dim(), None)
    trace.carry(call.out, [p.at(p.dim + (p.dim >= new)) for p in found])


def _united_but(
    trace: Tracer, parts: Sequence[Tensor], dims: int, apart: int | None
) -> list[Plane]:
    """The planes along all dimensions but one, in which the parts must be alike."""
    found: list[Plane] = []
    for dim in range(dims):
        kinds = [trace.along(t, dim) for t in parts]
        if dim == apart or not any(kinds):
            continue
        if any(len(kind) != len(kinds[0]) for kind in kinds):
            for kind in kinds:
                trace.lock(kind, "joined with a tensor of fixed size")
            continue
        for other in kinds[1:]:
            for a, b in zip(kinds[0], other, strict=True):
                trace.tie(a.labels, b.labels, "'cat'")
        found += [p.at(dim) for p in kinds[0]]
    return found
