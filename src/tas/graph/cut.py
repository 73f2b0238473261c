"""Cuts a copy of a net: fewer channels, fewer blocks, the same class, no hooks or masks."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import ShapeError, one_of
from ..shape import Shape
from ..sides import Rewrite
from .constants import check, rewrite
from .joints import check_joints
from .labels import Place
from .mirrors import follow, tensors
from .skeleton import Skeleton, copied
from .splits import keeping_groups
from .structure import Structure

__all__ = ["Cutter", "copied", "cut", "cut_to", "kept_atoms", "kept_blocks", "reordered"]

Columns = tuple[str, str]  # the name of a weight, and of a width whose atoms it reads


def cut(
    net: nn.Module, structure: Structure, kept: Mapping[str, Tensor], depths: Mapping[str, int]
) -> nn.Module:
    """A copy of the net with the kept atoms of every width, and the first blocks of every run.

    >>> import tas, torch
    >>> from torch import nn
    >>> net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3))
    >>> structure = tas.graph.analyse(net, torch.zeros(1, 1, 8, 8))
    >>> tas.graph.cut(net, structure, {"0": torch.tensor([1, 4])}, {})[2].weight.shape
    torch.Size([4, 2, 3, 3])

    Args:
        kept: by a width's name, the indices of the atoms that stay; without an entry, all.
        depths: by a run's name, how many of its blocks stay; without an entry, all.
    """
    return Cutter(net, structure).cut(kept, depths)


class Cutter:
    """Cuts a net again and again; what is the same in every cut is found once.

    >>> import tas, torch
    >>> from tas.graph import Cutter
    >>> net = tas.nets.build("resnet20").eval()
    >>> structure = tas.graph.analyse(net, torch.zeros(1, 3, 32, 32))
    >>> name = structure.widths[1].name
    >>> small = Cutter(net, structure).cut({name: torch.arange(8)}, {})
    >>> small.get_submodule(name).out_channels
    8

    The net may get other weights in the meantime, but no other modules or attributes.

    Raises:
        ShapeError: the structure rewrites numbers that the net has not.
    """

    def __init__(self, net: nn.Module, structure: Structure) -> None:
        self._structure = structure
        self._channels = {width.name: width.channels for width in structure.widths}
        self._units = {width.name: width.unit for width in structure.widths}
        check(net, structure.rewrites, self._channels)
        self._skeleton = Skeleton(net)
        number = {id(tensor): n for n, tensor in enumerate(self._skeleton.tensors)}
        self._parameters = [isinstance(tensor, nn.Parameter) for tensor in self._skeleton.tensors]
        named = tensors(net)
        self._named = {name: number[id(tensor)] for name, tensor in named.items()}
        self._before = {name: tuple(tensor.shape) for name, tensor in named.items()}
        parts: dict[Place, list[_Part]] = defaultdict(list)
        same: dict[bytes, Any] = {}  # norms, biases and weights have their channels alike
        for width in structure.widths:
            for place, positions in width.places.items():
                if place[0] in self._before:
                    rows = positions.numpy()
                    rows = same.setdefault(rows.tobytes() + str(rows.shape).encode(), rows)
                    parts[place].append(_Part(width.name, width.atoms, rows))
        # By the name of a tensor and its dimension: what stays is asked once for all that are alike
        self._lines: dict[str, list[tuple[int, _Line]]] = defaultdict(list)
        lines: dict[tuple[Any, ...], _Line] = {}
        for (name, dim), found in sorted(parts.items(), key=lambda part: part[0]):
            size = self._before[name][dim]
            key = (size, *((part.width, id(part.positions)) for part in found))
            self._lines[name].append((dim, lines.setdefault(key, _Line(size, tuple(found)))))

    @torch.no_grad()
    def cut(
        self,
        kept: Mapping[str, Tensor],
        depths: Mapping[str, int],
        instead: Mapping[str, Tensor] | None = None,
        columns: Mapping[Columns, Tensor] | None = None,
        rewrites: Sequence[Rewrite] | None = None,
    ) -> nn.Module:
        """A copy of the net, cut.

        Args:
            kept, depths: as those of ``cut``.
            instead: by the name of a parameter, what is cut in its place, of the same size.
            columns: by the names of a weight [outputs, inputs, ...] and of a width, what the weight
                is to have at the inputs that are kept of this width, atom by atom.
            rewrites: in the place of the structure's.
        """
        instead, columns = instead or {}, columns or {}
        rewrites = self._structure.rewrites if rewrites is None else rewrites
        gone = [
            path
            for run in self._structure.runs
            for path in run.blocks[depths.get(run.name, len(run.blocks)) :]
        ]
        dropped = tuple(f"{path}." for path in gone)
        named = {name: n for name, n in self._named.items() if not name.startswith(dropped)}
        own = {name: atoms.numpy() for name, atoms in kept.items()}
        staying = _Staying(own)
        of_weight: dict[str, dict[str, Tensor]] = defaultdict(dict)
        for (name, width), values in columns.items():
            of_weight[name][width] = values
        small = list(self._skeleton.tensors)
        for number in sorted(set(named.values())):  # the others go with their blocks
            name, tensor = self._skeleton.names[number], self._skeleton.tensors[number]
            parameter = self._parameters[number]
            given, lines = instead.get(name, tensor), self._lines.get(name, ())
            if name in of_weight:
                value = _with_columns(given, lines, of_weight[name], staying)
            else:
                value = _taken(given, [(dim, staying.of(line)) for dim, line in lines])
            small[number] = nn.Parameter(value, tensor.requires_grad) if parameter else value
        net = self._skeleton.filled(small)
        for path in gone:
            container, _, name = path.rpartition(".")
            del net.get_submodule(container)._modules[name]
        after = {name: tuple(small[n].shape) for name, n in named.items()}
        follow(net, self._before, after, keeping_groups(self._structure.splits))
        if rewrites:
            left = {name: len(atoms) * self._units[name] for name, atoms in kept.items()}
            rewrite(net, rewrites, {**self._channels, **left})
        return net


@dataclass(frozen=True, eq=False)
class _Part:
    """The positions [atoms, n] of a width's atoms."""

    width: str
    atoms: int
    positions: Any

    @cached_property
    def straight(self) -> bool:
        """They are the first, in order."""
        return bool((self.positions.reshape(-1) == np.arange(self.positions.size)).all())


