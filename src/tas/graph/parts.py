"""What a trace comes to, as data: widths, layers that must stay, costs, and all of it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from ..shape import Side
from ..sides import Rewrite, Sum
from .labels import Place
from .runs import Run

__all__ = ["Layer", "Locked", "Structure", "Width"]


@dataclass(frozen=True)
class Width:
    """Atomic channels that are alike.

    >>> import tas, torch
    >>> structure = tas.graph.analyse(tas.nets.build("resnet20"), torch.zeros(1, 3, 32, 32))
    >>> stream = structure.widths[0]
    >>> stream.name, stream.channels, len(stream.layers)
    ('stem.conv', 16, 4)

    Attributes:
        name: path of the first layer that makes them.
        atoms: how many there are.
        unit: channels of each, at the named layer.
        places: for every parameter and dimension, the positions of each atom [atoms, n].
        layers: paths of all the layers that make them.
        area: values that a channel has in one image, at the named layer.
        least: how few of the atoms may stay. An einsum that sums over a single channel is no
            product any more, and costs nothing.
    """

    name: str
    atoms: int
    unit: int
    places: Mapping[Place, Tensor]
    layers: tuple[str, ...]
    area: int
    least: int = 1

    @property
    def channels(self) -> int:
        return self.atoms * self.unit


@dataclass(frozen=True)
class Locked:
    """Output channels of a layer that must stay, and why.

    >>> import tas, torch
    >>> structure = tas.graph.analyse(tas.nets.build("resnet20"), torch.zeros(1, 3, 32, 32))
    >>> structure.locked
    (Locked(layer='classifier', channels=10, reason="they are the net's output"),)
    """

    layer: str
    channels: int
    reason: str


@dataclass(frozen=True)
class Layer:
    """The multiply-adds of one operator: ``macs`` times the sizes of its sides."""

    path: str
    macs: int
    sides: tuple[Side, ...]


@dataclass(frozen=True)
class Structure:
    """The widths and depths of a net, found by running it once.

    >>> import tas, torch
    >>> structure = tas.graph.analyse(tas.nets.build("resnet20"), torch.zeros(1, 3, 32, 32))
    >>> len(structure.widths), len(structure.runs), structure.classes
    (12, 3, 10)

    Attributes:
        widths: what may shrink, in the order in which the net runs.
        runs: blocks that may be left out.
        locked: layers whose output channels must stay.
        layers: what each operator costs.
        sizes: the sides of every parameter.
        slots: of a parameter's dimension that reads channels: for every index the place of its atom
            among all atoms of all widths; one more than there are atoms where it stays.
        norms: likewise, by a call that takes channels together, as a norm does (``Weighted``).
        multiplied: places whose channels are multiplied with one another (attention).
        classes: scores that the net gives; None where it gives something else.
        seen: by the path of a module, the sizes that it has seen and what they follow.
        rewrites: numbers in the net's own code that follow its widths.
        splits: by its name, the dimension of a split that may shrink instead of the last.
        wanted: splits of which another dimension had better, as heads of attention.
        heads: by the name of a split that is in ``splits``, the widths of that dimension.
        joints: names of widths that must keep the same ratio of their channels.
    """

    widths: tuple[Width, ...]
    runs: tuple[Run, ...]
    locked: tuple[Locked, ...]
    layers: tuple[Layer, ...]
    sizes: Mapping[str, tuple[Side, ...]]
    slots: Mapping[Place, Tensor]
    norms: Mapping[str, Tensor]
    multiplied: Mapping[Place, Tensor]
    classes: int | None
    seen: Mapping[str, tuple[tuple[int, Sum], ...]] = field(default_factory=dict)
    rewrites: tuple[Rewrite, ...] = ()
    splits: Mapping[str, int] = field(default_factory=dict)
    wanted: Mapping[str, int] = field(default_factory=dict)
    heads: Mapping[str, frozenset[str]] = field(default_factory=dict)
    joints: tuple[tuple[str, ...], ...] = ()

    @property
    def atoms(self) -> int:
        return sum(width.atoms for width in self.widths)

    def splits_of(self, names: Collection[str]) -> dict[str, int]:
        """Those of ``splits`` whose dimension has one of these widths."""
        return {split: dim for split, dim in self.splits.items() if self.heads[split] & set(names)}
