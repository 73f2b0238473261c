"""Moved about: views, permutations, selections, joins. The labels take the way of the data."""

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from ..labels import Plane, Tracer
from .call import Call, tensors
from .marks import alike, mark_alike, mark_blank, mark_runs, mark_single, single
from .pointwise import unknown

__all__ = ["as_complex", "cat", "in_place", "move", "pad", "repeat", "roll", "stack"]


VIEWS = ("view", "_unsafe_view", "reshape", "_reshape_alias")
# What takes channels apart into tensors of their own.
APART = ("unbind", "split", "unsafe_split", "split_with_sizes", "unsafe_split_with_sizes")


def move(trace: Tracer, call: Call) -> None:
    """Views, permutations, selections: the labels take the way of the data."""
    _carry(trace, call)
    if call.name in VIEWS and len(call.outs) == 1:
        _mark_same(trace, call.tensors[0], call.outs[0])


def _mark_same(trace: Tracer, source: Tensor, result: Tensor) -> None:
    """What a view is the same along, or in runs, where its source is along some dimensions."""
    same = [d for d in range(source.dim()) if alike(source, d)]
    if not same or alike(source):
        return
    sizes = [1 if d in same else size for d, size in enumerate(source.shape)]
    image = torch.arange(prod(sizes)).view(sizes).expand(source.shape).reshape(result.shape)
    there = {plane.dim for plane in trace.planes(result)}
    whole = []
    for dim in {*range(result.dim())} - there:
        size = result.shape[dim]
        rest = [d for d in range(result.dim()) if d != dim]
        steps = image.narrow(dim, 1, size - 1) != image.narrow(dim, 0, size - 1)
        changes = steps.permute(dim, *rest).flatten(1).any(1)
        if size > 1 and not changes.any():
            whole.append(dim)
        elif not changes.all():
            mark_runs(result, dim, torch.cat([changes.new_zeros(1), changes]).cumsum(0))
    mark_alike(result, frozenset(whole))


def _carry(trace: Tracer, call: Call) -> None:
    sources = [t for t in call.tensors if trace.planes(t)]
    if not sources:
        for result in call.outs:
            if alike(call.tensors[0]):
                mark_alike(result)
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


def repeat(trace: Tracer, call: Call) -> None:
    """expand, repeat: what is repeated is the same along new dimensions, and those of one index."""
    x, result = call.tensors[0], call.outs[0]
    before = result.dim() - x.dim()
    same = {
        d for d in range(result.dim()) if d < before or x.shape[d - before] == 1 < result.shape[d]
    }
    same |= {d + before for d in range(x.dim()) if alike(x, d)}
    move(trace, call)
    mark_alike(result, frozenset(same - {p.dim for p in trace.planes(result)}))


def roll(trace: Tracer, call: Call) -> None:
    """Channels stay in their order: those that would come to stand elsewhere are locked."""
    x = call["self"]
    dims = {d % x.dim() for d in call["dims"]} or set(range(x.dim()))
    planes = trace.planes(x)
    trace.lock([p for p in planes if p.dim in dims], "'roll' along them")
    trace.carry(call.out, [p.at(p.dim) for p in planes if p.dim not in dims])
    if alike(x):
        mark_alike(call.out)


def as_complex(trace: Tracer, call: Call) -> None:
    """view_as_complex, view_as_real: a last dimension of two less or more."""
    x, out = call["self"], call.out
    trace.lock([p for p in trace.planes(x) if p.dim >= out.dim()], f"'{call.name}'")
    trace.carry(out, [p.at(p.dim) for p in trace.planes(x) if p.dim < out.dim()])


def in_place(trace: Tracer, call: Call) -> None:
    """transpose_, t_, unsqueeze_: the planes of the tensor itself find their places anew."""
    x = call["self"]
    if call.name == "unsqueeze_":
        new = call["dim"] % x.dim()
        place = {d: d + (d >= new) for d in range(x.dim())}
    else:
        a, b = (0, 1) if call.name == "t_" else (call["dim0"] % x.dim(), call["dim1"] % x.dim())
        place = {**{d: d for d in range(x.dim())}, a: b, b: a}
    trace.carry(x, [Plane(place[p.dim], p.labels, p.origin) for p in trace.planes(x)])


