"""Pictures without labels: a trained net answers in their place, and its classes are theirs."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from .. import nets
from ..data import Data
from ..errors import InputError, flag
from ..forward import answer, evaluating, example_for
from ..nets.pretrained import own_classes
from ..shape import Shape
from ..weights import load_backbone

__all__ = ["NOTE", "check_unlabelled", "known_by", "with_classes"]

NOTE = (
    "The pictures have no labels. Nets are compared by the share of the test pictures that they "
    "answer as the unpruned net does, and by the divergence of their answers from its own, after "
    "the last epoch; nothing was chosen by it."
)


def check_unlabelled(
    options: Any, teachers: tuple[str, ...], model: nn.Module | None = None
) -> None:
    """Raise ``InputError`` where ``--unlabelled`` stands beside options that need labels.

    Args:
        teachers: the options that give the verb a trained net.
    """
    if not options.unlabelled:
        return
    if model is None and not any(getattr(options, name) for name in teachers):
        given = " or ".join(f"--{name}" for name in teachers)
        raise InputError(
            f"--unlabelled: all there is to learn from are the answers of a trained net: give "
            f"one by {given}"
        )
    if getattr(options, "inherit", None) is False and hasattr(options, "trials"):
        raise InputError("--inherit false is a search by labels: leave out it or --unlabelled")
    if options.preset.startswith("paper") and hasattr(options, "trials"):
        raise InputError(
            f"--preset {options.preset} is a search by labels: choose another, or leave out "
            "--unlabelled"
        )
    for name in ("kd_alpha", "label_smoothing"):
        if getattr(options, name, None) is not None:
            raise InputError(f"{flag(name)} weighs labels, and --unlabelled has none: leave it out")


def with_classes(
    options: Any, data: Data, net: str | Shape, model: nn.Module | None = None
) -> Data:
    """The data of the options; where they have no labels, with the classes of the trained net.

    Args:
        net: whose weights the options give: a name of the caller's, or a shape, whose name may be
            a file's.
        model: the net itself, if it is there.
    """
    if data.labelled or data.class_names:  # a model folder has named them
        return data
    if model is not None:
        return known_by(model, data)
    if getattr(options, "pretrained", False):
        return replace(data, class_names=own_classes(net if isinstance(net, str) else net.net))
    built = nets.build(net, 1, data.input)
    left = load_backbone(built, getattr(options, "teacher", None) or options.weights)
    return known_by(built, data) if left is None else _numbered(data, left.classes)


def known_by(net: nn.Module | None, data: Data) -> Data:
    """Pictures without labels, with the classes that a net tells; others as they are.

    Raises:
        InputError: there is no net, or it gives no scores of classes.
    """
    if data.labelled:
        return data
    if net is None:
        raise InputError(
            f"the pictures of '{data.name}' have no labels: give a teacher, whose answers stand "
            "for them"
        )
    if data.class_names:
        return data
    named = getattr(net, "classes", None)
    if isinstance(named, list | tuple):
        return replace(data, class_names=tuple(map(str, named)))
    with evaluating(net), torch.no_grad():
        scores = answer(net, example_for(net, data.input))
    if not isinstance(scores, Tensor) or scores.dim() != 2:
        got = list(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise InputError(
            f"the net returns {got} for one picture: pictures of '{data.name}' take one that "
            "returns scores of classes, [1, classes]; for others give batches="
        )
    return _numbered(data, scores.shape[1])


def _numbered(data: Data, classes: int) -> Data:
    return replace(data, class_names=tuple(str(number) for number in range(classes)))
