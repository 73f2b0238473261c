"""Which channels of a trained net to keep first.

The score of an atomic channel is the squared first-order change of the loss if it were zero (Taylor
expansion: gradient times weight, summed over each of its slices; Molchanov et al., *Importance
Estimation for Neural Network Pruning*, 2019), or without data the squared L2 norm of its slices.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from ..forward import Batches, Forward, call_batch, evaluating, floats
from ..graph import Structure

__all__ = ["channel_ranking"]


def channel_ranking(
    net: nn.Module,
    structure: Structure,
    batches: Batches | None = None,
    forward: Forward = call_batch,
) -> dict[str, Tensor]:
    """By the name of every width of a traced net, its atomic channels, those to keep first.

    Args:
        structure: what ``tas.graph.analyse`` found in the net.
        batches: on the net's device, a few of them: by Taylor expansion of the loss on labels,
            where they hold class labels, else of the answers; None: by the norm of the weights.
        forward: how the net is called on a batch.
    """
    named = dict(net.named_parameters())
    scores = {width.name: torch.zeros(width.atoms) for width in structure.widths}
    if batches is None:
        _add(structure, scores, {n: p.detach().square() for n, p in named.items()}, square=False)
    else:
        with evaluating(net):  # the norms as they were trained, one picture like another
            for batch in batches:
                _add(structure, scores, _changes(net, named, batch, forward), square=True)
    return {name: score.argsort(descending=True, stable=True) for name, score in scores.items()}


def _changes(
    model: nn.Module, named: dict[str, nn.Parameter], batch: Any, forward: Forward
) -> dict[str, Tensor]:
    """What each weight adds to the loss, to first order."""
    wanted = {name: p for name, p in named.items() if p.requires_grad}
    with torch.enable_grad():
        loss = _loss(forward(model, batch), batch)
        found = torch.autograd.grad(loss, list(wanted.values()), allow_unused=True)
    return {
        name: gradient * p.detach()
        for (name, p), gradient in zip(wanted.items(), found, strict=True)
        if gradient is not None
    }


def _loss(answer: Any, batch: Any) -> Tensor:
    """Cross-entropy on class labels; else sums of the answers with random signs, each answer in its
    standard deviations, so that the squares of changes are on average those of all answers."""
    labels = batch[1] if isinstance(batch, (tuple, list)) and len(batch) == 2 else None
    scores = isinstance(answer, Tensor) and answer.dim() == 2
    if scores and isinstance(labels, Tensor) and labels.dtype == torch.long:
        return F.cross_entropy(answer, labels)
    draws, parts = Generator().manual_seed(0), []
    for x in floats(answer):
        signs = torch.randint(2, x.shape, generator=draws).mul(2).sub(1).to(x)
        parts.append((x * signs).sum() / (x.detach().std(correction=0) + 1e-12) / x.numel() ** 0.5)
    return torch.stack(parts).sum()


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
