"""Trained weights: what shapes that are tried and derived nets inherit, the channels that matter
most first."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import torch
from torch import Tensor, nn

from .. import data as data_room
from .. import nets, processes, training
from ..data import Data
from ..errors import InputError
from ..graph import Structure, analyse, reordered
from ..nets import ResNet
from ..shape import Shape
from ..space import Space
from ..spaces import ResNetSpace, TracedSpace
from .derive import derive
from .importance import channel_ranking
from .reconstruction import Reader, Reading, cut_by, readings, selection

__all__ = ["inherited", "ranked"]

RANKED_BY = 8  # batches, by which the channels of a trained net are put in order


def ranked(space: Space, batches: data_room.Batches, device: str) -> Space:
    """The space with the channels that matter first, which make up for those that are cut, by a few
    batches of the training."""
    if isinstance(space, TracedSpace):
        ranking, given = _learnt(space.model, space.structure, batches, device)
        return replace(space, ranking=ranking, given=given)
    if isinstance(space, ResNetSpace) and space.source is not None:
        net, structure, given = _sorted(space.source, space.unpruned.input, batches, device)
        return replace(space, source=net, structure=structure, given=given)
    return space


def inherited(
    shape: Shape, teacher: nn.Module, data: Data, batches: data_room.Batches, device: str
) -> nn.Module:
    """The net of a shape, with the weights of the unpruned one that matter most.

    Raises:
        InputError: the teacher is not the unpruned net.
    """
    shape = shape.replace(classes=data.classes, input=data.input, macs=None, params=None)
    if not nets.is_named(shape.net):
        full = nets.full_shape(shape.net, data.classes, data.input)
        own = teacher.shape if isinstance(teacher, ResNet) else None
        if own is None or (own.net, own.widths, own.depths) != (full.net, full.widths, full.depths):
            pruned = "a pruned " if own and own.net == full.net else ""
            raise InputError(
                f"the teacher is {pruned}{own.net if own else type(teacher).__name__}: a shape of "
                f"{shape.net} inherits from the whole {shape.net}"
            )
        return derive(shape, *_sorted(teacher, data.input, batches, device))
    structure = _structure(teacher, data.input)
    return cut_by(teacher, structure, shape, *_learnt(teacher, structure, batches, device))


def _sorted(
    net: nn.Module, input: tuple[int, int, int], batches: data_room.Batches, device: str
) -> tuple[nn.Module, Structure, dict[Reader, Reading]]:
    """A copy of one of our nets that computes the same, the channels that matter first, and what
    its layers are given."""
    structure = _structure(net, input)
    ranking, given = _learnt(net, structure, batches, device)
    own = {reader: each.sorted_by(ranking[reader[1]]) for reader, each in given.items()}
    return reordered(net, structure, ranking), structure, own


def _structure(net: nn.Module, input: tuple[int, int, int]) -> Structure:
    return analyse(net, torch.zeros(1, *input, device=next(net.parameters()).device))


@training.repeatable()
def _learnt(
    net: nn.Module, structure: Structure, batches: data_room.Batches, device: str
) -> tuple[dict[str, Tensor], dict[Reader, Reading]]:
    """The atoms of every width, those to keep first, and what the layers are given.

    In the order in which they explain what the next layers read, where that is known; else by what
    they add to the loss.
    """
    where = training.where(device, "fp32").device
    net.to(where)

    def few() -> Iterator[tuple[Tensor, Tensor]]:
        for images, labels in islice(batches, RANKED_BY):
            yield training.place(images, where), labels.to(where)

    given = readings(net, structure, (images for images, _ in few()))
    ranking = selection(net, structure, given)
    if len(ranking) < len(structure.widths):  # seldom, and it takes gradients
        ranking = channel_ranking(net, structure, few()) | ranking
    # Each process has seen other pictures; all keep what the first has found.
    return processes.agreed((ranking, given))
