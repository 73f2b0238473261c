"""Element by element, and what is simpler still: the same tensor, none at all, an unknown one."""

from collections.abc import Sequence

from torch import Tensor

from ..labels import Plane, Tracer
from .call import Call
from .marks import alike, blank, filled, mark_alike, mark_blank, mark_single, mark_written, single

__all__ = [
    "constants",
    "element_by_element",
    "first_of_them",
    "nothing_but_sizes",
    "observed",
    "quantized_channels",
    "same_tensor",
    "united",
    "unknown",
    "write",
]


def element_by_element(trace: Tracer, call: Call) -> None:
    """Operands are united where each of them has more than one index."""
    why = f"'{call.name}' with a tensor of fixed size"
    operands = call.tensors
    for result in call.outs:
        sizes = {t.dim(): t for t in operands}
        if result.dim() not in sizes and result.numel() == 0:  # room that was not needed
            continue
        same = frozenset(d for d in range(result.dim()) if _alike(operands, result.dim(), d))
        scales = call.name.startswith(("mul", "div"))
        trace.carry(result, united(trace, operands, result.dim(), why, scales))
        mark_alike(result, same)
        _single(trace, operands, result)


def _alike(operands: Sequence[Tensor], dims: int, dim: int) -> bool:
    """Whether a result that is broadcast from operands is the same along one dimension."""
    places = [(t, t.dim() - dims + dim) for t in operands if t.dim() >= dims - dim]
    sized = [(t, own) for t, own in places if t.shape[own] > 1]
    return bool(sized) and all(alike(t, own) for t, own in sized)


def _single(trace: Tracer, operands: Sequence[Tensor], result: Tensor) -> None:
    """What is done to one channel is done to it; one among several others is not followed."""
    found = {id(label): label for t in operands if (label := single(t)) is not None}
    labels = list(found.values())
    if len(labels) == 1 or (labels and all(int(o) == int(labels[0]) for o in labels)):
        mark_single(result, labels[0])
    elif labels:
        for label in labels:
            trace.lock([Plane(0, label)], "one of them with another")


def united(
    trace: Tracer, operands: Sequence[Tensor], dims: int, why: str, scales: bool = False
) -> list[Plane]:
    """The planes of a result that is broadcast from operands; they are tied to one another.

    A weight that is computed of parameters goes on being that of its first one, where what nobody
    reads of that one is as good as nothing: where it is scaled, or meets what was made of itself.
    """
    found: list[Plane] = []
    for dim in range(dims):
        sized = [(t, t.dim() - dims + dim) for t in operands if t.dim() >= dims - dim]
        sized = [(t, own) for t, own in sized if t.shape[own] > 1 and not alike(t, own)]
        sized.sort(key=lambda each: blank(*each) is not None)
        kinds = [trace.along(t, own) for t, own in sized]
        if not any(kinds):
            continue
        first = kinds[0]
        if any(len(kind) != len(first) for kind in kinds):
            for kind in kinds:
                trace.lock(kind, why)
            continue
        for (t, own), other in zip(sized[1:], kinds[1:], strict=True):
            for a, b in zip(first, other, strict=True):
                if a.labels is not b.labels:
                    trace.tie(a.labels, filled(t, own, b.labels, a.labels), why)
        for number, plane in enumerate(first):
            origins = {kind[number].origin for kind in kinds}
            weight = None not in origins and (scales or len(origins) == 1)
            found.append(Plane(dim, plane.labels, plane.origin if weight else None))
    return found


def first_of_them(trace: Tracer, call: Call) -> None:
    """Element by element in the first tensor; the others are of a fixed size."""
    x, *others = call.tensors
    for other in others:
        trace.lock(trace.planes(other), f"'{call.name}' by them")
    for result in call.outs:
        trace.carry(result, trace.planes(x) if result.shape == x.shape else [])


def write(trace: Tracer, call: Call) -> None:
    """copy_: into a tensor that knows no channels yet, or a part of one, they are written."""
    target = call.args[0]
    for plane in trace.planes(target):
        if not plane.labels.all():  # what stood there is overwritten
            mark_blank(target, plane.dim, plane.labels == 0)
    element_by_element(trace, call)
    mark_written(target)
    base = target._base
    if base is None or base.dim() != target.dim() or call.outs[0].shape != target.shape:
        return
    start, offset = [0] * base.dim(), target.storage_offset() - base.storage_offset()
    for dim in sorted(range(base.dim()), key=lambda d: -base.stride(d)):
        start[dim], offset = divmod(offset, max(base.stride(dim), 1))
    written = trace.planes(target)
    planes = [p for p in trace.planes(base) if p.dim not in {w.dim for w in written}]
    for plane in written:
        dim, size = plane.dim, base.shape[plane.dim]
        step = target.stride(dim) // base.stride(dim)
        rows = slice(start[dim], start[dim] + (len(plane.labels) - 1) * step + 1, step)
        known = trace.labels(base, dim)
        labels = plane.labels.new_zeros(size) if isinstance(known, int) else known.clone()
        if len(labels[rows]) != len(plane.labels):
            raise ValueError("a part that lies otherwise than the whole")
        trace.notes.ties.append(_both(labels[rows], plane.labels))
        labels[rows] = plane.labels
        planes.append(Plane(dim, labels))
    trace.carry(base, planes)
    mark_alike(base, frozenset())


def _both(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    both = (a > 0) & (b > 0)
    return a[both], b[both]


def same_tensor(trace: Tracer, call: Call) -> None:
    """What changes how a tensor lies in memory, at most."""
    x = call.args[0]
    if call.out is not x:
        trace.carry(call.out, trace.planes(x))


def nothing_but_sizes(trace: Tracer, call: Call) -> None:
    """Makes a tensor out of nothing but sizes: the same everywhere, or noise."""
    for result in call.outs:
        mark_alike(result)


def constants(trace: Tracer, call: Call) -> None:
    """Makes a tensor out of nothing but sizes, with something else at every index."""


def quantized_channels(trace: Tracer, call: Call) -> None:
    """Each channel with a scale and a zero point of its own, or all with the same."""
    x, axis = call["self"], call["axis"]
    for other in (call["scale"], call["zero_point"]):
        if not alike(other, 0):
            trace.tie(trace.labels(x, axis), trace.labels(other, 0), "scales of a fixed number")
    for out in call.outs:
        trace.carry(out, trace.planes(x))


def observed(trace: Tracer, call: Call) -> None:
    """What a net prepared for quantisation does to every tensor: it keeps figures of its own."""
    x = call["self"]
    trace.lock(trace.planes(x), "the net is prepared for quantisation: trace it before that")
    trace.carry(call.outs[0], trace.planes(x))


def unknown(trace: Tracer, call: Call, why: str = "no rule for the operator '{}'") -> None:
    """What has no rule: all that flows into it must stay, and so does its cost."""
    if any(t.is_complex() for t in (*call.tensors, *call.outs)):
        why = "complex numbers, which are not followed ('{}')"
    for tensor in call.tensors:
        trace.lock(trace.planes(tensor), why.format(call.name))
    trace.note_cost(call.macs)
