"""From a ``Shape`` of a traced net to the net itself."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..errors import ShapeError, one_of
from ..shape import Shape
from .cut import cut
from .structure import Structure

__all__ = ["cut_to", "kept_atoms"]


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
