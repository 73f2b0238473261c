"""Trained weights: what probes and derived nets inherit, the channels that matter most first."""

from dataclasses import replace
from itertools import islice

import torch
from torch import Tensor, nn

from .. import data as data_room
from .. import nets, processes, training
from ..data import Data
from ..derive import derive
from ..importance import channel_ranking
from ..shape import Shape
from ..space import Space
from ..spaces import ResNetSpace, TracedSpace
from ..tracing import Structure, analyse, cut_to, reordered

__all__ = ["inherited", "ranked"]

RANKED_BY = 8  # batches, by which the channels of a trained net are put in order


def ranked(space: Space, batches: data_room.Batches, device: str) -> Space:
    """The space with the channels that matter first, by a few batches of the training."""
    if isinstance(space, TracedSpace):
        ranking = _ranking(space.model, space.structure, batches, device)
        return replace(space, ranking=ranking)
    if isinstance(space, ResNetSpace) and space.source is not None:
        return space.starting_from(_sorted(space.source, space.unpruned.input, batches, device))
    return space


def inherited(
    shape: Shape, teacher: nn.Module, data: Data, batches: data_room.Batches, device: str
) -> nn.Module:
    """The net of a shape, with the weights of the unpruned one that matter most."""
    shape = shape.replace(classes=data.classes, input=data.input, macs=None, params=None)
    if not nets.is_named(shape.net):
        return derive(shape, _sorted(teacher, data.input, batches, device))
    structure = _structure(teacher, data.input)
    return cut_to(teacher, structure, shape, _ranking(teacher, structure, batches, device))


def _sorted(
    net: nn.Module, input: tuple[int, int, int], batches: data_room.Batches, device: str
) -> nn.Module:
    """A copy of one of our nets that computes the same, the channels that matter first."""
    structure = _structure(net, input)
    return reordered(net, structure, _ranking(net, structure, batches, device))


def _structure(net: nn.Module, input: tuple[int, int, int]) -> Structure:
    return analyse(net, torch.zeros(1, *input, device=next(net.parameters()).device))


def _ranking(
    net: nn.Module, structure: Structure, batches: data_room.Batches, device: str
) -> dict[str, Tensor]:
    where = training.accelerator(device, "fp32").device
    net.to(where)
    few = (
        (training.place(images, where), labels.to(where))
        for images, labels in islice(batches, RANKED_BY)
    )
    # Each process has seen other pictures; all keep the order of the first.
    return processes.agreed(channel_ranking(net, structure, few))
