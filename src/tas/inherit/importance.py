"""Which channels of a trained net to keep first.

The score of an atomic channel is the squared first-order change of the loss if it were zero (Taylor
expansion: gradient times weight, summed over each of its slices; Molchanov et al., *Importance
Estimation for Neural Network Pruning*, 2019), or without data the squared L2 norm of its slices.
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..forward import evaluating
from ..graph import Structure

__all__ = ["channel_ranking"]


def channel_ranking(
    net: nn.Module,
    structure: Structure,
    batches: Iterable[tuple[Tensor, Tensor]] | None = None,
) -> dict[str, Tensor]:
    """By the name of every width of a traced net, its atomic channels, those to keep first.

    Args:
        structure: what ``tas.graph.analyse`` found in the net.
        batches: images and labels on the net's device, a few batches: by Taylor expansion; None:
            by the norm of the weights.
    """
    named = dict(net.named_parameters())
    scores = {width.name: torch.zeros(width.atoms) for width in structure.widths}
    if batches is None:
        _add(structure, scores, {n: p.detach().square() for n, p in named.items()}, square=False)
    else:
        with evaluating(net):  # the norms as they were trained, one picture like another
            for images, labels in batches:
                _add(structure, scores, _changes(net, named, images, labels), square=True)
    return {name: score.argsort(descending=True, stable=True) for name, score in scores.items()}


def _changes(
    model: nn.Module, named: dict[str, nn.Parameter], images: Tensor, labels: Tensor
) -> dict[str, Tensor]:
    """What each weight adds to the loss, to first order."""
    wanted = {name: p for name, p in named.items() if p.requires_grad}
    with torch.enable_grad():
        loss = F.cross_entropy(model(images), labels)
        found = torch.autograd.grad(loss, list(wanted.values()), allow_unused=True)
    return {
        name: gradient * p.detach()
        for (name, p), gradient in zip(wanted.items(), found, strict=True)
        if gradient is not None
    }


def _add(
    structure: Structure, scores: dict[str, Tensor], values: dict[str, Tensor], square: bool
) -> None:
    for width in structure.widths:
        for (name, dim), positions in width.places.items():
            if name in values:
                value = values[name]
                line = value.movedim(dim, 0).flatten(1).sum(1) if value.dim() > 1 else value
                slices = line.float().cpu()[positions].sum(1)
                scores[width.name] += slices.square() if square else slices
