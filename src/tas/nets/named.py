"""Nets of others, by name: ``timm:NAME``, ``torchvision:NAME``, ``package.module:function``."""

import inspect
import os
import sys
from importlib import import_module
from typing import Any

from torch import nn

from ..errors import InputError, first_line, one_of
from ..typed import checked

__all__ = ["SIDE", "build_named", "default_input", "is_named", "library", "made", "module", "trust"]

SIDE = 224  # pixels, where neither the user nor the net says

_LIBRARIES = ("timm", "torchvision")
_trusted: set[str] = set()  # functions that the user has named in this process


def trust(name: str) -> None:
    """Take a function as named by the user, as against by a file: it may be imported and called."""
    _trusted.add(name)


@checked
def is_named(name: str) -> bool:
    """Whether a name is one of another library's net or of a user's function.

    >>> import tas
    >>> tas.nets.is_named("timm:resnet50"), tas.nets.is_named("resnet50")
    (True, False)
    """
    return ":" in name and not os.path.exists(name)


def default_input(name: str) -> tuple[int, int, int]:
    """Channels, height and width of the images that a net was made for, where it tells."""
    source, _, which = name.partition(":")
    if source == "timm":
        timm = library("timm", name)
        try:
            c, h, w = timm.get_pretrained_cfg(which).input_size
            return int(c), int(h), int(w)
        except (AttributeError, RuntimeError):  # it has none, or is unknown: building it tells
            pass
    return 3, SIDE, SIDE


def build_named(name: str, classes: int, input: tuple[int, int, int]) -> nn.Module:
    """Build a net with fresh weights.

    Args:
        name: ``timm:NAME``, ``torchvision:NAME``, or ``package.module:function``; the function is
            called with ``classes`` or ``num_classes`` if it takes one of them.

    Raises:
        InputError: there is no such net, it cannot be built so, or it is a function that the user
            has not named (``trust``).
    """
    source, _, which = name.partition(":")
    if source not in _LIBRARIES and name not in _trusted:
        raise InputError(
            f"the net '{name}' is a function that a file names, and tas would call it: if it is "
            f"yours, allow that with --net {name} (in Python: trust='{name}')"
        )
    if source == "timm":
        return timm_net(name, classes, input)
    if source == "torchvision":
        return torchvision_net(name, input, num_classes=classes)
    return _function(name, source, which, classes)


def timm_net(
    name: str, classes: int, input: tuple[int, int, int], pretrained: bool = False
) -> nn.Module:
    """A net of timm's, which adapts pretrained weights to other classes, channels and sides."""
    which = name.partition(":")[2]
    timm = library("timm", name)
    if not timm.is_model(which):
        raise InputError(f"'{name}': {one_of('net', which, timm.list_models())}")
    options: dict[str, Any] = {"num_classes": classes, "in_chans": input[0]}
    if input[1:] != default_input(name)[1:]:
        try:  # what has positions is built for its images; a CNN takes any
            sized = module(name, timm.create_model, which, **options, img_size=input[1:])
        except InputError:
            pass
        else:
            if not pretrained:
                return sized
            options["img_size"] = input[1:]
    return module(name, timm.create_model, which, **options, pretrained=pretrained)


def torchvision_net(name: str, input: tuple[int, int, int], **options: Any) -> nn.Module:
    """A net of torchvision's, with ``num_classes`` or with ``weights`` of theirs."""
    which = name.partition(":")[2]
    models = library("torchvision.models", name)
    known = models.list_models(module=models)
    if which not in known:
        raise InputError(f"'{name}': {one_of('net', which, known)}")
    options = {"weights": None, **options}
    if which in ("googlenet", "inception_v3"):  # the further heads serve a training of their own
        options |= {"aux_logits": False, "init_weights": False}
    if input[1] != SIDE and which.startswith("vit_"):
        options["image_size"] = input[1]
    if input[1] != SIDE and which.startswith("maxvit"):
        options["input_size"] = input[1:]
    return module(name, models.get_model, which, **options)


def _function(name: str, source: str, which: str, classes: int) -> nn.Module:
    if os.getcwd() not in sys.path:  # a module beside which the command is run
        sys.path.insert(0, os.getcwd())
    try:
        make = getattr(import_module(source), which)
    except (Exception, SystemExit) as error:  # whatever a user's module may raise
        raise InputError(
            f"cannot import the net '{name}': {first_line(error)}; give timm:NAME, "
            "torchvision:NAME, or package.module:function of a function that returns a "
            "torch.nn.Module"
        ) from None
    return made(name, make, classes)


def made(name: str, make: Any, classes: int | None) -> nn.Module:
    """The net that a function returns, which is given ``classes`` or ``num_classes`` if it takes
    one of them."""
    try:
        takes = inspect.signature(make).parameters
    except (TypeError, ValueError):
        takes = {}  # type: ignore[assignment]
    keys = ("classes", "num_classes") if classes is not None else ()
    options = {key: classes for key in keys if key in takes}
    return module(name, make, **options)


def module(name: str, make: Any, *given: Any, **options: Any) -> nn.Module:
    """The net that a function makes, or an ``InputError`` where it does not make one."""
    try:
        net = make(*given, **options)
    except (Exception, SystemExit) as error:  # whatever a user's or a library's code may raise
        raise InputError(f"the net '{name}' cannot be built: {first_line(error)}") from error
    if not isinstance(net, nn.Module):
        raise InputError(f"'{name}' returns a {type(net).__name__}, not a torch.nn.Module")
    return net


def library(module: str, name: str) -> Any:
    """A module of a library that is needed for a net, or an ``InputError`` where it is missing."""
    try:
        return import_module(module)
    except Exception as error:
        package = module.partition(".")[0]
        if not isinstance(error, ImportError):  # it is there and broken
            raise InputError(
                f"'{name}' needs {package}, which fails: {first_line(error)}"
            ) from error
        raise InputError(f"'{name}' needs {package}: pip install {package}") from None
