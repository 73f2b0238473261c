"""Recurrent nets as one operator: what they read may shrink, and how wide they are."""

from torch import Tensor

from ..labels import Plane, Tracer
from .call import Call
from .marks import alike

__all__ = ["fused_cell", "layer"]


def layer(trace: Tracer, call: Call) -> None:
    """A layer over all steps of x [steps, N, C]: gates one behind the other in its weights.

    ``weight0`` [gates x width, C] reads the input, ``weight1`` [gates x width, width] what was
    handed on; two biases, and the first states.
    """
    x, read, handed = call["input"], call["weight0"], call["weight1"]
    biases, states = (call["weight2"], call["weight3"]), (call["hx_"], call["cx_"])
    width = call["hidden_size"]
    trace.tie(trace.labels(x, -1), trace.labels(read, 1), "a recurrent layer's input")
    trace.consume(trace.along(read, 1))
    made = trace.labels(handed, 0)
    own = trace.labels(handed, 1)
    for other in (read, *biases):
        if other.numel() and not alike(other, 0):  # zeros, where there are no biases
            trace.tie(made, trace.labels(other, 0), "a recurrent layer's gates")
    if not isinstance(made, int):
        for gate in made.view(-1, width):
            trace.tie(own, gate, "a recurrent layer's states")
    for state in states:
        for plane in trace.along(state, -1):
            trace.tie(own, plane.labels, "a recurrent layer's states")
        trace.lock([p for p in trace.planes(state) if p.dim < state.dim() - 1], "first states")
    trace.consume(trace.along(handed, 1))
    outputs = trace.along(read, 0)
    trace.produce(outputs, call.outs[0])
    steps = x.numel() // x.shape[-1]
    for weight in (read, handed):
        trace.note_cost(steps * weight.numel(), trace.labels(weight, 0), trace.labels(weight, 1))
    trace.lock([p for p in trace.planes(x) if p.dim < x.dim() - 1], "steps of a recurrent layer")
    for out in call.outs[:3]:
        found = [] if isinstance(own, int) else [Plane(out.dim() - 1, own)]
        trace.carry(out, found if out.shape[-1:] == (width,) else [])


def fused_cell(trace: Tracer, call: Call) -> None:
    """A cell's gates, computed by the matrix products ahead of it, and its states."""
    gates: Tensor = call["input_gates"]
    states = [call.get(n) for n in ("cx", "hx") if isinstance(call.get(n), Tensor)]
    width = states[0].shape[-1]
    whole = trace.labels(gates, -1)
    own = trace.labels(states[0], -1)
    for name in ("hidden_gates", "input_bias", "hidden_bias"):
        other = call.get(name)
        if isinstance(other, Tensor):
            trace.tie(whole, trace.labels(other, -1), "a recurrent cell's gates")
    if isinstance(whole, int):
        trace.lock([p for s in states for p in trace.planes(s)], "a recurrent cell")
        return
    parts = whole.view(-1, width)
    for gate in parts[1:]:
        trace.tie(parts[0], gate, "a recurrent cell's gates")
    if not isinstance(own, int):
        trace.tie(parts[0], own, "a recurrent cell's states")
    for out in call.outs[:2]:
        trace.carry(out, [Plane(out.dim() - 1, parts[0])] if out.shape[-1] == width else [])
