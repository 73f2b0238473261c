"""Runs a net once while its channels are followed."""

from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError, TasError, first_line
from ..forward import Example, described, leaves, naming, training
from .labels import Tracer
from .scales import LocksOwnScales
from .weighted import Calls

__all__ = ["OUTPUT", "follow_training", "followed", "lock_output", "unseen"]

OUTPUT = "they are the net's output"


def followed(net: nn.Module, example: Example, tracer: Tracer) -> Any:
    """What the net gives; where it fails, it is told whether it does without being followed."""
    try:
        with (
            torch.no_grad(),
            naming(net, tracer.path),
            LocksOwnScales(tracer),
            Calls(net, tracer),
            tracer,
        ):
            return example(net)
    except TasError:  # of a rule: it says itself what is wrong
        raise
    except Exception as error:  # whatever the user's code may raise
        with torch.no_grad():
            example.answer(net)  # raises what is the net's own fault
        reason = first_line(error)
        raise InputError(
            f"the net runs on {described(example.batch)}, but its channels cannot be "
            f"followed: {reason}"
        ) from error


def lock_output(out: Any, tracer: Tracer) -> list[Tensor]:
    """The floats that a net returns, whose channels stay."""
    found = [x for _, x in leaves(out) if x.is_floating_point()]
    for each in found:
        for plane in tracer.planes(each):
            tracer.notes.locks.append((plane.labels[plane.labels > 0], OUTPUT))
    return found


def unseen(net: nn.Module, tracer: Tracer) -> list[str]:
    """Names of parameters that no operator has read so far."""
    seen = {name for name, _ in tracer.places}
    return [name for name, p in net.named_parameters() if name not in seen and p.numel() > 1]


def follow_training(net: nn.Module, example: Example, tracer: Tracer) -> None:
    """Follow a pass in training mode; what it costs does not count."""
    costs = list(tracer.notes.costs)
    try:
        with training(net):
            lock_output(followed(net, example.pair(), tracer), tracer)
    except InputError:  # it may want targets: what it alone runs stays as it is
        pass
    tracer.notes.costs[:] = costs
