"""Element by element, and what is simpler still: the same tensor, none at all, an unknown one."""

from collections.abc import Sequence

from torch import Tensor

from ..labels import Plane, Tracer
from .call import Call

__all__ = ["element_by_element", "nothing_but_sizes", "same_tensor", "unknown"]


def element_by_element(trace: Tracer, call: Call) -> None:
    """Operands are united where each of them has more than one index."""
    why = f"'{call.name}' with a tensor of fixed size"
    for result in call.outs:
        trace.carry(result, _united(trace, call.tensors, result.dim(), why))


def _united(trace: Tracer, operands: Sequence[Tensor], dims: int, why: str) -> list[Plane]:
    """The planes of a result that is broadcast from operands; they are tied to one another."""
    found: list[Plane] = []
    for dim in range(dims):
        sized = [(t, t.dim() - dims + dim) for t in operands if t.dim() >= dims - dim]
        sized = [(t, own) for t, own in sized if t.shape[own] > 1]
        kinds = [trace.along(t, own) for t, own in sized]
        if not any(kinds):
            continue
        first = kinds[0]
        if any(len(kind) != len(first) for kind in kinds):
            for kind in kinds:
                trace.lock(kind, why)
            continue
        for other in kinds[1:]:
            for a, b in zip(first, other, strict=True):
                if a.labels is not b.labels:
                    trace.tie(a.labels, b.labels, why)
        own_origin = len(kinds) == 1
        found += [Plane(dim, p.labels, p.origin if own_origin else None) for p in first]
    return found


def same_tensor(trace: Tracer, call: Call) -> None:
    """What changes how a tensor lies in memory, at most."""
    x = call.args[0]
    if call.out is not x:
        trace.carry(call.out, trace.planes(x))


def nothing_but_sizes(trace: Tracer, call: Call) -> None:
    """Makes a tensor out of nothing but sizes."""


def unknown(trace: Tracer, call: Call, why: str = "no rule for the operator '{}'") -> None:
    """What has no rule: all that flows into it must stay, and so does its cost."""
    for tensor in call.tensors:
        trace.lock(trace.planes(tensor), why.format(call.name))
    trace.note_cost(call.macs)
