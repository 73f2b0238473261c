"""Which blocks add to what they are given: those alone may be left out.

From where a block begins, its input is followed: moved, scaled channel by channel, and at last in a
sum with what the block makes of it. What is done to the sum afterwards, element by element or by a
norm, changes nothing about that.
"""

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

__all__ = ["Streams"]

SUMS = {"add", "add_", "sub", "sub_", "rsub"}
ADDED_TO = {"addcmul", "addcmul_", "addmm", "baddbmm"}  # their first argument, that is
SCALINGS = {"mul", "mul_", "div", "div_"}
SAME = {
    "clone", "_to_copy", "contiguous", "dropout", "native_dropout", "lift_fresh", "_unsafe_view",
    "reshape", "_reshape_alias", "roll", "flip",
}  # fmt: skip
AFFINE = {
    "native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training",
    "cudnn_batch_norm", "miopen_batch_norm", "_batch_norm_no_update",
}  # fmt: skip
NORMS = {*AFFINE, "native_layer_norm", "native_group_norm", "_fused_rms_norm", "rms_norm"}

Found = dict[str, bool]  # by a block that runs: whether its input is here in a sum, or alone


class Streams:
    """Follows the inputs of the blocks that are running.

    Args:
        fixed: the ids of parameters and buffers.
    """

    def __init__(self, fixed: set[int]) -> None:
        self._fixed = fixed
        self._found: Any = WeakTensorKeyDictionary()

    def enter(self, block: str, x: Tensor) -> None:
        """A block is given x."""
        self._found[x] = {**self._found.get(x, {}), block: False}

    def leave(self, block: str, out: Tensor) -> bool:
        """Whether what a block gives is its input, or a sum with it."""
        return block in self._found.get(out, {})

    def note(self, func: Any, args: Any, kwargs: Any, out: Any) -> None:
        """An operator has run."""
        sources = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        known = [t for t in sources if self._found.get(t)]
        first = next((t for t in tree_leaves(out) if isinstance(t, Tensor)), None)
        if not known or first is None:
            return
        if func.overloadpacket.__name__ == "cat":
            found = self._joined(sources)
        else:
            found = self._handed_on(func, sources, known, first)
        if found or any(first is t for t in known):  # else it was written over
            self._found[first] = found

    def _joined(self, parts: list[Tensor]) -> Found:
        """Of parts that were split and are put together again: what all of them have."""
        each = [self._found.get(part, {}) for part in parts]
        return {
            block: any(found[block] for found in each)
            for block in each[0]
            if all(block in found for found in each)
        }

    def _handed_on(
        self, func: Any, sources: list[Tensor], known: list[Tensor], out: Tensor
    ) -> Found:
        found: Found = {}
        for source in known:
            others = [t for t in sources if t is not source]
            for block, summed in self._found[source].items():
                after = self._after(func, source, sources[0], others, out, summed)
                if after is not None:
                    found[block] = found.get(block, False) or after
        return found

    def _after(
        self,
        func: Any,
        source: Tensor,
        first: Tensor,
        others: list[Tensor],
        out: Tensor,
        summed: bool,
    ) -> bool | None:
        """Whether a result has what a source has: alone (False), in a sum (True); None: not."""
        name = func.overloadpacket.__name__
        if func.is_view or name in SAME:
            return summed
        if source.shape != out.shape:
            return None
        made = [t for t in others if t.numel() > 1 and not self._is_fixed(t)]
        if name in SUMS or (name in ADDED_TO and source is first):
            return summed or bool(made)
        if summed and (torch.Tag.pointwise in func.tags or name in NORMS):
            return True
        if name in AFFINE or (name in SCALINGS and not made):
            return summed
        return None

    def _is_fixed(self, t: Tensor) -> bool:
        """Whether it is a parameter or a buffer, or a view of one."""
        return id(t) in self._fixed or id(t._base) in self._fixed
