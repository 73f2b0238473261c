"""A search on batches of the user's own: what its arguments mean, checked before it begins."""

from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from ..costs import budget_text
from ..errors import InputError
from ..forward import (
    Batches,
    Example,
    Forward,
    answer,
    call,
    call_batch,
    device_of,
    evaluating,
    inputs_of,
    mapped,
)
from ..inherit import Source
from ..methods import Found, MethodOptions, TrialOptions
from ..methods.batches import BatchProblem, kept
from ..nets import ResNet
from ..recipes import quick
from ..runs import RunDir, say
from ..seeds import check_seed
from ..space import Space
from ..spaces import TracedSpace, resnet_space, rounding, trace
from ..training import Objective
from ..training.objective import distance_told
from ..usable import check_weights
from .budgets import find_each, outs_of, within
from .opening import given_out
from .spaces import per_widths

__all__ = ["find_on_batches"]

NOTES = {  # where targets say what answers are
    "mse": "note: the targets are values, no class labels, and so answers are compared by their "
    "squared error; give distance='kl' if they are scores of classes",
    "kl": "note: the targets are classes of pixels or the like, and so answers are compared by the "
    "divergence of their scores; give distance='mse' for the squared error",
}


def find_on_batches(
    net: Any,
    batches: Batches,
    objective: dict[str, Any],
    how: dict[str, Any],
    limited: dict[str, Any],
    *,
    options: MethodOptions | None,
    widths_per: str | None,
    seed: int,
    device: str,
    out: RunDir | str | Path | None,
    progress: bool,
) -> list[Found]:
    """``tas.search`` on batches; the arguments are the same.

    Args:
        objective: ``forward``, ``distance``, ``score`` and ``train``, None where not given.
        how: those of ``tas.spaces.trace``.
        limited: those of ``within``.
    """
    check_seed(seed)
    options = quick().inheriting().search if options is None else options
    if not isinstance(options, TrialOptions):
        raise InputError(
            f"options= is a {type(options).__name__}: batches are searched by trials, with "
            "TrialOptions; other searches take a data set"
        )
    if isinstance(net, str):
        raise InputError(f"the net is '{net}': give the trained net itself, a torch.nn.Module")
    given = kept(batches)
    space = net if isinstance(net, Space) else None
    forward: Forward | None = objective["forward"]
    if forward is None and isinstance(space, TracedSpace) and space.forward is not call:
        objective = {**objective, "forward": space.forward}
    if space is None:
        how["round_to"] = rounding(how["round_to"], how["ratios"])
        how["ratios"] = how["ratios"] or options.method().ratios(inheriting=True)
        space = per_widths(_space(net, given[0], forward, **how), widths_per or "layer")
    source = Source.of(space, net if isinstance(net, ResNet) else None)
    if source.net is None:
        raise InputError("the space has no trained net: give the net itself, not its space")
    check_weights(source.net, "net", options.precision)
    text = budget_text(limited["given"])
    asked = {"budget": text, "limits": limited["also"], "options": options}
    with given_out(out, "tas.search", space, "batches", seed, asked) as whole:
        example = _timed_on(space, given[0], objective["forward"])
        budgets, bench = within(space, out=whole, example=example, **limited)
        problem = BatchProblem(
            space=space,
            source=source,
            budget=budgets[0],
            objective=_objective(source.net, given[0], objective),
            batches=given,
            precision=options.precision,
            seed=seed,
            device=str(device_of(source.net)) if device == "auto" else device,
            progress=progress,
        )
        problem.check_score()
        outs = outs_of(whole, limited["given"])
        return find_each(problem.ordered(), options.method(), budgets, bench, outs)


def _timed_on(space: Space, batch: Any, forward: Forward | None) -> Example | None:
    """What a net is given while it is timed; None: a picture of its size."""
    if space.unpruned.input is not None:
        return None
    example = Example(batch, forward) if forward else Example(inputs_of(batch))
    return example.first()


def _objective(net: nn.Module, batch: Any, given: dict[str, Any]) -> Objective:
    """What nets are compared by; where nobody says how, and the targets say that a net answers with
    values, by these."""
    told = {name: value for name, value in given.items() if value is not None}
    pair = isinstance(batch, (tuple, list)) and len(batch) == 2
    if "distance" not in told and pair:
        placed = mapped(batch, lambda x: x.to(device_of(net)))
        with evaluating(net), torch.no_grad():
            found = answer(net, placed, told.get("forward", call_batch))
        if by := distance_told(placed, found):
            told["distance"] = by
            say(NOTES[by])
    return Objective(**told)


def _space(net: Any, batch: Any, forward: Forward | None, **how: Any) -> Space:
    """What may shrink in a net that is called so on such a batch."""
    if not isinstance(net, nn.Module):
        raise InputError(f"the net is {net!r}: give a torch.nn.Module, or a Space")
    inputs = batch if forward else inputs_of(batch)
    example = mapped(inputs, lambda x: x.to(device_of(net)))  # of which the first is run
    ours = isinstance(net, ResNet) and isinstance(inputs, Tensor) and inputs.dim() == 4
    if ours and not (how["ignore"] or how["only"]):
        shape = cast(ResNet, net).shape.replace(input=tuple(inputs.shape[1:]))
        return resnet_space(
            shape, what=how["what"], residual="tied", ratios=how["ratios"], round_to=how["round_to"]
        )
    return trace(net, example, forward=forward, **how)
