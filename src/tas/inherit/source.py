"""A trained net, and the smaller nets that inherit its weights.

One path for our own nets and for those that are traced: the channels of every width are put in
order once, in the net itself, those first that tell most; what a smaller net keeps of a width are
then its first channels, and the layers that read them make up for the rest
(``reconstruction.py``).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from .. import processes
from ..errors import InputError
from ..graph import Structure, analyse, cut_to, kept_atoms, reordered
from ..nets import ResNet, build, full_shape, is_named
from ..shape import Shape
from ..space import Space
from ..spaces import TracedSpace
from .importance import channel_ranking
from .leading import inherit
from .reconstruction import Reader, Readings, folded, readings, selection

__all__ = ["Pictures", "Source"]

# Images and labels on the net's device, a few batches; every call starts with the first.
Pictures = Callable[[], Iterable[tuple[Tensor, Tensor]]]


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
            return cls(teacher, _structure(teacher, input), cut=True, trained=True)
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
            return cut_to(self._folded(self._counts_of(shape)), self.structure, shape)
        small = build(shape)
        inherit(small, self._folded(self._counts_in(small)))
        return small

    def ordered(self, input: tuple[int, int, int], pictures: Pictures) -> "Source":
        """This source with a copy of its net that computes the same, its channels in the order in
        which they are kept, and with what its layers are given.

        In the order in which channels explain what the next layers read, where that is known; else
        by what they add to the loss.

        Args:
            input: channels, height and width of the images.
        """
        assert self.net is not None
        structure = self.structure or _structure(self.net, input)
        given = readings(self.net, structure, (images for images, _ in pictures()))
        ranking = selection(self.net, structure, given)
        if len(ranking) < len(structure.widths):  # seldom, and it takes gradients
            ranking = channel_ranking(self.net, structure, pictures()) | ranking
        # Each process has seen other pictures; all keep what the first has found.
        ranking, given = processes.agreed((ranking, given))
        own = {reader: each.sorted_by(ranking[reader[1]]) for reader, each in given.items()}
        net = reordered(self.net, structure, ranking)
        return replace(self, net=net, structure=structure, readings=own)

    def starting_from(self, net: nn.Module) -> "Source":
        """This source with another net of the same class, and its trained weights as they are."""
        return replace(self, net=net, trained=True, readings={})

    def _folded(self, counts: Mapping[Reader, int]) -> nn.Module:
        """``net``, its layers reading the first so many atoms of a width as a guess at all."""
        assert self.net is not None
        if not self.readings:
            return self.net
        assert self.structure is not None
        kept = {reader: torch.arange(count) for reader, count in counts.items()}
        return folded(self.net, self.structure, self.readings, kept)

    def _counts_of(self, shape: Shape) -> dict[Reader, int]:
        """How many atoms of a width each layer reads, in a net that is cut to a shape."""
        assert self.structure is not None
        kept = kept_atoms(self.structure, shape)
        return {(path, name): len(kept[name]) for path, name in self.readings if name in kept}

    def _counts_in(self, net: nn.Module) -> dict[Reader, int]:
        """The same in a net that was built: as many as a layer has inputs."""
        if self.structure is None:
            return {}
        layers: dict[str, Any] = dict(net.named_modules())
        atoms = {width.name: width.atoms for width in self.structure.widths}
        return {
            (path, name): min(layers[path].weight.shape[1], atoms[name])
            for path, name in self.readings
            if path in layers
        }


def _structure(net: nn.Module, input: tuple[int, int, int]) -> Structure:
    first = next(net.parameters())
    return analyse(net, torch.zeros(1, *input, device=first.device, dtype=first.dtype))