@dataclass(frozen=True, eq=False)
class _Line:
    """A dimension of a tensor: its size, and the widths that are in it."""

    size: int
    parts: tuple[_Part, ...]


Index = int | Tensor  # the first so many, or those at these positions


class _Staying:
    """What stays of a line when these atoms are kept."""

    def __init__(self, kept: Mapping[str, Any]) -> None:
        self._kept = kept
        self._leading = {
            width for width, atoms in kept.items() if (atoms == np.arange(len(atoms))).all()
        }
        self._known: dict[_Line, Index] = {}

    def of(self, line: _Line) -> Index:
        found = self._known.get(line)
        if found is None:
            found = self._known[line] = self._found(line)
        return found

    def _found(self, line: _Line) -> Index:
        part = line.parts[0]
        if part.width in self._leading and part.positions.size == line.size and part.straight:
            return len(self._kept[part.width]) * int(part.positions.shape[1])  # as most are
        found = self._positions(line)
        first = len(found) == 0 or int(found[-1]) == len(found) - 1
        return len(found) if first else torch.from_numpy(found)

    def _positions(self, line: _Line) -> Any:
        mask = np.ones(line.size, dtype=bool)
        for part in line.parts:
            if part.width in self._kept and len(self._kept[part.width]) < part.atoms:
                gone = np.ones(part.atoms, dtype=bool)
                gone[self._kept[part.width]] = False
                mask[part.positions[gone]] = False
        return np.flatnonzero(mask)

    def within(self, line: _Line, width: str) -> Any:
        """The places of a width's atoms, one after the other, among all that stays; None where
        they are all that stays, in their order."""
        part = next(part for part in line.parts if part.width == width)
        index, own = self.of(line), self._kept[width]
        first = part.straight and width in self._leading
        if first and isinstance(index, int) and index == len(own) * part.positions.shape[1]:
            return None
        places = part.positions[own].reshape(-1)
        return places if isinstance(index, int) else np.searchsorted(index.numpy(), places)


def _taken(tensor: Tensor, index: Sequence[tuple[int, Index]]) -> Tensor:
    """What stays of a tensor at some of its dimensions, in memory of its own."""
    first = [(dim, rows) for dim, rows in index if isinstance(rows, int)]
    if len(first) == len(index) > 0:
        *before, (dim, count) = first
        for d, n in before:
            tensor = tensor.narrow(d, 0, n)
        return tensor.narrow_copy(dim, 0, count)
    for dim, count in first:
        tensor = tensor.narrow(dim, 0, count)
    others = [(dim, rows) for dim, rows in index if not isinstance(rows, int)]
    for dim, rows in others:
        tensor = tensor.index_select(dim, rows.to(tensor.device))
    return tensor if others else tensor.clone()


def _with_columns(
    weight: Tensor,
    lines: Sequence[tuple[int, _Line]],
    columns: Mapping[str, Tensor],
    staying: _Staying,
) -> Tensor:
    """What stays of a weight, with other values at the inputs that are kept of some widths."""
    inputs = next(line for dim, line in lines if dim == 1)
    index = [(dim, staying.of(line)) for dim, line in lines]
    rows = [(dim, kept) for dim, kept in index if dim != 1]
    where = {width: staying.within(inputs, width) for width in columns}
    for width, places in where.items():
        if places is None:  # it reads nothing else
            return _taken(columns[width], rows)
    small = _taken(weight, index)
    for width, values in columns.items():
        at = torch.from_numpy(where[width]).to(small.device)
        small.index_copy_(1, at, _taken(values, rows))
    return small


