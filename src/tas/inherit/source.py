"""A trained net, and the smaller nets that inherit its weights.

One path for our own nets and for those that are traced: the channels of every width are put in
order once, in the net itself, those first that tell most (``ordering.py``); what a smaller net
keeps of a width are then its first channels, and the layers that read them make up for the rest
(``bank.py``).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from torch import nn

from .. import processes
from ..errors import InputError
from ..forward import Forward, call_batch, example_for
from ..graph import Structure, analyse, cut_to, kept_atoms, kept_blocks, reordered
from ..nets import ResNet, build, full_shape, is_named
from ..nets.resnet import fitted
from ..shape import Shape
from ..space import Space
from ..spaces import TracedSpace
from .bank import Bank
from .importance import channel_ranking
from .leading import inheriting
from .ordering import selection
from .readings import SAMPLES, Readings, readings, sorted_by
from .settling import settled, watched

__all__ = ["Pictures", "Source"]

# Batches on the net's device, such as images and labels, a few; every call starts with the first.
Pictures = Callable[[], Iterable[Any]]


@dataclass(frozen=True, eq=False)
class Source:
    """What the nets of a space start from.

    Attributes:
        net: the unpruned net; None: nets are built with fresh weights.
        structure: what may shrink in it; None: nets do not inherit channels of choice.
        cut: nets are cut from copies of ``net``, as those of any class can be; else they are built
            from their shapes, as our own ResNets can, which may also grow and get projections.
        trained: the weights of ``net`` were learnt, so that its answers tell something.
        readings: what its layers are given, once its channels are in order.
    """

    net: nn.Module | None = None
    structure: Structure | None = None
    cut: bool = False
    trained: bool = False
    readings: Readings = field(default_factory=dict)

    @classmethod
    def of(cls, space: Space, net: nn.Module | None = None, *, trained: bool = True) -> "Source":
        """The source of a space's nets.

        Args:
            net: the unpruned net of the space; default: the one that was traced, and none for our
                own ResNets.
            trained: its weights were learnt.
        """
        if isinstance(space, TracedSpace):
            return cls(net or space.model, space.structure, cut=True, trained=trained)
        return cls(net, trained=trained and net is not None)

    @classmethod
    def teaching(cls, shape: Shape, teacher: nn.Module, input: tuple[int, int, int]) -> "Source":
        """The source of the net of a shape, whose unpruned net is the teacher.

        Args:
            input: channels, height and width of the images.

        Raises:
            InputError: the teacher is another net, or a pruned one.
        """
        if is_named(shape.net):
            structure = replace(_structure(teacher, input, shape.splits), rewrites=shape.rewrites)
            return cls(teacher, structure, cut=True, trained=True)
        full = full_shape(shape.net, shape.classes, input)
        own = teacher.shape if isinstance(teacher, ResNet) else None
        if own is None or (own.net, own.widths, own.depths) != (full.net, full.widths, full.depths):
            pruned = "a pruned " if own and own.net == full.net else ""
            raise InputError(
                f"the teacher is {pruned}{own.net if own else type(teacher).__name__}: a shape of "
                f"{shape.net} inherits from the whole {shape.net}"
            )
        return cls(teacher, trained=True)

    def derive(self, shape: Shape) -> nn.Module:
        """The plain net of a shape, with the weights of ``net`` where there is one."""
        if self.net is None:
            return build(shape)
        if self.cut:
            assert self.structure is not None
            if not self.readings:
                return cut_to(self.net, self.structure, shape)
            kept = kept_atoms(self.structure, shape)
            counts = {name: len(atoms) for name, atoms in kept.items()}
            return self._bank.cut(counts, kept_blocks(self.structure, shape))
        if not self.readings:
            return inheriting(shape, self.net.state_dict())
        plan = self._as_cut(shape)
        if plan is None:
            return inheriting(shape, self._bank.leading)
        small: Any = self._bank.cut(*plan)
        small.shape = fitted(small.architecture, shape)
        return small  # type: ignore[no-any-return]

    def ordered(
        self,
        input: tuple[int, int, int] | None,
        pictures: Pictures,
        forward: Forward = call_batch,
        samples: int = SAMPLES,
    ) -> "Source":
        """This source with a copy of its net that computes the same, its channels in the order in
        which they are kept, the pictures' statistics in its norms, and what its layers are given.

        In the order in which channels explain what the next layers read, where that is known; else
        by what they add to the loss.

        Args:
            input: channels, height and width of the images; not needed with a structure.
            forward: how the net is called on a batch.
            samples: pictures and places in them that count, of every batch.
        """
        assert self.net is not None
        structure = self.structure
        if structure is None:
            assert input is not None
            structure = _structure(self.net, input)
        with watched(self.net, samples) as moments:
            given = readings(self.net, structure, pictures(), forward, samples)
        ranking = selection(self.net, structure, given)
        if len(ranking) < len(structure.widths):  # seldom, and it takes gradients
            ranking = channel_ranking(self.net, structure, pictures(), forward) | ranking
        # Each process has seen other pictures; all keep what the first has found.
        ranking, given, moments = processes.agreed((ranking, given, moments))
        net = reordered(settled(self.net, moments), structure, ranking)
        return replace(self, net=net, structure=structure, readings=sorted_by(given, ranking))

    def starting_from(self, net: nn.Module) -> "Source":
        """This source with another net of the same class, and its trained weights as they are."""
        return replace(self, net=net, trained=True, readings={})

    @cached_property
    def _bank(self) -> Bank:
        """What earlier nets have left for those to come; of this source alone (``replace``)."""
        assert self.net is not None
        assert self.structure is not None
        return Bank(self.net, self.structure, self.readings)

    def _as_cut(self, shape: Shape) -> tuple[dict[str, int], dict[str, int]] | None:
        """The atoms and blocks that ``net``, one of our own ResNets, keeps when it is cut to a
        shape; None where that is not all: the shape is wider, or has projections of its own."""
        assert self.structure is not None
        if not isinstance(self.net, ResNet):
            return None
        shape, full = fitted(self.net.architecture, shape), self.net.shape
        if {shape.residual, full.residual} != {"tied"}:
            return None
        if (shape.classes, shape.input) != (full.classes, full.input):
            return None
        depths = {name: n for name, n in shape.depths.items() if n != full.depths[name]}
        runs = {run.name: range(run.least, len(run.blocks)) for run in self.structure.runs}
        if any(n not in runs.get(name, ()) for name, n in depths.items()):
            return None
        open_widths, counts = dict(shape.widths), dict[str, int]()
        for width in self.structure.widths:
            layers = [layer.removesuffix(".conv") for layer in width.layers]
            asked = {open_widths.pop(layer) for layer in layers if layer in open_widths}
            if len(asked) > 1 or max(asked, default=0) > width.channels:
                return None
            if asked:
                counts[width.name] = asked.pop() // width.unit
        if any(n != full.widths.get(name) for name, n in open_widths.items()):
            return None  # of what the structure has locked
        return counts, depths


def _structure(
    net: nn.Module, input: tuple[int, int, int], splits: Mapping[str, int] | None = None
) -> Structure:
    return analyse(net, example_for(net, input), splits=splits)
