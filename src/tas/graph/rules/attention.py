"""Attention by one operator: queries and keys share what they are multiplied over."""

from math import prod

from torch import Tensor

from ..labels import Plane, Tracer
from .call import Call
from .layers import contract
from .marks import alike

__all__ = ["attention"]


def attention(trace: Tracer, call: Call) -> None:
    """softmax(q k^T) v of q [..., L, E], k [..., S, E], v [..., S, V]."""
    query, key, value = call["query"], call["key"], call["value"]
    mask = call.get("attn_mask")
    if mask is None:
        mask = call.get("attn_bias")
    for more in call.tensors:
        if all(more is not operand for operand in (query, key, value, mask)):
            trace.lock(trace.planes(more), "an attention mask")
    contract(trace, query, key, -1)
    heads = _heads(trace, [query, key, value], mask)
    trace.lock([*trace.along(key, -2), *trace.along(value, -2)], "attention over them")
    result = call.outs[0]
    last = result.dim() - 1
    planes = [p.at(last - 1) for p in trace.along(query, -2)]
    planes += [p.at(last) for p in trace.along(value, -1)]
    if call.macs:
        batch = [trace.labels(query, d) for d in range(query.dim() - 2)]
        size = query.shape[-2] * key.shape[-2]
        for wide in (query, value):  # q k^T, and the sum of the values
            each = prod(query.shape[:-2]) * size * wide.shape[-1]
            trace.note_cost(each, *batch, trace.labels(wide, -1))
    trace.carry(result, [*heads, *planes])


def _heads(trace: Tracer, operands: list[Tensor], mask: Tensor | None) -> list[Plane]:
    """Heads, which queries, keys, values and a mask have in common."""
    found: list[Plane] = []
    beside = [] if mask is None else [p for p in trace.planes(mask) if p.dim >= mask.dim() - 2]
    trace.lock(beside, "an attention mask")
    for dim in range(operands[0].dim() - 2):
        sized = [(t, dim) for t in operands if not alike(t, dim)]
        own = dim - operands[0].dim() + (0 if mask is None else mask.dim())
        if mask is not None and own >= 0 and mask.shape[own] > 1 and not alike(mask, own):
            sized.append((mask, own))
        most = max((t.shape[d] for t, d in sized), default=1)
        sized = [(t, d) for t, d in sized if t.shape[d] > 1 or most == 1]
        kinds = [trace.along(t, d) for t, d in sized]
        shared = [most // t.shape[d] for t, d in sized]  # heads of queries for one of keys
        whole = all(n * t.shape[d] == most for n, (t, d) in zip(shared, sized, strict=True))
        if not whole or any(len(kind) != len(kinds[0]) for kind in kinds):
            for kind in kinds:
                trace.lock(kind, "attention heads")
            continue
        for other, n in zip(kinds[1:], shared[1:], strict=True):
            for a, b in zip(kinds[0], other, strict=True):
                trace.tie(a.labels, b.labels.repeat_interleave(n), "attention heads")
        found += [p.at(dim) for p in kinds[0]]
    return found
