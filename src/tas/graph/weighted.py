"""Which calls of functions look over the channels, told apart by where and as what they run.

In a trace (``Calls``) a rule notes that the running function takes all channels of a dimension
together, as a mean or a norm does. In a net with weighted channels (``Weighted``) the same call is
found again, by the module that calls, the function's name and the number of the call, and computed
over the channels by their weights (``weighted_functions.py``).
"""

import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map

from .labels import Tracer
from .weighted_functions import WEIGHTED, Weighing

__all__ = ["Calls", "Weighted", "taken_together"]

RECURRENT = ("lstm", "gru", "rnn_tanh", "rnn_relu")  # they hold on to their parameters by a list
OPAQUE = ("local_response_norm",)  # what it is made of tells less than it does


def taken_together(trace: Tracer, labels: Tensor) -> bool:
    """Note that the running function takes channels together; whether weights can stand for that.

    Where they cannot, the channels are for the rule to lock.
    """
    call = _Running.call
    if call is None or call.trace is not trace or not isinstance(call.x, Tensor):
        return False
    dims = [p.dim for p in trace.planes(call.x) if torch.equal(p.labels, labels)]
    if len(dims) != 1 or (call.labels is not None and not torch.equal(call.labels, labels)):
        return False
    call.dim, call.labels = dims[0], labels
    return True


@dataclass
class _Call:
    """A call of a function in a trace, and the channels that it takes together."""

    trace: Tracer
    key: str
    x: Any
    dim: int = 0
    labels: Tensor | None = None


class _Running:
    call: _Call | None = None


class _Numbered(TorchFunctionMode):
    """Gives every call of a function that weights can stand for its key."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self._names: dict[int, str] = {id(module): name for name, module in net.named_modules()}
        self._counts: Counter[str] = Counter()

    def key(self, name: str) -> str:
        place = f"{self._module()}:{name}"
        self._counts[place] += 1
        return f"{place}:{self._counts[place]}"

    def _module(self) -> str:
        """The module whose code calls: as good inside of what wraps a net as in the net alone."""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            if "self" in frame.f_code.co_varnames:
                name = self._names.get(id(frame.f_locals.get("self")))
                if name is not None:
                    return name
            frame = frame.f_back
        return ""


class Calls(_Numbered):
    """Runs with a trace, and keeps which call is running for the rules that ask."""

    def __init__(self, net: nn.Module, trace: Tracer) -> None:
        super().__init__(net)
        self._trace = trace

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in RECURRENT:
            _tie_states(self._trace, args)
        if name not in WEIGHTED or not args:
            return func(*args, **kwargs)
        call = _Running.call = _Call(self._trace, self.key(name), args[0])
        try:
            out = self._opaque(func, args, kwargs) if name in OPAQUE else func(*args, **kwargs)
        finally:
            _Running.call = None
        if call.labels is not None:
            self._settle(call, func, args, kwargs, out)
        return out

    def _opaque(self, func: Any, args: Any, kwargs: Any) -> Any:
        """A function of one tensor that keeps its shape and looks at neighbours along dim 1."""
        with _disable_current_modes():
            out = func(*args, **kwargs)
        planes = self._trace.planes(args[0])
        self._trace.carry(out, [p.at(p.dim) for p in planes])
        for plane in planes:
            if plane.dim == 1 and not taken_together(self._trace, plane.labels):
                self._trace.lock([plane], f"'{func.__name__}'")
        return out

    def _settle(self, call: _Call, func: Any, args: Any, kwargs: Any, out: Any) -> None:
        """Note the channels if weights of 1 change nothing; a use unknown to us locks them."""
        assert call.labels is not None
        with _disable_current_modes():
            ones = torch.ones(len(call.labels), dtype=call.x.dtype, device=call.x.device)
            same = _same(lambda: _weighted(func, call.dim, ones, args, kwargs), out)
        if same:
            self._trace.notes.norms[f"{call.key}:{call.dim}"] = call.labels
        else:
            why = f"a use of '{func.__name__}' over them"
            self._trace.notes.locks.append((call.labels[call.labels > 0], why))


def _tie_states(trace: Tracer, args: Any) -> None:
    """All layers of a recurrent net, in both directions, are of one width."""
    for arg in args:
        if isinstance(arg, (list, tuple)) and any(isinstance(t, nn.Parameter) for t in arg):
            matrices = [t for t in arg if t.dim() == 2]
            if len(matrices) * len(arg) and len(arg) % 5 and len(arg) % 3:  # without projections
                for other in matrices[3::2]:
                    trace.tie(trace.labels(matrices[1], 1), trace.labels(other, 1), "its states")


def _same(again: Callable[[], Any], out: Any) -> bool:
    try:
        found = again()
    except Exception:  # whatever arguments a call may come up with
        return False
    pairs = list(zip(tree_leaves(found), tree_leaves(out), strict=True))
    return all(torch.allclose(a, b, 1e-3, 1e-4, equal_nan=True) for a, b in pairs)


class Weighted(_Numbered):
    """Computes the noted calls over weighted channels.

    Args:
        net: that runs.
        weights: by the key of a call, those of the channels that it takes together.
        instead: by the identity of a parameter, the tensor that takes its place in a recurrent net.
    """

    def __init__(
        self, net: nn.Module, weights: Mapping[str, Tensor], instead: Mapping[int, Tensor]
    ) -> None:
        super().__init__(net)
        self._calls = {}
        for key, each in weights.items():
            call, _, dim = key.rpartition(":")
            self._calls[call] = int(dim), each
        self._functions = {call.rsplit(":", 2)[1] for call in self._calls}
        self._instead = instead

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in RECURRENT:
            args = tree_map(lambda value: self._instead.get(id(value), value), args)
        if name not in self._functions:
            return func(*args, **kwargs)
        dim, weights = self._calls.get(self.key(name), (0, None))
        if weights is None:
            return func(*args, **kwargs)
        return _weighted(func, dim, weights.to(args[0].dtype), args, kwargs)


def _weighted(func: Any, dim: int, weights: Tensor, args: Any, kwargs: Any) -> Any:
    x, *rest = args
    shape = [1] * x.dim()
    shape[dim] = -1
    weights = weights.repeat(max(x.shape[dim] // len(weights), 1))  # a batch folded into channels
    call = Weighing(func, x, tuple(rest), dict(kwargs), dim, weights.view(shape))
    return WEIGHTED[func.__name__](call)
