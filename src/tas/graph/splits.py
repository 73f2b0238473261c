"""Which part of a split may shrink: whole heads, or positions in every head.

Where a view splits channels into heads and what each of them has, either may shrink, but not both:
the labels have to go along one of the two. By themselves they go along the last. Where the other
turns out to be the batch of a product of activations, as the heads of attention are, whole heads
are the better choice: the scale and tables of positions stay as they are. So the ways of the parts
of every split are followed through one pass (``Splits``), and the next pass is told (``wanted``).
So are the maps that a linear layer's output is viewed as, of which a convolution reads channels.

A grouped convolution splits its channels, too, into groups and what each of them has. By themselves
whole groups go; where all of them hang together, every group had better lose as many of its own.

A split has a name: the module whose code makes it, and its number among those of the module; that
of a grouped convolution is its module's with ``#groups``.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.weak import WeakTensorKeyDictionary

__all__ = ["Splits", "keeping_groups"]

GROUPS = "#groups"
Part = tuple[str, int]  # the name of a split, and a dimension of what it made

PRODUCTS = {"bmm": (0, 1), "baddbmm": (1, 2)}  # where their factors stand
SAME_ELEMENTS = {
    "_unsafe_view", "reshape", "_reshape_alias", "view", "clone", "repeat", "expand_copy",
}  # fmt: skip


def keeping_groups(along: Mapping[str, int]) -> frozenset[str]:
    """The paths of modules whose groups stay, of splits by their names.

    >>> from tas.graph.splits import keeping_groups
    >>> keeping_groups({"attn#1": 3, "conv#groups": 1})
    frozenset({'conv'})
    """
    return frozenset(name.removesuffix(GROUPS) for name in along if name.endswith(GROUPS))


class Splits:
    """Follows the parts of splits through a pass.

    Args:
        along: by the name of a split, the dimension that may shrink; others go by themselves.

    Attributes:
        wanted: by the name of a split, the dimension that is the batch of a product later on, or
            the channels of a convolution.
        labels: by the name of a split that was told, the labels that went along its dimension.
        groups: by the name of a grouped convolution that was not told, what it makes.
    """

    def __init__(self, along: Mapping[str, int]) -> None:
        self.along = along
        self.wanted: dict[str, int] = {}
        self.labels: dict[str, Tensor] = {}
        self.groups: dict[str, Tensor] = {}
        self._numbers: Counter[str] = Counter()
        self._made: list[tuple[str, list[int]]] = []
        self._parts: Any = WeakTensorKeyDictionary()  # by a tensor: by a dimension, its parts

    def named(self, path: str, others: list[int]) -> str:
        """The name of a split that a view makes in a module.

        Args:
            others: the dimensions along which labels could go, but do not by themselves.
        """
        self._numbers[path] += 1
        name = f"{path}#{self._numbers[path]}"
        self._made.append((name, others))
        return name

    def prefer(self, tensor: Tensor, dim: int) -> None:
        """Splits whose parts are along a dimension of a tensor had better shrink there."""
        self.wanted.update(self._parts.get(tensor, {}).get(dim, ()))

    def within(self, path: str, made: Tensor) -> bool:
        """Whether a convolution of a module keeps its groups, and every group may shrink.

        Args:
            made: the labels of what it makes.
        """
        name = f"{path}{GROUPS}"
        told = self.along.get(name) == 1
        (self.labels if told else self.groups)[name] = made
        return told

    def note(self, func: Any, args: Any, kwargs: Any, out: Any) -> None:
        """An operator has run."""
        made, self._made = self._made, []
        name = func.overloadpacket.__name__
        given = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        outs = [t for t in tree_leaves(out) if isinstance(t, Tensor)]
        for split, others in made:
            for dim in others:
                self._add(outs[0], dim, {(split, dim)})
        if name in PRODUCTS:
            self._product([args[n] for n in PRODUCTS[name]], outs[0])
        elif name.startswith("_scaled_dot_product"):
            self._product(given[:3], outs[0])
        else:
            for x in given:
                if self._parts.get(x):
                    self._hand_on(func, args, kwargs, x, outs)

    def _add(self, tensor: Tensor, dim: int, parts: set[Part]) -> None:
        own = self._parts.setdefault(tensor, {})
        own[dim] = own.get(dim, set()) | parts

    def _product(self, factors: list[Tensor], out: Tensor) -> None:
        """All but the last two dimensions of two factors are a batch."""
        for x in factors:
            for dim, parts in self._parts.get(x, {}).items():
                if dim < x.dim() - 2:
                    self.wanted.update(parts)
                    self._add(out, dim, parts)
        for x, last in ((factors[0], 2), (factors[-1], 1)):
            parts = self._parts.get(x, {}).get(x.dim() - last)
            if parts and x.shape[-last] == out.shape[-last]:
                self._add(out, out.dim() - last, parts)

    def _hand_on(self, func: Any, args: Any, kwargs: Any, x: Tensor, outs: list[Tensor]) -> None:
        moves = func.is_view or func.overloadpacket.__name__ in SAME_ELEMENTS
        for dim, parts in list(self._parts[x].items()):
            if moves:
                places = _moved(func, args, kwargs, x, dim)
            else:  # element by element, or along dimensions that stay what they are
                places = [out.dim() - x.dim() + dim for out in outs]
            for out, place in zip(outs, places, strict=False):
                if place is None or not 0 <= place < out.dim():
                    continue
                if moves or out.shape[place] == x.shape[dim]:
                    self._add(out, place, parts)


def _moved(func: Any, args: Any, kwargs: Any, x: Tensor, dim: int) -> list[int | None]:
    """Where a dimension is in each result of a move; None where it is in none, or in several."""
    size = [1] * x.dim()
    size[dim] = -1
    image = torch.arange(x.shape[dim]).view(size).expand(x.shape)

    def given(value: Any) -> Any:
        return image if value is x else value

    try:
        outs = func(*tree_map(given, args), **tree_map(given, kwargs))
    except RuntimeError:  # a view that cannot be one of the image
        outs = image.reshape(args[1] if len(args) > 1 else kwargs["size"])
    found: list[int | None] = []
    for positions in [outs] if isinstance(outs, Tensor) else outs:
        still = tuple(slice(0, 1) if s == 0 else slice(None) for s in positions.stride())
        small = positions[still]
        varying = [
            d
            for d in range(small.dim())
            if small.shape[d] > 1 and bool((small != small.narrow(d, 0, 1)).any())
        ]
        found.append(varying[0] if len(varying) == 1 else None)
    return found
