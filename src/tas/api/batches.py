"""A search on batches of the user's own: what its arguments mean, checked before it begins."""

from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn

from ..costs import Budget
from ..errors import InputError
from ..forward import Forward, call, first_of, inputs_of, mapped
from ..inherit import Source
from ..methods import Found, MethodOptions, TrialOptions
from ..methods.batches import BatchProblem, kept
from ..nets import ResNet
from ..seeds import check_seed
from ..space import Space
from ..spaces import TracedSpace, resnet_space, trace
from ..training import Objective
from .spaces import per_widths

__all__ = ["find_on_batches"]


def find_on_batches(
    net: Any,
    batches: Iterable[Any],
    budget: str | float,
    options: MethodOptions,
    objective: dict[str, Any],
    *,
    unit: str,
    widths_per: str | None,
    seed: int,
    device: str,
    how: dict[str, Any],
    **more: Any,
) -> Found:
    """``tas.search`` on batches; the arguments are the same.

    Args:
        objective: ``forward``, ``distance``, ``score`` and ``train``, None where not given.
        how: those of ``tas.spaces.trace``.
    """
    check_seed(seed)
    if not isinstance(options, TrialOptions):
        raise InputError(
            f"options= is a {type(options).__name__}: batches are searched by trials, with "
            "TrialOptions; other searches take a data set"
        )
    for name, value in objective.items():
        if value is not None and not callable(value):
            raise InputError(f"{name}={value!r}: give a function")
    if isinstance(net, str):
        raise InputError(f"the net is '{net}': give the trained net itself, a torch.nn.Module")
    given = kept(batches)
    space = net if isinstance(net, Space) else None
    forward: Forward | None = objective["forward"]
    if forward is None and isinstance(space, TracedSpace) and space.forward is not call:
        objective = {**objective, "forward": space.forward}
    if space is None:
        space = per_widths(_space(net, given[0], forward, **how), widths_per or "layer")
    source = Source.of(space, net if isinstance(net, ResNet) else None)
    if source.net is None:
        raise InputError("the space has no trained net: give the net itself, not its space")
    problem = BatchProblem(
        space=space,
        source=source,
        budget=Budget.of(space, budget, unit),
        objective=Objective(**{k: v for k, v in objective.items() if v is not None}),
        batches=given,
        precision=options.precision,
        seed=seed,
        device=str(_device(source.net)) if device == "auto" else device,
        **more,
    )
    return options.method().find(problem.ordered())


def _space(net: Any, batch: Any, forward: Forward | None, **how: Any) -> Space:
    """What may shrink in a net that is called so on such a batch."""
    if not isinstance(net, nn.Module):
        raise InputError(f"the net is {net!r}: give a torch.nn.Module, or a Space")
    inputs = batch if forward else inputs_of(batch)
    example = mapped(first_of(inputs), lambda x: x.to(_device(net)))
    ours = isinstance(net, ResNet) and isinstance(inputs, Tensor) and inputs.dim() == 4
    if ours and not (how["ignore"] or how["only"] or how["round_to"] != 1):
        shape = cast(ResNet, net).shape.replace(input=tuple(inputs.shape[1:]))
        return resnet_space(shape, what=how["what"], residual="tied", ratios=how["ratios"])
    return trace(net, example, forward=forward, **how)


def _device(net: nn.Module) -> torch.device:
    return next((p.device for p in net.parameters()), torch.device("cpu"))
