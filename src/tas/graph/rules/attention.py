"""Attention by one operator: queries and keys share what they are multiplied over."""

from ..labels import Tracer
from .call import Call
from .layers import contract

__all__ = ["attention"]


def attention(trace: Tracer, call: Call) -> None:
    """softmax(q k^T) v of q [..., L, E], k [..., S, E], v [..., S, V]."""
    query, key, value = call["query"], call["key"], call["value"]
    for more in call.tensors:
        if all(more is not operand for operand in (query, key, value)):
            trace.lock(trace.planes(more), "an attention mask")
    contract(trace, query, key, -1)
    for operand in (query, key, value):
        heads = [p for p in trace.planes(operand) if p.dim < operand.dim() - 2]
        trace.lock(heads, "attention heads")
    trace.lock([*trace.along(key, -2), *trace.along(value, -2)], "attention over them")
    result = call.outs[0]
    last = result.dim() - 1
    planes = [p.at(last - 1) for p in trace.along(query, -2)]
    planes += [p.at(last) for p in trace.along(value, -1)]
    if call.macs:
        for wide in (query, value):  # q k^T, and the sum of the values
            size = query[..., 0].numel() * key.shape[-2]
            trace.note_cost(size * wide.shape[-1], trace.labels(wide, -1))
    trace.carry(result, planes)
