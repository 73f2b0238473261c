"""``save``: a net as a folder that stands for itself."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .. import sums
from ..costs import count
from ..data import Transform
from ..errors import InputError
from ..forward import answer, evaluating, example_for
from ..nets import ResNet
from ..runs import ModelConfig
from ..shape import Shape
from ..typed import checked
from ..usable import check_bare, check_weights
from ..version import __version__
from ..weights import save_weights
from ..whole import sweep, write_whole
from .cards import card

__all__ = ["save"]

SEALED = ("config.json", "model.safetensors", "shape.json")  # a card may be edited


@checked
def save(
    net: nn.Module,
    folder: str | Path,
    *,
    transform: Transform | None = None,
    classes: Sequence[str] | None = None,
    shape: Shape | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Path:
    """Write a net as a model folder: ``config.json``, ``model.safetensors``, ``README.md``.

    >>> import tas
    >>> data = tas.data.load("digits")
    >>> net = tas.nets.build("resnet20", classes=data.classes, input=data.input)  # train it first
    >>> told = {"transform": data.transform, "classes": data.class_names}
    >>> folder = tas.save(net, "mine", **told, provenance={"data": "digits", "accuracy": 99.4})
    >>> sorted(path.name for path in folder.iterdir())
    ['README.md', 'SHA256SUMS', 'config.json', 'model.safetensors', 'shape.json']
    >>> again = tas.load("mine")

    A model that is there already is replaced, a run never. ``shape.json`` lies beside, for the
    commands that take a shape.

    Args:
        net: trained; one of a class of your own is loaded with ``tas.load(folder, make=...)``.
        transform: of its pictures; default: ``net.transform``, of a net that was loaded. With
            ``shape`` and neither ``transform`` nor ``classes`` it is a net that takes and gives
            anything: its owner prepares what it is given.
        classes: names, in the order of the scores; default: ``net.classes`` likewise.
        shape: ``found.shape`` of a net that is derived from another library's or your own;
            default: of one of ours its own, else the net as it is, unpruned.
        provenance: what a reader should know, ready for JSON; ``data``, ``accuracy`` (percent),
            ``test_pictures``, ``seed``, ``epochs``, ``command`` and ``notes`` come into the card.

    Returns:
        The folder.

    Raises:
        InputError: something is missing or does not fit the net, or the folder holds other files.
    """
    path = Path(folder)
    check_bare(net)
    check_weights(net)
    if shape is not None and not _describes(net, transform, classes):
        params = sum(parameter.numel() for parameter in net.parameters())
        facts = _facts(provenance)
        return _write(net, path, ModelConfig(None, None, shape.replace(params=params), facts))
    transform, names = _given(net, transform, classes)
    _check_scores(net, transform, names)
    if shape is None and isinstance(net, ResNet):
        shape = net.shape
    if shape is None:
        kind = f"{type(net).__module__}.{type(net).__qualname__}"
        shape = Shape(kind, len(names), transform.input, "tied", {}, {})
    counted = count(net, transform.input)
    shape = shape.replace(
        classes=len(names), input=transform.input, macs=counted.macs, params=counted.params
    )
    return _write(net, path, ModelConfig(transform.to_dict(), names, shape, _facts(provenance)))


def _describes(net: nn.Module, transform: Any, classes: Any) -> bool:
    """Whether somebody says what the net takes and gives."""
    known = isinstance(getattr(net, "transform", None), Transform)
    return known or transform is not None or classes is not None


def _facts(provenance: Mapping[str, Any] | None) -> dict[str, Any]:
    versions = {"torch-tas": __version__, "torch": torch.__version__}
    facts = {"versions": versions, **(provenance or {})}
    try:
        found: dict[str, Any] = json.loads(json.dumps(facts))
    except (TypeError, ValueError) as error:
        raise InputError(f"the provenance is not ready for JSON: {error}") from None
    return found


def _write(net: nn.Module, path: Path, config: ModelConfig) -> Path:
    assert config.shape is not None
    _claim(path)
    sweep(path)
    config.shape.save(path / "shape.json")
    save_weights(net, path / "model.safetensors")
    write_whole(path / "README.md", card(config))
    write_whole(path / "config.json", config.text())  # it says that the rest is there
    # Last: until then the list of an earlier model tells a mixture of both.
    sums.seal(path, SEALED)
    return path


def _given(
    net: nn.Module, transform: Transform | None, classes: Sequence[str] | None
) -> tuple[Transform, tuple[str, ...]]:
    transform = getattr(net, "transform", None) if transform is None else transform
    if not isinstance(transform, Transform):
        raise InputError("give the transform of the net's pictures: transform=data.transform")
    classes = getattr(net, "classes", None) if classes is None else classes
    if not isinstance(classes, list | tuple) or not all(isinstance(n, str) for n in classes):
        raise InputError("give the names of the classes: classes=data.class_names")
    if len(set(classes)) < len(classes):
        raise InputError("two classes have the same name: give each its own")
    return transform, tuple(classes)


def _check_scores(net: nn.Module, transform: Transform, classes: Sequence[str]) -> None:
    """The net takes what the transform makes, and gives a score for every class."""
    with evaluating(net), torch.no_grad():
        scores = answer(net, example_for(net, transform.input))
    if getattr(scores, "shape", None) != (1, len(classes)):
        got = list(scores.shape) if hasattr(scores, "shape") else type(scores).__name__
        raise InputError(
            f"the net gives {got} for one picture, and there are names of {len(classes)} classes: "
            "give one name for each score"
        )


def _claim(path: Path) -> None:
    """The folder, made if it is not there; of other content nothing is overwritten."""
    if (path / "config.yaml").exists():
        raise InputError(f"'{path}' holds a run, which is never overwritten: choose another folder")
    try:
        path.mkdir(parents=True, exist_ok=True)
        others = sorted(p.name for p in path.iterdir() if not p.name.startswith("."))
    except (FileExistsError, NotADirectoryError):
        raise InputError(f"'{path}' is a file: choose a folder") from None
    except OSError as error:
        raise InputError(f"'{path}' cannot be written: {error.strerror}") from None
    if not others:
        sums.seal(path, ())  # a save that was killed is recognised by it, and may be repeated
    elif sums.listed(path) is None and ModelConfig.beside(path) is None:
        raise InputError(
            f"'{path}' holds other files ('{others[0]}') and no model: choose a new folder"
        )
