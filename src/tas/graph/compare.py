"""What a net answers, as it can be compared, and how far two answers are apart.

Where an operator depends on the numbers themselves (a non-maximum suppression, the largest few, a
mask of booleans), a rounding may change what comes behind it altogether. So the floats that go into
such operators are part of the answer, and what comes out is compared in float64.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ..forward import leaves

__all__ = ["Answer", "answered"]

CHOOSING = ("topk", "sort", "kthvalue", "nms", "unique", "searchsorted", "bucketize")


@dataclass(frozen=True)
class Answer:
    """The tensors that a net returns, and those that it chooses by on the way.

    >>> import torch
    >>> from tas.graph.compare import answered
    >>> class Best(torch.nn.Module):
    ...     def forward(self, x):
    ...         return x[x > 0]
    >>> answer = answered(Best(), lambda net: net(torch.tensor([-1.0, 2.0])))
    >>> len(answer.out), len(answer.chosen_by), answer.apart(answer)
    (1, 1, 0.0)
    """

    out: Sequence[Tensor]
    chosen_by: Sequence[Tensor] = ()

    @property
    def finite(self) -> bool:
        return all(bool(x.isfinite().all()) for x in self.out)

    @property
    def shapes(self) -> list[list[int]]:
        return [list(x.shape) for x in self.out]

    def apart(self, wanted: "Answer") -> float:
        """The largest difference, in standard deviations of each tensor that is wanted; what is no
        float has to be equal. Infinite where sizes differ, or where there is a NaN."""
        if (len(self.out), len(self.chosen_by)) != (len(wanted.out), len(wanted.chosen_by)):
            return float("inf")
        pairs = [*zip(self.out, wanted.out, strict=True)]
        for pair in zip(self.chosen_by, wanted.chosen_by, strict=True):
            if pair[0].shape == pair[1].shape:  # else it has channels of which some are cut
                pairs.append(pair)
        return max((_apart(*pair) for pair in pairs), default=0.0)


def answered(net: nn.Module, run: Callable[[nn.Module], Any]) -> Answer:
    """What a net answers when it is run."""
    with _Choosing() as choosing:
        out = run(net)
    return Answer([x.detach() for _, x in leaves(out)], choosing.found)


class _Choosing(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Keeps the floats that are given to operators whose results depend on them by leaps."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: list[Tensor] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if _chooses(func, args):
            given = (x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor))
            self.found += [x.nan_to_num(0.0, 0.0, 0.0) for x in given if x.is_floating_point()]
        return func(*args, **(kwargs or {}))


def _chooses(func: Any, args: Any) -> bool:
    name = func.overloadpacket.__name__
    if name in ("index", "index_put", "index_put_"):  # by places, as a rule
        indices = [x for x in tree_leaves(args[1]) if isinstance(x, Tensor)]
        return any(x.dtype in (torch.bool, torch.uint8) for x in indices)
    return name in CHOOSING or torch.Tag.dynamic_output_shape in func.tags


def _apart(found: Tensor, wanted: Tensor) -> float:
    if found.shape != wanted.shape:
        return float("inf")
    if torch.equal(found, wanted):
        return 0.0
    if not found.is_floating_point():
        return float("inf")
    scale = wanted.std() if wanted.numel() > 1 else wanted.abs()
    apart = float(torch.where(found == wanted, 0.0, (found - wanted).abs()).max() / scale)
    return apart if apart == apart else float("inf")