@torch.no_grad()
def reordered(net: nn.Module, structure: Structure, ranking: Mapping[str, Tensor]) -> nn.Module:
    """A copy of the net that computes the same, the channels of its widths in another order.

    >>> import tas, torch
    >>> from torch import nn
    >>> net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3))
    >>> structure = tas.graph.analyse(net, torch.zeros(1, 1, 8, 8))
    >>> other = tas.graph.reordered(net, structure, {"0": torch.arange(7, -1, -1)})
    >>> torch.equal(other[0].bias, net[0].bias.flip(0))
    True

    Args:
        ranking: by a width's name, its atoms in their new order; without an entry, as they are.
    """
    net = copied(net, {})
    own = {**dict(net.named_parameters()), **dict(net.named_buffers())}
    orders: dict[Place, Tensor] = {}
    for width in structure.widths:
        if width.name in ranking:
            for (name, dim), positions in width.places.items():
                start = torch.arange(own[name].shape[dim])
                order = orders.setdefault((name, dim), start)
                order[positions.flatten()] = positions[ranking[width.name]].flatten()
    for (name, dim), order in orders.items():
        tensor = own[name]
        tensor.copy_(tensor.index_select(dim, order.to(tensor.device)))
    return net


def cut_to(
    net: nn.Module,
    structure: Structure,
    shape: Shape,
    ranking: Mapping[str, Tensor] | None = None,
) -> nn.Module:
    """A copy of the net with the widths and depths of a shape.

    >>> import tas, torch
    >>> from torch import nn
    >>> net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3))
    >>> structure = tas.graph.analyse(net, torch.zeros(1, 1, 8, 8))
    >>> shape = tas.Shape("mine", 4, (1, 8, 8), "tied", {"0": 6}, {})
    >>> small = tas.graph.cut_to(net, structure, shape)
    >>> small[0].out_channels
    6

    Args:
        ranking: by a width's name, its atoms, those to keep first; default: in order.

    Raises:
        ShapeError: the shape is not one of this net.
    """
    structure = replace(structure, rewrites=shape.rewrites)
    kept = kept_atoms(structure, shape, ranking)
    return cut(net, structure, kept, kept_blocks(structure, shape))


def kept_atoms(
    structure: Structure, shape: Shape, ranking: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """By a width's name, the atoms that a shape keeps; a width without an entry keeps all.

    >>> import tas, torch
    >>> from torch import nn
    >>> net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3))
    >>> structure = tas.graph.analyse(net, torch.zeros(1, 1, 8, 8))
    >>> shape = tas.Shape("mine", 4, (1, 8, 8), "tied", {"0": 2}, {})
    >>> tas.graph.kept_atoms(structure, shape, {"0": torch.tensor([5, 3, 0, 1, 2, 4, 6, 7])})
    {'0': tensor([3, 5])}

    Raises:
        ShapeError: the shape is not one of this net.
    """
    widths = {width.name: width for width in structure.widths}
    check_joints(structure, shape.widths)
    kept = {}
    for name, channels in shape.widths.items():
        if name not in widths:
            raise ShapeError(one_of(f"width of {shape.net}", name, widths))
        width = widths[name]
        if channels % width.unit or channels > width.channels:
            raise ShapeError(
                f"the shape has {channels} channels for '{name}', but {shape.net} has "
                f"{width.channels} there, and keeps multiples of {width.unit}"
            )
        order = (ranking or {}).get(name, torch.arange(width.atoms))
        kept[name] = order[: channels // width.unit].sort().values
    return kept


def kept_blocks(structure: Structure, shape: Shape) -> dict[str, int]:
    """By a run's name, how many of its blocks a shape keeps; a run without an entry keeps all.

    >>> import tas, torch
    >>> from tas.graph import kept_blocks
    >>> structure = tas.graph.analyse(tas.nets.build("resnet20"), torch.zeros(1, 3, 32, 32))
    >>> shape = tas.nets.full_shape("resnet20").replace(depths={structure.runs[0].name: 2})
    >>> kept_blocks(structure, shape) == {structure.runs[0].name: 2}
    True

    Raises:
        ShapeError: the shape is not one of this net.
    """
    runs = {run.name: run for run in structure.runs}
    for name, depth in shape.depths.items():
        if name not in runs:
            raise ShapeError(one_of(f"depth of {shape.net}", name, runs))
        if not runs[name].least <= depth <= len(runs[name].blocks):
            raise ShapeError(
                f"the shape keeps {depth} blocks of '{name}', but {shape.net} has "
                f"{len(runs[name].blocks)}"
            )
    return dict(shape.depths)
