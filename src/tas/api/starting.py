"""What a training starts from: pretrained weights, or those of a net of other classes."""

from typing import Any

import torch
from torch import nn

from .. import nets
from ..data import Data, Transform, Vary
from ..data.transform import INTERPOLATIONS, SMALL
from ..errors import InputError
from ..nets.pretrained import pretrained, shown_as
from ..runs import say
from ..shape import Shape
from ..weights import load_backbone

__all__ = ["own_transform", "start_of"]

CHANNELS = 3  # of pictures in colour


def start_of(net: str | Shape, options: Any, data: Data) -> tuple[nn.Module, bool] | None:
    """The net that training begins with, as ``--pretrained`` or ``--weights`` ask for it; None
    where they do not.

    A fresh classifier is the same each time: a run may be begun anew, and go on.

    Returns:
        The net, and whether it is to be trained before it knows these classes.

    Raises:
        InputError: the weights cannot be had, or are of another net.
    """
    if not (options.pretrained or options.weights):
        return None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if options.pretrained:
            name = net if isinstance(net, str) else net.net
            begun, left = pretrained(name, data.classes, data.input)
        else:
            begun = nets.build(net, data.classes, data.input)
            left = load_backbone(begun, options.weights)
    if left is not None:
        say(
            "note: all weights but the classifier's are taken: "
            f"'{left.module}' has {left.classes} classes there, {data.classes} here"
        )
    trains = options.pretrained or left is not None
    return begun, trains and data.labelled


def own_transform(options: Any) -> Transform | None:
    """What happened to pictures before the pretrained weights that are asked for saw them."""
    if not getattr(options, "pretrained", False):
        return None
    if not options.net:
        raise InputError("--pretrained is for a --net, such as torchvision:mobilenet_v2")
    own = shown_as(options.net)
    if own is None or len(own.mean) != CHANNELS:
        return None
    how = own.interpolation if own.interpolation in INTERPOLATIONS else "bilinear"
    vary: Vary = "shift" if min(own.size) <= SMALL else "zoom"
    return Transform("rgb", own.size, own.resize, how, own.mean, own.std, vary)