def pad(trace: Tracer, call: Call) -> None:
    """Along other dimensions channels stay as they are; along theirs, constants come to them."""
    x, given = call["self"], list(call["pad"])
    ends = {x.dim() - 1 - n: given[2 * n : 2 * n + 2] for n in range(len(given) // 2)}
    planes = []
    for plane in trace.planes(x):
        before, behind = ends.get(plane.dim, (0, 0))
        labels = plane.labels[max(-before, 0) : len(plane.labels) + min(behind, 0)]
        sides = [labels.new_zeros(max(n, 0)) for n in (before, behind)]
        planes.append(plane.at(plane.dim))
        if before or behind:
            planes[-1] = Plane(plane.dim, torch.cat([sides[0], labels, sides[1]]))
    trace.carry(call.out, planes)


def _moved(trace: Tracer, call: Call, source: Tensor, plane: Plane) -> list[Plane | None]:
    """Where the labels of a plane are in each of the results; None where just one of them is."""
    size = [1] * source.dim()
    size[plane.dim] = -1
    # Positions, not labels: these may be all the same. 0 is what the operator puts in.
    image = torch.arange(1, len(plane.labels) + 1).view(size).expand(source.shape)
    lookup = torch.cat([torch.zeros(1, dtype=torch.long), plane.labels])
    found: list[Plane | None] = []
    for positions in _again(call, source, image):
        line = _line(trace, call, positions, lookup)
        if line is None:
            one = lookup[positions.flatten()[:1]]
            if call.name in APART:
                mark_single(call.outs[len(found)], one)
            else:
                trace.lock([Plane(0, one)], f"'{call.name}' with a constant index")
            found.append(None)
            continue
        dim, rows = line
        for row in rows[1:]:
            trace.tie(lookup[rows[0]], lookup[row], f"'{call.name}'")
        found.append(Plane(dim, lookup[rows[0]], plane.origin))
    return found


def _again(call: Call, source: Tensor, image: Tensor) -> list[Tensor]:
    """What the operator makes of ``image`` in the place of ``source``."""
    if call.name in VIEWS:
        return [image.reshape(call.outs[0].shape)]
    if call.name == "expand":  # the example's own strides may be those of another expansion
        return [image.expand(call.outs[0].shape)]
    swap = {id(source): image}

    def given(x: Any) -> Any:
        return swap.get(id(x), x.cpu()) if isinstance(x, Tensor) else x

    return list(tensors(call.func(*tree_map(given, call.args), **tree_map(given, call.kwargs))))


def _free(call: Call) -> int | None:
    """The dimension of a view whose size the net's code leaves open."""
    sizes = list(call.get("size") or call.get("shape") or []) if call.name in VIEWS else []
    return sizes.index(-1) if -1 in sizes else None


def _line(
    trace: Tracer, call: Call, positions: Tensor, lookup: Tensor
) -> tuple[int, Tensor] | None:
    """The dimension along which positions vary, and they [n, its size]; None where none does.

    Where a view splits the channels into a x b, they vary along two: the rows are then the a parts,
    and what stands at the same place of each is to be tied. The net's code takes a for a constant,
    so it is b that may shrink; but where a channel has b places of its own (a flattened map), or
    the code leaves a open (-1), or a are heads (``..splits``), a.
    """
    still = tuple(slice(0, 1) if stride == 0 else slice(None) for stride in positions.stride())
    small = positions[still]
    varying = _varying(small)
    if not varying:
        return None
    if len(varying) > 1:
        varying = _varying(lookup[small]) or varying
    free = _free(call)
    last = free if free in varying else varying[-1]
    split = ""
    if len(varying) > 1:
        split = trace.splits.named(trace.path[-1], [d for d in varying if d != last])
        last = trace.splits.along.get(split, last)
    if last not in varying:
        raise ValueError(f"{split} is no split along {last}")
    small = small.movedim(last, -1)
    varying = [d - (d > last) for d in varying if d != last] + [small.dim() - 1]
    for d in sorted(set(range(small.dim())) - set(varying), reverse=True):
        small = small.select(d, 0)
    rows = small.flatten(0, -2) if len(varying) > 1 else small[None]
    if split in trace.splits.along:
        trace.splits.labels[split] = lookup[rows[0]]
    return last, rows


def _varying(values: Tensor) -> list[int]:
    return [
        d
        for d in range(values.dim())
        if values.shape[d] > 1 and not torch.equal(values, values.narrow(d, 0, 1).expand_as(values))
    ]


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
    singles = any(t.shape[dim] == 1 and single(t) is not None for t in parts)
    for kind in range(max([singles, *map(len, kinds)])):
        lines = [
            own[kind].labels if kind < len(own) else _one(t, dim)
            for own, t in zip(kinds, parts, strict=True)
        ]
        found.append(Plane(dim, torch.cat(lines)))
    trace.carry(call.out, found)
    empty = [t.shape[dim] > 1 and alike(t, dim) for t in parts]
    if any(empty):  # the state that a recurrent net starts from, beside its input
        sizes = torch.tensor([t.shape[dim] for t in parts])
        mark_blank(call.out, dim, torch.tensor(empty).repeat_interleave(sizes))


def _one(tensor: Tensor, dim: int) -> Tensor:
    """The label of a single channel, or none."""
    label = single(tensor) if tensor.shape[dim] == 1 else None
    return torch.zeros(tensor.shape[dim], dtype=torch.long) if label is None else label


def stack(trace: Tracer, call: Call) -> None:
    """Along a new dimension; along the others, tied."""
    parts = list(call["tensors"])
    new = call["dim"] % call.out.dim()
    found = _united_but(trace, parts, parts[0].dim(), None)
    labels = [single(t) for t in parts]
    planes = [p.at(p.dim + (p.dim >= new)) for p in found]
    if any(label is not None for label in labels):
        zero = torch.zeros(1, dtype=torch.long)
        planes.append(Plane(new, torch.cat([zero if o is None else o for o in labels])))
    trace.carry(call.out, planes)


def _united_but(
    trace: Tracer, parts: Sequence[Tensor], dims: int, apart: int | None
) -> list[Plane]:
    """The planes along all dimensions but one, in which the parts must be alike."""
    found: list[Plane] = []
    for dim in range(dims):
        kinds = [trace.along(t, dim) for t in parts if not alike(t, dim)]
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
