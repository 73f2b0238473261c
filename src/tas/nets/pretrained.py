"""Nets with the pretrained weights of their library, and how these were shown pictures."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from ..errors import InputError, first_line
from ..weights import Left, take
from .named import build_named, default_input, library, timm_net, torchvision_net

__all__ = ["Shown", "own_classes", "pretrained", "shown_as"]


class Shown(NamedTuple):
    """What happened to a picture before pretrained weights saw it.

    It was scaled to cover ``resize``, and ``size`` was cut out of its centre (height, width each).
    Mean and standard deviation are those of each channel, of pixels from 0 to 1.
    """

    size: tuple[int, int]
    resize: tuple[int, int]
    interpolation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]


def pretrained(
    name: str, classes: int, input: tuple[int, int, int]
) -> tuple[nn.Module, Left | None]:
    """A net with the pretrained weights of its library, from its cache or the network.

    The classifier is fresh where it has another number of classes.

    Args:
        name: ``timm:NAME`` or ``torchvision:NAME``.
        input: channels, height and width of the pictures.

    Returns:
        The net, and what was not taken; None where all was.

    Raises:
        InputError: there are no such weights, they cannot be had, or do not fit the pictures.
    """
    source = _source(name)
    net = build_named(name, classes, input)
    with _had(name, source):
        if source == "timm":
            net = timm_net(name, classes, input, pretrained=True)
            theirs: Any = net.pretrained_cfg
            left = None
            if theirs["num_classes"] != classes:
                left = Left(str(theirs["classifier"]), int(theirs["num_classes"]))
            return net, left
        whole = torchvision_net(name, default_input(name), weights="DEFAULT")
    try:
        left = take(net, whole.state_dict(), Path(name))
    except InputError as error:
        raise InputError(
            f"the pretrained weights of '{name}' do not fit pictures of "
            f"{' x '.join(map(str, input))}: {error}; give --image-size {default_input(name)[1]}"
        ) from None
    return net, left


def shown_as(name: str) -> Shown | None:
    """How a net's pretrained weights were shown pictures; None: they do not tell."""
    which = name.partition(":")[2]
    if _source(name) == "timm":
        theirs = library("timm", name).get_pretrained_cfg(which)
        if not theirs:
            return None
        height, width = theirs.input_size[1:]
        resize = int(height / theirs.crop_pct), int(width / theirs.crop_pct)
        colours = tuple(theirs.mean), tuple(theirs.std)
        return Shown((height, width), resize, str(theirs.interpolation), *colours)
    try:
        own = library("torchvision.models", name).get_model_weights(which).DEFAULT.transforms()
        (side,), (scaled,) = own.crop_size, own.resize_size
        sides = (int(side), int(side)), (int(scaled), int(scaled))
        return Shown(*sides, own.interpolation.value, tuple(own.mean), tuple(own.std))
    except (AttributeError, ValueError):  # no such net or weights: building it tells
        return None


def own_classes(name: str) -> tuple[str, ...]:
    """The classes that a net's pretrained weights know; numbers where they have no names.

    Raises:
        InputError: it has no pretrained weights.
    """
    which = name.partition(":")[2]
    if _source(name) == "timm":
        theirs = library("timm", name).get_pretrained_cfg(which)
        count = int(theirs.num_classes) if theirs else 0
        names = _torchvision("resnet18", name) if count == 1000 else list(map(str, range(count)))
    else:
        names = _torchvision(which, name)
    if not names:
        raise InputError(f"--pretrained: '{name}' has no pretrained weights: choose another net")
    twice = {each for each in names if names.count(each) > 1}  # ImageNet has two cranes
    return tuple(f"{n} ({i})" if n in twice else n for i, n in enumerate(names))


def _torchvision(which: str, name: str) -> list[str]:
    """The classes of torchvision's weights of a net."""
    try:
        weights = library("torchvision.models", name).get_model_weights(which).DEFAULT
    except (AttributeError, ValueError):  # no such net or weights: building it tells
        return []
    return [str(each) for each in weights.meta["categories"]]


def _source(name: str) -> str:
    """The library of a net, where it has pretrained weights."""
    source = name.partition(":")[0]
    if source in ("timm", "torchvision"):
        return source
    raise InputError(
        f"--pretrained: '{name}' has no pretrained weights: give --net timm:NAME or "
        "torchvision:NAME, or a file of weights by --weights"
    )


@contextmanager
def _had(name: str, source: str) -> Iterator[None]:
    """One line where weights cannot be had, instead of what libraries say of every attempt."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    except InputError as error:
        cause = first_line(error.__cause__ or error)
        raise InputError(
            f"--pretrained: the weights of '{name}' cannot be had: {cause.rstrip('.')}; where "
            f"there is no network, copy them into the cache, '{_cache(source)}', from a machine "
            "that has them there, or give a file by --weights"
        ) from error
    finally:
        logging.disable(before)


def _cache(source: str) -> str:
    """Where a library keeps what it has fetched."""
    if source == "timm":
        try:
            from huggingface_hub.constants import HF_HUB_CACHE
        except ImportError:
            pass
        else:
            return str(HF_HUB_CACHE)
    return str(Path(torch.hub.get_dir()) / "checkpoints")
