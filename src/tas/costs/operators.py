"""What one operator costs: the table of multiply-adds, open to operators of your own.

An operator of PyTorch's or of yours (``torch.library.custom_op``) is counted, known to be free, or
unknown. ``counter`` and ``free`` say of an operator which it is; what is said last counts, and it
goes before what the table says. Names are the dispatcher's, ``namespace::name``, and stand for all
overloads of an operator.
"""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from ..errors import InputError, first_line, nearest
from ..typed import checked

__all__ = ["counter", "free", "is_free", "known_operator", "operator_macs", "operator_name", "run"]

Formula = Callable[..., int]
AnyFormula = TypeVar("AnyFormula", bound=Formula)

# Operators that touch each element a few times at most: no multiply-adds by our definition.
# Pointwise operators and views are recognised by their tags and need no entry.
# fmt: off
_FREE = {
    "_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "_batch_norm_no_update",
    "_batch_norm_with_update", "_embedding_bag", "_embedding_bag_forward_only",
    "_fused_moving_avg_obs_fq_helper", "_fused_rms_norm", "_local_scalar_dense", "_log_softmax",
    "_native_batch_norm_legit", "_native_batch_norm_legit_no_training", "_pack_padded_sequence",
    "_pad_packed_sequence", "_pdist_forward", "_prelu_kernel", "_reshape_alias", "_safe_softmax",
    "_softmax", "_thnn_fused_gru_cell", "_thnn_fused_lstm_cell", "_to_copy", "_unique2",
    "_unsafe_index_put", "_unsafe_view", "_upsample_bicubic2d_aa", "_upsample_bilinear2d_aa",
    "_upsample_nearest_exact1d", "_upsample_nearest_exact2d", "_upsample_nearest_exact3d",
    "_weight_norm_interface", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_max_pool2d",
    "adaptive_max_pool3d", "all", "amax", "amin", "aminmax", "any", "arange", "argmax", "argmin",
    "as_strided", "as_strided_", "avg_pool1d", "avg_pool2d", "avg_pool3d", "bernoulli",
    "bernoulli_", "bucketize", "cat", "channel_shuffle", "clone", "col2im", "complex",
    "constant_pad_nd", "contiguous", "copy", "copy_", "count_nonzero", "cudnn_batch_norm", "cummax",
    "cummin", "cumprod", "cumsum", "diagonal_scatter", "dropout", "embedding", "empty",
    "empty_like", "empty_strided", "expand", "exponential_", "eye",
    "fake_quantize_per_channel_affine_cachemask", "fake_quantize_per_tensor_affine_cachemask",
    "fill", "fill_", "flip", "fractional_max_pool2d", "fractional_max_pool3d", "full", "full_like",
    "gather", "glu", "grid_sampler_2d", "grid_sampler_3d", "hardswish", "hardswish_", "im2col",
    "index", "index_add", "index_add_", "index_copy", "index_copy_", "index_fill", "index_fill_",
    "index_put", "index_put_", "index_select", "kthvalue", "lift_fresh", "lift_fresh_copy",
    "linalg_vector_norm", "linspace", "log_sigmoid_forward", "logcumsumexp", "logspace",
    "logsumexp", "masked_scatter", "masked_select", "max", "max_pool2d", "max_pool2d_with_indices",
    "max_pool3d_with_indices", "max_unpool2d", "max_unpool3d", "mean", "median", "meshgrid", "min",
    "miopen_batch_norm", "mkldnn_adaptive_avg_pool2d", "mkldnn_max_pool2d", "mode", "nanmedian",
    "nansum", "native_batch_norm", "native_channel_shuffle", "native_dropout", "native_group_norm",
    "native_layer_norm", "new_empty", "new_empty_strided", "new_full", "new_ones", "new_zeros",
    "nonzero", "norm", "normal_", "ones", "ones_like", "pixel_shuffle", "pixel_unshuffle", "polar",
    "prod", "rand", "rand_like", "randint", "randint_like", "randn", "randn_like", "randperm",
    "reflection_pad1d", "reflection_pad2d", "reflection_pad3d", "repeat", "replication_pad1d",
    "replication_pad2d", "replication_pad3d", "reshape", "resize_", "resolve_conj", "resolve_neg",
    "roll", "rot90", "rrelu_with_noise", "rrelu_with_noise_", "scalar_tensor", "scatter",
    "scatter_", "scatter_add", "scatter_add_", "scatter_reduce", "scatter_reduce_", "searchsorted",
    "select_scatter", "set_", "slice_scatter", "sort", "squeeze_", "stack", "std", "std_mean",
    "sum", "sym_is_contiguous", "sym_numel", "sym_size", "sym_storage_offset", "sym_stride", "t_",
    "topk", "transpose_", "tril_indices", "triu_indices", "uniform_", "unique_dim", "unsafe_split",
    "unsafe_split_with_sizes", "unsqueeze_", "upsample_bicubic2d", "upsample_bilinear2d",
    "upsample_linear1d", "upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d",
    "upsample_trilinear3d", "var", "var_mean", "zero_", "zeros", "zeros_like",
}
# fmt: on


