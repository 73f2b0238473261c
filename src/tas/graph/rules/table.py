"""Which operator has which rule: ours, yours, and how a call comes to its own."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch

from ...costs.operators import known_operator
from ...errors import InputError, TasError, first_line
from ..labels import Tracer
from .attention import attention
from .call import Call
from .layers import convolution, linear, product
from .moving import cat, move, stack
from .pointwise import element_by_element, nothing_but_sizes, same_tensor, unknown
from .reducing import batch_norm, group_norm, layer_norm, reduce, window

__all__ = ["apply_rule", "rule", "rule_of"]

Rule = Callable[[Tracer, Call], None]
AnyRule = TypeVar("AnyRule", bound=Rule)


def apply_rule(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Any) -> None:
    """Give the results of an operator their planes, and note what it ties and locks."""
    call = Call(func, args, kwargs, out)
    own = _OWN.get(func.overloadpacket._qualified_op_name)
    if own is not None:
        _apply_own(own, tracer, call)
    else:
        _apply_ours(_built_in(func), tracer, call)


def _built_in(func: Any) -> Rule:
    """Our rule for an operator: by its name, or by what PyTorch says of it."""
    name = func.overloadpacket.__name__ if func.namespace == "aten" else ""
    if name in _RULES:
        return _RULES[name]
    if name.startswith("_scaled_dot_product"):
        return attention
    if func.is_view and "as_strided" not in name:
        return move
    if torch.Tag.pointwise in func.tags or name in _POINTWISE:
        return element_by_element
    return unknown


def _apply_ours(ours: Rule, tracer: Tracer, call: Call) -> None:
    """Apply a rule of ours; a call that it was not made for is one of an unknown operator."""
    noted = len(tracer.notes.costs)
    try:
        ours(tracer, call)
    except TasError:
        raise
    except Exception:  # whatever shapes and arguments a net may come up with
        del tracer.notes.costs[noted:]
        for out in call.outs:
            tracer.carry(out, [])
        unknown(tracer, call, "a use of the operator '{}' that has no rule")


def _apply_own(own: Rule, tracer: Tracer, call: Call) -> None:
    """Apply a user's rule, and say what is wrong with it in the user's words."""
    noted = len(tracer.notes.costs)
    try:
        own(tracer, call)
    except TasError:
        raise
    except Exception as error:  # whatever the user's code may raise
        raise InputError(f"the rule of '{call.name}' fails: {first_line(error)}") from error
    if call.macs and len(tracer.notes.costs) == noted:
        raise InputError(
            f"the rule of '{call.name}' notes no cost, but a call has {call.macs} multiply-adds: "
            "end it with trace.note_cost(call.macs, *sides)"
        )


# Rules of your own -------------------------------------------------------------------------------


def rule(operator: str) -> Callable[[AnyRule], AnyRule]:
    """A decorator: the function is the rule of an operator, all overloads of it.

    It goes before a rule of ours, and a second one takes the place of the first. What a rule can
    say stands in ``tas.graph.rules``.

    >>> import torch, tas.graph
    >>> @torch.library.custom_op("tas_doc::scaled", mutates_args=())
    ... def scaled(x: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    ...     return x * scale.view(1, -1, 1, 1)  # x [N, C, H, W], scale [C]
    >>> @tas.graph.rule("tas_doc::scaled")
    ... def _(trace, call):
    ...     x, scale = call["x"], call["scale"]
    ...     trace.tie(trace.labels(x, 1), trace.labels(scale, 0), "scaled")
    ...     trace.carry(call.out, [plane.at(plane.dim) for plane in trace.planes(x)])
    >>> class Net(torch.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.conv, self.head = torch.nn.Conv2d(3, 8, 1), torch.nn.Linear(8, 2)
    ...         self.scale = torch.nn.Parameter(torch.ones(8))
    ...     def forward(self, x):
    ...         return self.head(scaled(self.conv(x), self.scale).mean((2, 3)))
    >>> [width.name for width in tas.graph.analyse(Net(), torch.zeros(1, 3, 4, 4)).widths]
    ['conv']

    Args:
        operator: its name, e.g. ``"my::op"`` or ``"aten::topk"``.

    Raises:
        InputError: there is no such operator.
    """
    name = known_operator(operator)

    def given(own: AnyRule) -> AnyRule:
        _OWN[name] = own
        return own

    return given


def rule_of(operator: str) -> Rule:
    """The rule of an operator, to be used for another or within a rule of your own.

    It finds arguments by the names that they have there, or in the same places.

    >>> import torch, tas.graph
    >>> @torch.library.custom_op("tas_doc::bent", mutates_args=())
    ... def bent(x: torch.Tensor) -> torch.Tensor:
    ...     return x.clamp(-1, 1)
    >>> rule = tas.graph.rule("tas_doc::bent")(tas.graph.rule_of("aten::relu"))

    Raises:
        InputError: there is no such operator, or it has no rule.
    """
    name = known_operator(operator)
    if name in _OWN:
        return _OWN[name]
    namespace, _, plain = name.partition("::")
    packet = getattr(getattr(torch.ops, namespace), plain)
    found = next(
        (r for r in (_built_in(getattr(packet, o)) for o in packet.overloads()) if r != unknown),
        None,
    )
    if found is None:
        raise InputError(f"'{operator}' has no rule: give it one with tas.graph.rule('{operator}')")
    return found


_OWN: dict[str, Rule] = {}

# Rules of ours -----------------------------------------------------------------------------------

# fmt: off
_POINTWISE = {
    "clone", "_to_copy", "copy_", "copy", "lift_fresh", "lift_fresh_copy", "native_dropout",
    "dropout", "contiguous", "bernoulli", "bernoulli_", "fill_", "zero_", "fill",
    "hardswish", "hardswish_", "_prelu_kernel",  # not tagged as what they are
}
_RULES: dict[str, Rule] = {
    **dict.fromkeys(("convolution", "_convolution", "mkldnn_convolution"), convolution),
    **dict.fromkeys(("mm", "bmm", "addmm", "baddbmm"), product),
    "linear": linear,
    **dict.fromkeys((
        "native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training",
        "cudnn_batch_norm", "miopen_batch_norm", "_batch_norm_with_update", "_batch_norm_no_update",
    ), batch_norm),
    "native_layer_norm": layer_norm,
    "native_group_norm": group_norm,
    **dict.fromkeys((
        "_adaptive_avg_pool2d", "adaptive_avg_pool2d", "mkldnn_adaptive_avg_pool2d", "avg_pool2d",
        "adaptive_max_pool2d", "max_pool2d", "max_pool2d_with_indices", "mkldnn_max_pool2d",
        "upsample_bilinear2d", "upsample_nearest2d", "upsample_bicubic2d",
        "_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa", "reflection_pad2d",
        "replication_pad2d", "_adaptive_avg_pool3d", "adaptive_max_pool3d", "avg_pool3d",
        "max_pool3d_with_indices", "upsample_linear1d", "upsample_nearest1d",
        "upsample_nearest3d", "upsample_trilinear3d", "_upsample_nearest_exact2d",
        "reflection_pad1d", "reflection_pad3d", "replication_pad1d", "replication_pad3d",
    ), window),
    **dict.fromkeys((
        "mean", "sum", "nansum", "amax", "amin", "max", "min", "aminmax", "var", "var_mean", "std",
        "std_mean", "prod", "argmax", "argmin", "linalg_vector_norm", "norm", "logsumexp",
        "_softmax", "_log_softmax", "_safe_softmax", "cumsum", "cumprod", "logcumsumexp", "cummax",
        "cummin", "any", "all", "count_nonzero", "sort", "topk", "kthvalue", "median", "nanmedian",
        "mode",
    ), reduce),
    **dict.fromkeys((
        "view", "_unsafe_view", "reshape", "_reshape_alias", "roll", "flip", "repeat", "index",
        "index_select", "constant_pad_nd", "gather",
    ), move),
    "cat": cat,
    "stack": stack,
    **dict.fromkeys(("as_strided_", "resolve_conj", "resolve_neg"), same_tensor),
    **dict.fromkeys((
        "arange", "empty", "empty_like", "empty_strided", "full", "full_like", "linspace",
        "new_empty", "new_empty_strided", "new_full", "new_ones", "new_zeros", "ones",
        "ones_like", "rand", "randn", "rand_like", "randn_like", "scalar_tensor", "zeros",
        "zeros_like",
    ), nothing_but_sizes),
}
# fmt: on
