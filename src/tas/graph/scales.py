"""Attention that takes its scale from the size of its heads, which a smaller head would change.

PyTorch divides by the square root of what is left of a head. A net whose channels are zero divides
by that of the whole head, as it was trained to. No cut can make them agree, so these channels stay.
With a ``scale`` in the call they may go.
"""

from typing import Any

import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from .labels import Tracer

__all__ = ["LocksOwnScales"]


class LocksOwnScales(TorchFunctionMode):
    """While it is on, what queries and keys are multiplied over is locked where a call has no
    scale.

    It looks at the function that the net's code calls: some of its operators are given the scale as
    a number, and do not tell where it came from.
    """

    def __init__(self, tracer: Tracer) -> None:
        super().__init__()
        self.tracer = tracer

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention and kwargs.get("scale") is None:
            query = args[0] if args else kwargs["query"]
            why = "attention scaled by the size of its heads (no scale= in the call)"
            self.tracer.lock(self.tracer.along(query, -1), why)
        return func(*args, **kwargs)
