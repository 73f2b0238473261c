"""Write a net for other programs: ONNX, or a program of ``torch.export``."""

import copy
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from .. import data as data_room
from ..data import Data, Transform, some_pixels
from ..errors import DataError, InputError, one_of
from ..exports import (
    Difference,
    Form,
    OnnxNet,
    compare,
    folded,
    read_program,
    write_onnx,
    write_program,
)
from ..model_options import ExportOptions
from ..models import ModelFolder
from ..options import with_changes
from .opening import OpenedFolder, described, own_data
from .session import load_data

__all__ = ["Exported", "export", "export_model"]

SUFFIXES = {"onnx": ".onnx", "torch-export": ".pt2"}
MOST, NOISE = 256, 64  # pictures to check on; where there are none, random ones


@dataclass(frozen=True)
class Exported:
    """A file that was written and checked, as ``tas.export`` returns it.

    Attributes:
        path: the file.
        folded, norms: how many BatchNorms were folded into convolutions, and of how many.
        difference: to the net in PyTorch: ``largest``, share of ``equal`` answers, ``pictures``.
        checked_on: which pictures these are, in words.
    """

    path: Path
    folded: int
    norms: int
    difference: Difference
    checked_on: str


def export(
    model: nn.Module | str | Path,
    out: str | Path | None = None,
    *,
    to: str | None = None,
    data: str | Path | Data | None = None,
    preprocess: bool = False,
    softmax: bool = False,
    transform: Transform | None = None,
    classes: Sequence[str] | None = None,
) -> Exported:
    """Write a net as one file for other programs, and check it against PyTorch.

    >>> import tas
    >>> data = tas.data.load("digits")
    >>> net = tas.nets.build("resnet20", classes=data.classes, input=data.input)
    >>> _ = tas.save(net, "mine", transform=data.transform, classes=data.class_names)
    >>> written = tas.export("mine", "mine.pt2", data=data)  # or "mine.onnx"
    >>> written.path.name, written.difference.equal == 1
    ('mine.pt2', True)

    The number of pictures of a batch is free. Class names, transform and provenance are in the
    file: in ONNX its metadata property ``tas``, else its extra file ``tas.json``, both JSON.

    Args:
        model: a run or model folder, or a net that ``tas.load`` gave; it is left as it is.
        out: the file; default: ``model.onnx`` or ``model.pt2`` in the folder.
        to: ``"onnx"``, for ONNX Runtime and others, or ``"torch-export"``, for PyTorch without the
            net's own code; default: what the end of ``out`` says, ``.onnx`` or ``.pt2``, else ONNX.
        data: what it is checked on; default: the test pictures of the model's own data if they are
            there, else random pictures.
        preprocess: the file takes uint8 pictures [N, C, H, W] and normalises them itself.
        softmax: the file gives probabilities.
        transform, classes: for a net that was not loaded from a folder.

    Raises:
        InputError: an argument cannot be used, the exporter has no way for the net, or the file
            would differ from PyTorch; there is no file then.
    """
    folder = None
    if not isinstance(model, nn.Module):
        opened = OpenedFolder.of(model)
        folder, model = opened.folder, opened.net
    transform, classes = described(model, folder, transform, classes)
    form = Form(transform, classes, preprocess, softmax, folder.provenance if folder else {})
    to, path = _target(to, out, folder)
    if data is None:
        pixels, name = _own_pictures(form, folder)
    else:
        pixels, name = _pictures(_loaded(data, form), form)
    return _write(model, form, to, path, pixels, name)


def export_model(options: ExportOptions | None = None, **changes: Any) -> Exported:
    """What ``tas export`` does: ``tas.export`` of a model folder.

    >>> import tas
    >>> data = tas.data.load("digits")
    >>> net = tas.nets.build("resnet20", classes=data.classes, input=data.input)
    >>> _ = tas.save(net, "mine", transform=data.transform, classes=data.class_names)
    >>> written = tas.api.export_model(model="mine", to="torch-export", data="digits")
    >>> written.folded == written.norms
    True

    Args:
        options: see ``tas.model_options.ExportOptions``, or ``tas export --help``.
        changes: options by their names, in the place of those of ``options``.
    """
    options = with_changes(options or ExportOptions(), changes)
    opened = OpenedFolder.of(options.model, options.net)
    net, folder = opened.net, opened.folder
    transform, classes = described(net, folder, None, None)
    form = Form(transform, classes, options.preprocess, options.softmax, folder.provenance)
    to, path = _target(options.to, options.out, folder)
    if options.data is None:
        pixels, name = _own_pictures(form, folder)
    else:
        asked = _Asked(options, str(folder.weights))
        pixels, name = _pictures(load_data(asked, to_train=False), form)
    return _write(net, form, to, path, pixels, name)