def operator_macs(func: Any, args: Any, kwargs: Any, out: Any) -> int | None:
    """Multiply-adds of one call of an operator; None where nothing counts it.

    >>> import tas.costs, torch
    >>> a, b = torch.zeros(2, 3), torch.zeros(3, 4)
    >>> tas.costs.operator_macs(torch.ops.aten.mm.default, (a, b), {}, a @ b)
    24
    """
    own = _GIVEN.get(func.overloadpacket._qualified_op_name)
    if own is not None:
        return _given(func, own, args, kwargs, out)
    name = operator_name(func)
    if name in _COUNTED:
        return _COUNTED[name](*args, **kwargs, out=out)
    if func.overloadpacket in flop_registry:
        # torch counts a multiply-add as two operations.
        return int(flop_registry[func.overloadpacket](*args, **kwargs, out_val=out)) // 2
    return None


def run(func: Any, args: Any, kwargs: Any, mode: TorchDispatchMode) -> tuple[Any, bool]:
    """What an operator gives, and whether it was one: else a mode has seen those it is made of.

    In inference mode PyTorch hands on whole what it takes apart elsewhere (``conv2d``).
    """
    if torch.is_inference_mode_enabled():
        with mode:
            out = func.decompose(*args, **kwargs)
        if out is not NotImplemented:
            return out, False
    return func(*args, **kwargs), True


def is_free(func: Any) -> bool:
    """Whether an operator that nothing counts is known to have no multiply-adds."""
    return operator_name(func) in _FREE or func.is_view or torch.Tag.pointwise in func.tags


def operator_name(func: Any) -> str:
    """How messages call an operator: ``topk`` for PyTorch's own, ``my::op`` for another."""
    return str(func.overloadpacket._qualified_op_name).removeprefix("aten::")


# Operators of your own ---------------------------------------------------------------------------


@checked
def counter(operator: str) -> Callable[[AnyFormula], AnyFormula]:
    """A decorator: the function counts the multiply-adds of an operator.

    It is called as the operator was, with the result as ``out``, and returns the multiply-adds of
    the whole batch. Counts and searches both use it. A second counter takes the place of the first.

    >>> import torch, tas.costs
    >>> @torch.library.custom_op("tas_doc::gram", mutates_args=())
    ... def gram(x: torch.Tensor) -> torch.Tensor:
    ...     return x @ x.transpose(1, 2)
    >>> @tas.costs.counter("tas_doc::gram")
    ... def _(x, *, out):
    ...     return out.numel() * x.shape[-1]
    >>> class Gram(torch.nn.Module):
    ...     def forward(self, x):
    ...         return gram(x.flatten(2))
    >>> tas.costs.count(Gram(), (3, 4, 4)).macs  # 3 x 3 products of 16 values
    144

    Args:
        operator: its name, e.g. ``"my::op"`` or ``"aten::topk"``.

    Raises:
        InputError: there is no such operator.
    """
    name = known_operator(operator)

    def given(formula: AnyFormula) -> AnyFormula:
        _GIVEN[name] = formula
        return formula

    return given


@checked
def free(*operators: str) -> None:
    """Say that operators have no multiply-adds.

    >>> import torch, tas.costs
    >>> @torch.library.custom_op("tas_doc::halved", mutates_args=())
    ... def halved(x: torch.Tensor) -> torch.Tensor:
    ...     return x / 2
    >>> class Halved(torch.nn.Module):
    ...     def forward(self, x):
    ...         return halved(x)
    >>> tas.costs.count(Halved(), (3, 4, 4)).unknown
    {'tas_doc::halved in the net itself': 1}
    >>> tas.costs.free("tas_doc::halved")
    >>> tas.costs.count(Halved(), (3, 4, 4)).unknown
    {}

    Raises:
        InputError: there is no such operator.
    """
    for name in [known_operator(operator) for operator in operators]:
        _GIVEN[name] = lambda *args, **kwargs: 0


_GIVEN: dict[str, Formula] = {}


