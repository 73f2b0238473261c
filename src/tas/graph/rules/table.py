"""Which operator has which rule: ours, yours, and how a call comes to its own."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import torch

from ...costs.operators import known_operator, operator_name
from ...errors import InputError, TasError, first_line
from ..labels import Tracer
from .arranging import (
    channel_shuffle,
    columns_to_map,
    glu,
    map_to_columns,
    pixel_shuffle,
    pixel_unshuffle,
    warp,
)
from .attention import attention
from .call import Call
from .layers import bilinear, convolution, deformed_convolution, linear, product, vector_product
from .marks import lock_marked, mark_single, single
from .moving import as_complex, cat, in_place, move, pad, repeat, roll, stack
from .pointwise import (
    constants,
    element_by_element,
    first_of_them,
    nothing_but_sizes,
    observed,
    quantized_channels,
    same_tensor,
    unknown,
    write,
)
from .recurrent import fused_cell, layer
from .reducing import (
    batch_norm,
    distances,
    fourier,
    fractional_pool,
    group_norm,
    layer_norm,
    reduce,
    unpool,
    weight_norm,
    window,
)
from .scattering import (
    at_places,
    embedding,
    embedding_bag,
    index_put,
    packed,
    slice_scatter,
    unpacked,
)

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
    name = operator_name(func)
    known = _RULES.get(name) or _OTHERS.get(name)
    if known is not None:
        return known
    if name in _LOCKS:
        return partial(unknown, why=_LOCKS[name])
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
    lock_marked(tracer, call.tensors, call.name, joins=ours in _JOIN or ours in _KEEP)
    try:
        ours(tracer, call)
        if ours in _KEEP and call.tensors and (label := single(call.tensors[0])) is not None:
            for out in call.outs:
                mark_single(out, label)
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
        (r for r in (_built_in(getattr(packet, o)) for o in packet.overloads()) if _knows(r)),
        None,
    )
    if found is None:
        raise InputError(f"'{operator}' has no rule: give it one with tas.graph.rule('{operator}')")
    return found


def _knows(rule: Rule) -> bool:
    return rule is not unknown and not isinstance(rule, partial)


_OWN: dict[str, Rule] = {}

# Rules of ours -----------------------------------------------------------------------------------

# fmt: off
_POINTWISE = {
    "clone", "_to_copy", "lift_fresh", "lift_fresh_copy", "native_dropout", "dropout",
    "contiguous", "bernoulli", "bernoulli_", "fill_", "zero_", "fill", "normal_", "uniform_",
    "exponential_", "hardswish", "hardswish_", "_prelu_kernel", "log_sigmoid_forward",
    "rrelu_with_noise", "rrelu_with_noise_", "polar", "complex",  # not tagged as what they are
    "fake_quantize_per_tensor_affine_cachemask",
}
_RULES: dict[str, Rule] = {
    **dict.fromkeys(("convolution", "_convolution", "mkldnn_convolution"), convolution),
    **dict.fromkeys(("mm", "bmm", "addmm", "baddbmm"), product),
    **dict.fromkeys(("mv", "dot", "vdot"), vector_product),
    "linear": linear,
    "_trilinear": bilinear,
    "embedding": embedding,
    **dict.fromkeys(("_embedding_bag", "_embedding_bag_forward_only"), embedding_bag),
    "_pack_padded_sequence": packed,
    "_pad_packed_sequence": unpacked,
    "mkldnn_rnn_layer": layer,
    **dict.fromkeys(("_thnn_fused_lstm_cell", "_thnn_fused_gru_cell"), fused_cell),
    **dict.fromkeys((
        "native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training",
        "cudnn_batch_norm", "miopen_batch_norm", "_batch_norm_with_update", "_batch_norm_no_update",
    ), batch_norm),
    **dict.fromkeys(("native_layer_norm", "_fused_rms_norm"), layer_norm),
    "native_group_norm": group_norm,
    "_weight_norm_interface": weight_norm,
    **dict.fromkeys((
        "_adaptive_avg_pool2d", "adaptive_avg_pool2d", "mkldnn_adaptive_avg_pool2d", "avg_pool2d",
        "adaptive_max_pool2d", "max_pool2d", "max_pool2d_with_indices", "mkldnn_max_pool2d",
        "upsample_bilinear2d", "upsample_nearest2d", "upsample_bicubic2d",
        "_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa", "reflection_pad2d",
        "replication_pad2d", "_adaptive_avg_pool3d", "adaptive_max_pool3d", "avg_pool3d",
        "max_pool3d_with_indices", "upsample_linear1d", "upsample_nearest1d",
        "upsample_nearest3d", "upsample_trilinear3d", "_upsample_nearest_exact2d",
        "_upsample_nearest_exact1d", "_upsample_nearest_exact3d",
        "reflection_pad1d", "reflection_pad3d", "replication_pad1d", "replication_pad3d",
        "avg_pool1d", "adaptive_avg_pool1d",
    ), window),
    **dict.fromkeys(("max_unpool2d", "max_unpool3d"), unpool),
    **dict.fromkeys(("fractional_max_pool2d", "fractional_max_pool3d"), fractional_pool),
    **dict.fromkeys((
        "mean", "sum", "nansum", "amax", "amin", "max", "min", "aminmax", "var", "var_mean", "std",
        "std_mean", "prod", "argmax", "argmin", "linalg_vector_norm", "norm", "logsumexp",
        "_softmax", "_log_softmax", "_safe_softmax", "cumsum", "cumprod", "logcumsumexp", "cummax",
        "cummin", "any", "all", "count_nonzero", "sort", "topk", "kthvalue", "median", "nanmedian",
        "mode",
    ), reduce),
    **dict.fromkeys(("_fft_r2c", "_fft_c2r", "_fft_c2c"), fourier),
    **dict.fromkeys(("_cdist_forward", "_euclidean_dist"), distances),
    **dict.fromkeys((
        "view", "_unsafe_view", "reshape", "_reshape_alias", "flip", "index", "index_select",
        "rot90", "unsafe_split", "unsafe_split_with_sizes",
    ), move),
    **dict.fromkeys(("view_as_complex", "view_as_real"), as_complex),
    **dict.fromkeys(("transpose_", "t_", "unsqueeze_"), in_place),
    **dict.fromkeys(("expand", "repeat"), repeat),
    "roll": roll,
    "constant_pad_nd": pad,
    "cat": cat,
    "stack": stack,
    **dict.fromkeys(("copy_", "copy"), write),
    **dict.fromkeys((
        "gather", "scatter", "scatter_", "scatter_add", "scatter_add_", "scatter_reduce",
        "scatter_reduce_", "index_fill", "index_fill_", "index_add", "index_add_", "index_copy",
        "index_copy_",
    ), at_places),
    **dict.fromkeys(("index_put", "index_put_", "_unsafe_index_put"), index_put),
    "slice_scatter": slice_scatter,
    "pixel_shuffle": pixel_shuffle,
    "pixel_unshuffle": pixel_unshuffle,
    **dict.fromkeys(("channel_shuffle", "native_channel_shuffle"), channel_shuffle),
    "glu": glu,
    "im2col": map_to_columns,
    "col2im": columns_to_map,
    **dict.fromkeys(("grid_sampler_2d", "grid_sampler_3d"), warp),
    **dict.fromkeys(("bucketize", "searchsorted"), first_of_them),
    "fake_quantize_per_channel_affine_cachemask": quantized_channels,
    "_fused_moving_avg_obs_fq_helper": observed,
    **dict.fromkeys(("as_strided_", "resolve_conj", "resolve_neg"), same_tensor),
    **dict.fromkeys((
        "empty", "empty_like", "empty_strided", "full", "full_like", "new_empty",
        "new_empty_strided", "new_full", "new_ones", "new_zeros", "ones", "ones_like", "rand",
        "randn", "rand_like", "randn_like", "randint", "randint_like", "scalar_tensor", "zeros",
        "zeros_like",
    ), nothing_but_sizes),
    **dict.fromkeys((
        "sym_is_contiguous", "sym_numel", "sym_size", "sym_storage_offset", "sym_stride",
    ), constants),
    **dict.fromkeys(("arange", "linspace", "logspace", "eye", "randperm", "tril_indices",
                     "triu_indices"), constants),
}
_OTHERS: dict[str, Rule] = {
    "torchvision::deform_conv2d": deformed_convolution,
    **dict.fromkeys(("torchvision::roi_align", "torchvision::roi_pool"), warp),
}
# fmt: on
# What stays locked, and why: nothing that a smaller net computes would be the same.
_LOCKS = {
    **dict.fromkeys(("as_strided", "resize_"), "'{}' counts on where they lie in memory"),
    **dict.fromkeys(
        ("nonzero", "masked_select", "unique_dim", "_unique2", "masked_scatter"),
        "'{}' makes of them as much as the picture says",
    ),
    **dict.fromkeys(
        ("select_scatter", "diagonal_scatter", "_pdist_forward"),
        "'{}' counts on how many they are",
    ),
    "_local_scalar_dense": "'{}': a number that the net's own code reads",
    **dict.fromkeys(
        (
            "_adaptive_avg_pool2d_backward",
            "avg_pool2d_backward",
            "convolution_backward",
            "embedding_dense_backward",
            "max_pool2d_with_indices_backward",
            "native_group_norm_backward",
            "native_layer_norm_backward",
        ),
        "'{}': a step of a backward pass",
    ),
}  # fmt: skip
_JOIN: set[Any] = {element_by_element, cat, stack, same_tensor}
_KEEP: set[Any] = {move, repeat, reduce, window, roll, pad}  # one channel in, the same out
