"""Weights to and from files. A file is data, never code: safetensors, or ``weights_only=True``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from . import sums
from .errors import InputError, first_line
from .whole import replacing

__all__ = [
    "Left",
    "classifier_of",
    "load_backbone",
    "load_weights",
    "read_weights",
    "save_weights",
    "take",
]

WRAPPERS = ("state_dict", "model", "model_state_dict")  # keys under which others keep the weights
SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".tar")  # of files that may hold them


def save_weights(module: nn.Module, path: Path) -> None:
    """Write all parameters and buffers as safetensors; the file appears whole or not at all."""
    with replacing(path) as partial:
        safetensors.torch.save_model(module, str(partial))


def load_weights(module: nn.Module, path: str | Path) -> None:
    """Fill a module with the weights of a file.

    Args:
        path: ``.safetensors``, or a file of ``torch.save`` with a state dict, bare or under
            ``state_dict``, ``model`` or ``model_state_dict``.

    Raises:
        InputError: the file cannot be read, is not what was written, holds more than tensors or
            numbers that are not finite, or is of another net; the module is then unchanged.
    """
    path = Path(path)
    sums.check(path)
    found = _read(path)
    wanted = module.state_dict(keep_vars=True)
    _check(path, found, wanted)
    _check_numbers(path, found, wanted)
    module.load_state_dict(found, strict=False)


class Left(NamedTuple):
    """What was not taken of weights: the classifier's name, and how many classes it has there."""

    module: str
    classes: int


def load_backbone(module: nn.Module, path: str | Path) -> Left | None:
    """As ``load_weights``, but the file's net may have another number of classes.

    The classifier, the last module with weights, then stays as it is.

    Returns:
        what was left out; None where all was taken.
    """
    return take(module, read_weights(path), Path(path))


def take(module: nn.Module, found: dict[str, Tensor], path: Path) -> Left | None:
    """``load_backbone`` of weights that were read already, from ``path``."""
    wanted = module.state_dict(keep_vars=True)
    left = _other_classes(found, wanted)
    taken = {name: value for name, value in found.items() if name not in left}
    if not left:
        _check(path, found, wanted)
    _check_numbers(path, taken, wanted)
    module.load_state_dict(taken, strict=False)
    return Left(left[0].rpartition(".")[0], len(found[left[0]])) if left else None


def classifier_of(module: nn.Module) -> str:
    """The name of the module that is taken for the classifier: the last one with weights."""
    return _last(module.state_dict(keep_vars=True))


def _last(state: dict[str, Tensor]) -> str:
    return next(reversed(state), "").rpartition(".")[0]


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a file, by their names; as ``load_weights`` reads them."""
    path = Path(path)
    sums.check(path)
    return _read(path)


def _read(path: Path) -> dict[str, Tensor]:
    if path.is_dir():
        files = sorted(each.name for each in path.iterdir() if each.suffix in SUFFIXES)
        instead = (
            f"give a file of it: {', '.join(files)}" if files else "no file of it holds weights"
        )
        raise InputError(f"'{path}' is a folder: {instead}")
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"'{path}': no such file") from None
    except (OSError, RuntimeError, SafetensorError) as error:
        raise InputError(f"'{path}' cannot be read as weights: {first_line(error)}") from None
    except Exception:  # whatever pickle may raise of a file that is not its own
        raise InputError(
            f"'{path}' is refused: it holds no weights, or objects other than tensors, which could "
            "run code; save only the net's state dict, best as .safetensors"
        ) from None
    return _state_dict(path, content)


def _state_dict(path: Path, content: Any) -> dict[str, Tensor]:
    if isinstance(content, Mapping):
        for key in WRAPPERS:
            if isinstance(content.get(key), Mapping):
                content = content[key]
                break
    if not isinstance(content, Mapping) or not content:
        raise InputError(f"'{path}' holds no state dict: save model.state_dict(), not the model")
    # A net that was trained on several devices carries the name of its wrapper.
    found = {str(name).removeprefix("module."): value for name, value in content.items()}
    for name, value in found.items():
        if not isinstance(value, Tensor):
            raise InputError(f"'{path}' holds no state dict: '{name}' is not a tensor")
        if value.layout != torch.strided or value.is_meta:
            kind = "has no values" if value.is_meta else "is sparse"
            raise InputError(f"'{path}' cannot be used: '{name}' {kind}; save dense tensors")
    return found


def _check_numbers(path: Path, found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    """Refuse what a training that failed leaves; a buffer, such as a mask, may well be infinite."""
    for name, value in found.items():
        sound = ~value.isnan()
        if isinstance(wanted[name], nn.Parameter):
            sound = value.to(wanted[name].dtype).isfinite()
        if not sound.all():
            raise InputError(
                f"'{path}' holds weights that are NaN or infinite, in '{name}': "
                "give weights of a training that did not diverge"
            )


def _check(path: Path, found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    """Refuse weights of another net, and say what differs first."""
    if left := _other_classes(found, wanted):
        classes = (len(found[left[0]]), len(wanted[left[0]]))
        raise InputError(
            f"'{path}' is of a net with {classes[0]} classes, not {classes[1]}: to train it on "
            "these from there, give it as --weights of tas run or tas train"
        )
    differ, missing, unknown = _compared(found, wanted)
    if differ:
        name = differ[0]
        shapes = f"{list(found[name].shape)}, not {list(wanted[name].shape)}"
        raise InputError(f"'{path}' is of another net: '{name}' has the shape {shapes}")
    if missing:
        raise InputError(f"'{path}' is of another net: it lacks '{missing[0]}'")
    if unknown:
        raise InputError(f"'{path}' is of another net: this one has no '{unknown[0]}'")


def _compared(
    found: dict[str, Tensor], wanted: dict[str, Tensor]
) -> tuple[list[str], list[str], list[str]]:
    """The names of tensors that differ in shape, are missing, and are unknown."""
    given = {id(wanted[name]) for name in found if name in wanted}  # tied weights are stored once
    differ = [n for n in wanted if n in found and found[n].shape != wanted[n].shape]
    missing = [
        name
        for name, value in wanted.items()
        if id(value) not in given and not name.endswith("num_batches_tracked")
    ]
    return differ, missing, [name for name in found if name not in wanted]


def _other_classes(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> list[str]:
    """The tensors of the classifier, the module that comes last, where they alone differ, and in
    the number of classes alone."""
    differ, missing, unknown = _compared(found, wanted)
    last = _last(wanted)
    if missing or unknown or any(name.rpartition(".")[0] != last for name in differ):
        return []
    same = all(
        found[name].ndim and found[name].shape[1:] == wanted[name].shape[1:] for name in differ
    )
    return differ if same else []