def known_operator(operator: str) -> str:
    """The name of an operator, or an ``InputError`` that says what a name is."""
    namespace, colons, name = operator.partition("::")
    if not (colons and namespace.isidentifier() and name.isidentifier()):
        plain, _, overload = name.partition(".")
        if plain.isidentifier() and overload.isidentifier() and namespace.isidentifier():
            raise InputError(f"'{operator}': give '{namespace}::{plain}', for all of its overloads")
        raise InputError(
            f"'{operator}' is not the name of an operator: give one like 'my::op' or 'aten::mm'"
        )
    if not hasattr(getattr(torch.ops, namespace), name):
        near = nearest(operator, (n for n in _operators() if n.startswith(f"{namespace}::")))
        hint = f"did you mean '{near}'?" if near else "register it with torch.library first"
        raise InputError(f"there is no operator '{operator}': {hint}")
    return operator


def _operators() -> set[str]:
    return {name.partition(".")[0] for name in torch._C._dispatch_get_all_op_names()}


def _given(func: Any, formula: Formula, args: Any, kwargs: Any, out: Any) -> int:
    try:
        macs = formula(*args, **kwargs, out=out)
    except Exception as error:  # whatever the user's code may raise
        raise InputError(
            f"the counter of '{operator_name(func)}' fails: {first_line(error)}; it is called with "
            "the operator's arguments, and with its result as out"
        ) from error
    if isinstance(macs, bool) or not isinstance(macs, int) or macs < 0:
        raise InputError(
            f"the counter of '{operator_name(func)}' returns {macs!r}: it must return the number "
            "of multiply-adds, a whole number"
        )
    return macs


# PyTorch's, where its own table has no entry -----------------------------------------------------


def _mkldnn_convolution(x: Tensor, weight: Tensor, *rest: Any, out: Tensor, **options: Any) -> int:
    return out.numel() * prod(weight.shape[1:])


def _linear(x: Tensor, weight: Tensor, *rest: Any, out: Tensor, **options: Any) -> int:
    return x.numel() * weight.shape[0]


def _attention_on_cpu(
    query: Tensor, key: Tensor, value: Tensor, *rest: Any, out: Any, **options: Any
) -> int:
    return query.numel() * key.shape[-2] + query[..., 0].numel() * value[0, 0].numel()


def _distances(x1: Tensor, x2: Tensor, *rest: Any, out: Tensor, **options: Any) -> int:
    return out.numel() * x1.shape[-1]


def _bilinear(x: Tensor, weight: Tensor, y: Tensor, *rest: Any, out: Any, **options: Any) -> int:
    """x W y for every output: as many products as the weight has entries, for each example."""
    return x.numel() // max(weight.shape[-2], 1) * weight.numel()


def _vector_product(first: Tensor, *rest: Any, out: Tensor) -> int:
    return first.numel()


def _deformed(x: Tensor, weight: Tensor, *rest: Any, out: Tensor, **options: Any) -> int:
    return out.numel() * prod(weight.shape[1:])


def _recurrent(x: Tensor, *rest: Any, out: Any) -> int:
    """Every step multiplies by every matrix once: gates x (input + hidden), and projections."""
    packed = isinstance(rest[2], (list, tuple))  # then there are batch sizes ahead of the rest
    return _steps(x) * _matrices(rest[2] if packed else rest[1])


def _recurrent_layer(x: Tensor, read: Tensor, handed: Tensor, *rest: Any, out: Any) -> int:
    return _steps(x) * (read.numel() + handed.numel())


def _cudnn_recurrent(x: Tensor, weights: Sequence[Tensor], *rest: Any, out: Any) -> int:
    return _steps(x) * _matrices(weights)


def _matrices(weights: Sequence[Tensor]) -> int:
    return sum(weight.numel() for weight in weights if weight.dim() == 2)


def _steps(x: Tensor) -> int:
    """Examples times steps of [steps, N, C], [N, steps, C], or [steps of all examples, C]."""
    return x.numel() // max(x.shape[-1], 1)


_COUNTED: dict[str, Formula] = {
    "mkldnn_convolution": _mkldnn_convolution,
    "linear": _linear,
    "_scaled_dot_product_flash_attention_for_cpu": _attention_on_cpu,
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu"), _recurrent),
    "mkldnn_rnn_layer": _recurrent_layer,
    "_cudnn_rnn": _cudnn_recurrent,
    "_cdist_forward": _distances,
    "_euclidean_dist": _distances,
    "_trilinear": _bilinear,
    **dict.fromkeys(("mv", "dot", "vdot"), _vector_product),
    "torchvision::deform_conv2d": _deformed,
}
