"""Counts the multiply-adds and parameters of any net, module by module.

MACs here are the multiply-adds of convolutions and linear layers (matrix products included) for
one image; biases, norms, activations and pooling cost nothing, as in the field's tables. The count
comes from one forward pass under a dispatch mode, so Python control flow does not matter. An
operator that is neither counted nor known to be free is named, never passed over in silence.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from ..forward import answer, evaluating, naming

__all__ = ["Count", "count", "operator_macs"]

# Operators that touch each element a few times at most: no multiply-adds by our definition.
# Pointwise operators and views are recognised by their tags and need no entry.
# fmt: off
_FREE = {
    "_adaptive_avg_pool2d", "_batch_norm_no_update", "_batch_norm_with_update",
    "_fused_rms_norm", "_log_softmax", "_prelu_kernel", "hardswish", "hardswish_",
    "_native_batch_norm_legit",
    "_native_batch_norm_legit_no_training", "_softmax", "_to_copy", "_unsafe_view",
    "adaptive_avg_pool2d", "adaptive_max_pool2d", "all", "amax", "amin", "any", "arange",
    "argmax", "avg_pool2d", "bernoulli", "bernoulli_", "cat", "clone", "constant_pad_nd",
    "copy", "copy_", "cudnn_batch_norm", "cumsum", "embedding", "empty", "empty_like",
    "empty_strided", "fill_", "flip", "full", "full_like", "gather", "index", "index_select",
    "lift_fresh", "lift_fresh_copy", "linalg_vector_norm", "linspace", "max", "max_pool2d",
    "max_pool2d_with_indices", "mean", "meshgrid", "min", "miopen_batch_norm",
    "mkldnn_adaptive_avg_pool2d", "mkldnn_max_pool2d", "native_batch_norm", "native_dropout",
    "native_group_norm", "native_layer_norm", "new_empty", "new_full", "new_ones",
    "new_zeros", "ones", "ones_like", "pixel_shuffle", "prod", "rand", "randn", "repeat",
    "resize_", "resolve_conj", "resolve_neg", "roll", "scalar_tensor", "set_", "sort",
    "stack", "std", "sum", "topk", "upsample_bicubic2d", "upsample_bilinear2d",
    "upsample_nearest2d", "var", "var_mean", "zero_", "zeros", "zeros_like",
}
# fmt: on


@dataclass(frozen=True)
class Count:
    """What a net costs.

    Attributes:
        macs: multiply-adds for one image.
        params: number of parameters, each counted once.
        modules: multiply-adds by the path of the module that spends them.
        unknown: operators that were neither counted nor known to be free, and how often they ran.
    """

    macs: int
    params: int
    modules: dict[str, int] = field(default_factory=dict)
    unknown: dict[str, int] = field(default_factory=dict)


def count(net: nn.Module, input: tuple[int, int, int] | Tensor) -> Count:
    """Count one forward pass in evaluation mode.

    Args:
        net: any module that takes one batch of images.
        input: channels, height, width of an image; or an example batch [N, C, H, W].

    Returns:
        The cost for one image (the batch's, divided by N).

    Raises:
        InputError: the net does not run on such images.
    """
    first = next(net.parameters(), torch.empty(0))
    if isinstance(input, Tensor):
        example = input
    else:
        example = torch.zeros(1, *input, device=first.device, dtype=first.dtype)
    mode = _Counter()
    with evaluating(net), torch.no_grad(), naming(net, mode.path), mode:
        answer(net, example)
    images = example.shape[0]
    return Count(
        macs=sum(mode.macs.values()) // images,
        params=sum(p.numel() for p in net.parameters()),
        modules={path: macs // images for path, macs in mode.macs.items()},
        unknown=dict(mode.unknown),
    )


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds the multiply-adds of every operator to the module that is running."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.path = [""]
        self.macs: dict[str, int] = defaultdict(int)
        self.unknown: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        name = func.overloadpacket.__name__
        macs = operator_macs(func, args, kwargs, out)
        if macs is not None:
            self.macs[self.path[-1]] += macs
        elif not (name in _FREE or func.is_view or torch.Tag.pointwise in func.tags):
            self.unknown[f"{name} in {self.path[-1] or 'the net itself'}"] += 1
        return out


def operator_macs(func: Any, args: Any, kwargs: Any, out: Any) -> int | None:
    """Multiply-adds of one operator of ATen; None where it is not one that is counted."""
    packet = func.overloadpacket
    if packet in flop_registry:
        # torch counts a multiply-add as two operations.
        return int(flop_registry[packet](*args, **kwargs, out_val=out)) // 2
    if packet.__name__ == "mkldnn_convolution":
        return int(out.numel() * prod(args[1].shape[1:]))
    if packet.__name__ == "_scaled_dot_product_flash_attention_for_cpu":
        query, key, value = args[:3]
        return int(query.numel() * key.shape[-2] + query[..., 0].numel() * value[0, 0].numel())
    return None
