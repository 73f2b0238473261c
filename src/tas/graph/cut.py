"""Cuts a copy of a net: fewer channels, fewer blocks, the same class, no hooks or masks."""

import copy
from collections import defaultdict
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..errors import InputError, ShapeError, first_line, one_of
from ..shape import Shape
from .labels import Place
from .mirrors import follow, sizes
from .structure import Structure

__all__ = ["copied", "cut", "cut_to", "kept_atoms", "reordered"]


@torch.no_grad()
def cut(
    net: nn.Module, structure: Structure, kept: Mapping[str, Tensor], depths: Mapping[str, int]
) -> nn.Module:
    """A copy of the net with the kept atoms of every width, and the first blocks of every run.

    Args:
        kept: by a width's name, the indices of the atoms that stay; without an entry, all.
        depths: by a run's name, how many of its blocks stay; without an entry, all.
    """
    net = copied(net, {id(t): t for t in (*net.parameters(), *net.buffers())})
    before = sizes(net)
    for run in structure.runs:
        for path in run.blocks[depths.get(run.name, len(run.blocks)) :]:
            container, _, name = path.rpartition(".")
            del net.get_submodule(container)._modules[name]
    stay = _staying(structure, kept, net)
    replaced: dict[int, Tensor] = {}  # a parameter may be used in several modules
    for path, module in net.named_modules():
        for name, tensor in _tensors(module):
            if id(tensor) not in replaced:
                index = stay.get(f"{path}.{name}".lstrip("."), {})
                replaced[id(tensor)] = _sliced(tensor, index)
            small = replaced[id(tensor)]
            own = module._parameters if name in module._parameters else module._buffers
            own[name] = small
    follow(net, before)
    return net


@torch.no_grad()
def reordered(net: nn.Module, structure: Structure, ranking: Mapping[str, Tensor]) -> nn.Module:
    """A copy of the net that computes the same, the channels of its widths in another order.

    Args:
        ranking: by a width's name, its atoms in their new order; without an entry, as they are.
    """
    net = copied(net, {})
    tensors = {**dict(net.named_parameters()), **dict(net.named_buffers())}
    orders: dict[Place, Tensor] = {}
    for width in structure.widths:
        if width.name in ranking:
            for (name, dim), positions in width.places.items():
                start = torch.arange(tensors[name].shape[dim])
                order = orders.setdefault((name, dim), start)
                order[positions.flatten()] = positions[ranking[width.name]].flatten()
    for (name, dim), order in orders.items():
        tensor = tensors[name]
        tensor.copy_(tensor.index_select(dim, order.to(tensor.device)))
    return net


def cut_to(
    net: nn.Module,
    structure: Structure,
    shape: Shape,
    ranking: Mapping[str, Tensor] | None = None,
) -> nn.Module:
    """A copy of the net with the widths and depths of a shape.

    Args:
        ranking: by a width's name, its atoms, those to keep first; default: in order.

    Raises:
        ShapeError: the shape is not one of this net.
    """
    kept = kept_atoms(structure, shape, ranking)
    runs = {run.name: run for run in structure.runs}
    for name, depth in shape.depths.items():
        if name not in runs:
            raise ShapeError(one_of(f"depth of {shape.net}", name, runs))
        if not runs[name].least <= depth <= len(runs[name].blocks):
            raise ShapeError(
                f"the shape keeps {depth} blocks of '{name}', but {shape.net} has "
                f"{len(runs[name].blocks)}"
            )
    return cut(net, structure, kept, dict(shape.depths))


def kept_atoms(
    structure: Structure, shape: Shape, ranking: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """By a width's name, the atoms that a shape keeps; a width without an entry keeps all."""
    widths = {width.name: width for width in structure.widths}
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


def copied(net: nn.Module, instead: Mapping[int, Tensor]) -> nn.Module:
    """A deep copy of a net.

    Args:
        instead: by the identity of a tensor, what stands in its place in the copy.

    Raises:
        InputError: the net holds what cannot be copied.
    """
    # Attributes that a forward pass left (old weight norms, kept features) have a history.
    results: dict[int, Tensor] = {
        id(value): value.detach()
        for module in net.modules()
        for value in vars(module).values()
        if isinstance(value, Tensor) and not value.is_leaf
    }
    try:
        return copy.deepcopy(net, {**results, **instead})
    except Exception as error:  # whatever an attribute of the user's may raise
        raise InputError(
            f"the net cannot be copied, as it must be to be cut: {first_line(error)}; keep out of "
            "its attributes what copy.deepcopy does not take"
        ) from error


def _sliced(tensor: Tensor, index: Mapping[int, Tensor]) -> Tensor:
    small = tensor.detach()
    for dim, rows in index.items():
        small = small.index_select(dim, rows.to(small.device))
    if not index:
        small = small.clone()
    return nn.Parameter(small, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else small


def _tensors(module: nn.Module) -> list[tuple[str, Tensor]]:
    own = {**module._parameters, **module._buffers}
    return [(name, tensor) for name, tensor in own.items() if tensor is not None]


def _staying(
    structure: Structure, kept: Mapping[str, Tensor], net: nn.Module
) -> dict[str, dict[int, Tensor]]:
    """By a tensor's name and dimension, the positions that stay."""
    shapes = {name: t.shape for name, t in (*net.named_parameters(), *net.named_buffers())}
    masks: dict[Place, Tensor] = {}
    for width in structure.widths:
        if width.name in kept:
            gone = torch.ones(width.atoms, dtype=torch.bool)
            gone[kept[width.name]] = False
            for (name, dim), positions in width.places.items():
                if name in shapes:  # it went with its block
                    mask = masks.setdefault((name, dim), torch.ones(shapes[name][dim]).bool())
                    mask[positions[gone].flatten()] = False
    found: dict[str, dict[int, Tensor]] = defaultdict(dict)
    for (name, dim), mask in masks.items():
        if not mask.all():
            found[name][dim] = mask.nonzero()[:, 0]
    return found