class _Asked:
    """The options of the data with the model's weights, beside which its transform lies."""

    def __init__(self, options: ExportOptions, weights: str) -> None:
        for name in ("data", "data_dir", "download", "image_size", "in_memory", "workers"):
            setattr(self, name, getattr(options, name))
        self.weights = weights


def _target(to: str | None, out: str | Path | None, folder: ModelFolder | None) -> tuple[str, Path]:
    """The kind of file, and where it is to lie."""
    if to is None:
        to = "torch-export" if out is not None and Path(out).suffix == ".pt2" else "onnx"
    if to not in SUFFIXES:
        raise InputError(one_of("kind of file", to, SUFFIXES))
    if out is None:
        if folder is None:
            raise InputError(f"say where to write it, such as out='model{SUFFIXES[to]}'")
        out = folder.path / f"model{SUFFIXES[to]}"
    path = Path(out)
    if path.suffix != SUFFIXES[to]:
        raise InputError(f"--out {path}: a file of --to {to} ends in {SUFFIXES[to]}")
    if path.is_dir() or not path.parent.is_dir():
        what = "is a folder" if path.is_dir() else "would lie in a folder that is not there"
        raise InputError(f"--out {path} {what}: choose another")
    return to, path


def _loaded(data: str | Path | Data, form: Form) -> Data:
    if isinstance(data, Data):
        return data
    return data_room.load(
        data, transform=form.transform, class_names=form.classes, in_memory=False, progress=False
    )


def _pictures(data: Data, form: Form) -> tuple[Tensor, str]:
    """uint8 [N, C, H, W] of a data set's test pictures, and what they are."""
    if data.transform.input != form.transform.input:
        raise InputError(
            f"the pictures of '{data.name}' become {list(data.transform.input)}, and the net takes "
            f"{list(form.transform.input)}: load them with the net's transform"
        )
    pixels = some_pixels(data, MOST)
    if not len(pixels):
        raise InputError(f"'{data.name}' has no test picture that can be read")
    return pixels, f"test pictures of {data.name}"


def _own_pictures(form: Form, folder: ModelFolder | None) -> tuple[Tensor, str]:
    """The pictures of the model's own data, or random ones where they are not there."""
    own = own_data(folder) if folder else {}
    why = "no data are known"
    if "data" in own:
        how = {name: own[name] for name in ("data_dir",) if name in own}
        try:
            data = data_room.load(
                own["data"],
                transform=form.transform,
                class_names=form.classes,
                in_memory=False,
                progress=False,
                **how,
            )
            return _pictures(data, form)
        except (DataError, InputError):
            why = f"'{own['data']}' cannot be used here"
    generator = torch.Generator().manual_seed(0)
    size = (NOISE, *form.transform.input)
    return torch.randint(256, size, generator=generator, dtype=torch.uint8), (
        f"random pictures, for {why}; give --data for real ones"
    )


def _write(net: nn.Module, form: Form, to: str, path: Path, pixels: Tensor, name: str) -> Exported:
    """Write it under another name, check it, and rename it."""
    tensors = (*net.parameters(), *net.buffers())
    if any(each.is_floating_point() and each.dtype != torch.float32 for each in tensors):
        raise InputError("the net is not in float32 alone: give net.float()")
    whole = copy.deepcopy(net).cpu()
    small = folded(whole, form.transform.input)
    run: Callable[[Tensor], Tensor]
    try:
        # Beside its place, under its own name, which a program keeps.
        with TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as home:
            partial = Path(home) / path.name
            if to == "onnx":
                write_onnx(small.net, form, partial)
                run = OnnxNet(partial)
            else:
                write_program(small.net, form, partial)
                run = read_program(partial)
            difference = compare(run, whole, form, pixels)
            os.replace(partial, path)
    except OSError as error:
        raise InputError(f"--out {path} cannot be written: {error.strerror or error}") from None
    return Exported(path, small.folded, small.norms, difference, name)
