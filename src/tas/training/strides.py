"""A way around wrong gradients: strided convolutions of bf16 on the CPU."""

from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["keep_strides_within", "let_strides_go"]


def keep_strides_within(module: nn.Module) -> None:
    """Have its strided convolutions take strides no longer than the picture."""
    for part in module.modules():
        if type(part) is nn.Conv2d and max(part.stride) > 1 and "forward" not in vars(part):
            part.forward = partial(_strided_within, part)  # type: ignore[method-assign]


def let_strides_go(module: nn.Module) -> None:
    """Take back what ``keep_strides_within`` did."""
    for part in module.modules():
        own = vars(part).get("forward")
        if isinstance(own, partial) and own.func is _strided_within:
            del part.forward


def _strided_within(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """``conv(x)``. Where a stride is longer than the picture there is one pixel to come, and one as
    long as the picture leads to the same.

    With the longer one PyTorch's gradient of bf16 weights is what stood in memory before, for all
    weights that meet nothing but padding (seen with 2.14 on a CPU with AVX512-BF16).
    """
    if conv.padding_mode != "zeros" or isinstance(conv.padding, str):
        return type(conv).forward(conv, x)
    stride = [
        min(s, n) if 2 * p <= d * (k - 1) else s  # with more padding there may be more pixels
        for s, n, p, d, k in zip(
            conv.stride, x.shape[-2:], conv.padding, conv.dilation, conv.kernel_size, strict=True
        )
    ]
    return F.conv2d(x, conv.weight, conv.bias, stride, conv.padding, conv.dilation, conv.groups)
