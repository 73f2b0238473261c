"""Follows the channels of a net through one forward pass.

Every tensor carries *planes*: along one of its dimensions, a label for every index. A parameter
gets a fresh label for every index of each of its dimensions when it is first used; the rules
(``rules``) say for every operator which labels its result carries, which labels are *tied*
(what carries them lives or dies together), and which are *locked* (what carries them must stay).
The label 0 stands for an index that is no channel: a pixel, a padded place, a constant.

It is the net's own Python code that runs, once, on an example: control flow does not matter, and
the time is that of a forward pass. An operator without a rule locks what flows into it, by name.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from ..costs.operators import run
from .splits import Splits

__all__ = ["Cost", "Place", "Plane", "Tracer"]

Place = tuple[str, int]  # the name of a parameter or buffer, and one of its dimensions


@dataclass(frozen=True)
class Plane:
    """Labels along one dimension of a tensor.

    >>> import tas, torch
    >>> plane = tas.graph.Plane(1, torch.arange(1, 9))  # 8 channels along dimension 1
    >>> plane.at(0).dim
    0

    Attributes:
        dim: the dimension.
        labels: [size of the dimension], 0 where there is no channel.
        origin: the parameter and dimension whose labels these are, if it is one.
    """

    dim: int
    labels: Tensor
    origin: Place | None = None

    def at(self, dim: int) -> "Plane":
        """The same labels along a dimension of a result, which is no parameter."""
        return Plane(dim, self.labels)


@dataclass(frozen=True)
class Cost:
    """The multiply-adds of one operator.

    Attributes:
        path: the module that ran it; of one that is run from elsewhere, what runs it.
        macs: for one image.
        sides: labels, or a size, of every dimension whose sizes multiply to the cost.
    """

    path: str
    macs: int
    sides: tuple[Tensor | int, ...]


@dataclass
class Notes:
    """What the rules write down.

    Attributes:
        ties: pairs of label vectors that live or die together, index by index.
        locks: label vectors that must stay, and why.
        produced: places that make channels, with the module that ran: a layer's outputs.
        areas: of what they make, the values that a channel has.
        consumed: places that read channels: a layer's inputs.
        norms: for the path of a module that normalises over its channels: their labels.
        multiplied: labels over which two activations are multiplied and summed (attention).
        summed: labels over which a batch of products is summed, as an einsum does.
        costs: of every operator that has multiply-adds.
    """

    ties: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    locks: list[tuple[Tensor, str]] = field(default_factory=list)
    produced: dict[Place, str] = field(default_factory=dict)
    areas: dict[Place, int] = field(default_factory=dict)
    consumed: set[Place] = field(default_factory=set)
    norms: dict[str, Tensor] = field(default_factory=dict)
    multiplied: list[Tensor] = field(default_factory=list)
    summed: list[Tensor] = field(default_factory=list)
    costs: list[Cost] = field(default_factory=list)


class Tracer(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Runs with a net's forward pass and keeps the planes of every tensor.

    >>> import tas, torch
    >>> from tas.graph.rules import apply_rule
    >>> net = torch.nn.Conv2d(3, 8, 1, bias=False)
    >>> tracer = tas.graph.Tracer(net, apply_rule)
    >>> with torch.no_grad(), tracer:
    ...     out = net(torch.zeros(1, 3, 4, 4))
    >>> [(plane.dim, len(plane.labels)) for plane in tracer.planes(out)]
    [(1, 8)]

    Args:
        net: its parameters and buffers are the sources of labels.
        rule: is called with every operator, its arguments and its result (``rules.apply_rule``).
        splits: which part of a split may shrink.

    Attributes:
        notes: what was found.
        places: the labels of every dimension of each parameter and buffer that was used.
        path: paths of the running modules, the innermost last; kept by ``naming``.
        watchers: are called with every operator after its rule, as ``rule`` is but for the tracer.
        seen: by the path of a module, the labels along the dimensions of what ran in it.
    """

    def __init__(
        self, net: nn.Module, rule: Callable[..., None], splits: Splits | None = None
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._rule = rule
        self.splits = splits or Splits({})
        self.notes = Notes()
        self.places: dict[Place, Tensor] = {}
        self.path = [""]
        self.watchers: list[Callable[..., None]] = [self.splits.note]
        named = [*net.named_parameters(), *net.named_buffers()]
        self.seen: dict[str, dict[int, Tensor]] = {}
        self._names = {id(t): name for name, t in named}
        self._keep = [t for _, t in named]  # so that no other tensor gets one of these ids
        self._planes = WeakTensorKeyDictionary()
        self._next = 1

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out, one = run(func, args, kwargs, self)
        if not one:
            return out
        self._rule(self, func, args, kwargs, out)
        for watcher in self.watchers:
            watcher(func, args, kwargs, out)
        return out

    # What the rules ask ------------------------------------------------------------------------

    def planes(self, tensor: Tensor) -> tuple[Plane, ...]:
        """The planes of a tensor; those of a parameter are made when it is first seen."""
        if tensor not in self._planes:
            name = self._names.get(id(tensor))
            if name is None or not tensor.is_floating_point():
                return ()
            found = []
            for dim, size in enumerate(tensor.shape):
                if size > 1:
                    labels = torch.arange(self._next, self._next + size)
                    self._next += size
                    self.places[name, dim] = labels
                    found.append(Plane(dim, labels, (name, dim)))
            self._planes[tensor] = tuple(found)
        planes: tuple[Plane, ...] = self._planes[tensor]
        return planes

    def along(self, tensor: Tensor, dim: int) -> tuple[Plane, ...]:
        """The planes of a tensor along one dimension, which may be negative."""
        dim %= max(tensor.dim(), 1)
        return tuple(p for p in self.planes(tensor) if p.dim == dim)

    def plane(self, tensor: Tensor, dim: int) -> Plane | None:
        """The plane along a dimension, if there is any.

        Of channels of several kinds those stay of which there are fewer; but heads go, whose
        channels follow one another.
        """
        found = self.along(tensor, dim)
        if len(found) < 2:
            return found[0] if found else None
        heads = [p for p in found if 0 < p.labels[0] == p.labels[1]]
        going = heads[0] if len(heads) == 1 else max(found, key=lambda p: len({*p.labels.tolist()}))
        staying = [p for p in found if p is not going]
        self.lock(staying, "channels of two kinds along one dimension")
        return going

    def labels(self, tensor: Tensor, dim: int) -> Tensor | int:
        """The labels along a dimension, as those of ``plane``, or its size where there are none."""
        found = self.plane(tensor, dim)
        return tensor.shape[dim] if found is None else found.labels

    @property
    def count(self) -> int:
        """Labels given out so far, 0 among them."""
        return self._next

    # What the rules write down -----------------------------------------------------------------

    def carry(self, tensor: Tensor, planes: Sequence[Plane]) -> None:
        """Give a result its planes.

        Raises:
            ValueError: a plane is not of the size that the result has there.
        """
        for plane in planes:
            if len(plane.labels) != tensor.shape[plane.dim]:
                raise ValueError(
                    f"{len(plane.labels)} labels for dim {plane.dim} of {list(tensor.shape)}"
                )
        self._planes[tensor] = tuple(p for p in planes if tensor.shape[p.dim] > 1)
        here = self.seen.setdefault(self.path[-1], {})
        for plane in self._planes[tensor]:
            here[id(plane.labels)] = plane.labels

    def tie(self, a: Tensor | int, b: Tensor | int, why: str) -> None:
        """Labels that live or die together; where one side has none, the other is locked."""
        if isinstance(a, int) or isinstance(b, int):
            for side in (a, b):
                if not isinstance(side, int):
                    self.notes.locks.append((side, self._at(why)))
            return
        both = (a > 0) & (b > 0)
        self.notes.ties.append((a[both], b[both]))
        alone = torch.cat([a[(a > 0) & ~both], b[(b > 0) & ~both]])
        if len(alone):
            self.notes.locks.append((alone, self._at(why)))

    def lock(self, planes: Sequence[Plane], why: str) -> None:
        """Labels that must stay."""
        for plane in planes:
            self.notes.locks.append((plane.labels[plane.labels > 0], self._at(why)))

    def note_cost(self, macs: int | None, *sides: Tensor | int) -> None:
        """Note the multiply-adds of an operator, and the sizes that they are proportional to.

        Where they cannot be, for they are no multiple of the product, what the sides carry stays.
        """
        if not macs:
            return
        if macs % max(prod(len(s) if isinstance(s, Tensor) else s for s in sides), 1):
            for side in sides:
                self.tie(side, 0, "a cost that is not proportional to the channels")
            sides = ()
        self.notes.costs.append(Cost(self._site(), macs, sides))

    def produce(self, planes: Sequence[Plane], out: Tensor) -> None:
        """Note the places that make the channels of ``out``."""
        for plane in planes:
            if plane.origin is not None:
                # A parameter of the net itself has no module to be named after.
                self.notes.produced.setdefault(plane.origin, self.path[-1] or plane.origin[0])
                self.notes.areas.setdefault(plane.origin, out.numel() // len(plane.labels))

    def consume(self, planes: Sequence[Plane]) -> None:
        """Note the places that read channels."""
        self.notes.consumed |= {p.origin for p in planes if p.origin is not None}

    def _site(self) -> str:
        """The innermost module that runs, or what runs it from elsewhere in the net.

        A module that several blocks share costs what it does in each, as long as that is there.
        """
        for outer, inner in reversed([*pairwise(self.path)]):
            if outer and not inner.startswith(f"{outer}."):
                return outer
        return self.path[-1]

    def _at(self, why: str) -> str:
        return f"{why} in {self.path[-1]}" if self.path[-1] else why
