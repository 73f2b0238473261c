"""Write a net for other programs: ONNX, or a program of ``torch.export``."""

import copy
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..data import Data, Transform
from ..errors import InputError, one_of
from ..exports import (
    AnyNet,
    Difference,
    Form,
    OnnxNet,
    compare,
    folded,
    read_program,
    write_onnx,
    write_program,
)
from ..forward import Forward
from ..model_options import ExportOptions
from ..models import ModelFolder
from ..options import with_changes
from ..typed import checked
from ..usable import check_bare, check_values, check_weights
from ..whole import flush, scratch
from .export_pictures import ExportPictures
from .int8 import Int8, in_int8
from .opening import OpenedFolder, described, unpruned
from .session import load_data

__all__ = ["Exported", "export", "export_model"]

SUFFIXES = {"onnx": ".onnx", "torch-export": ".pt2"}


@dataclass(frozen=True)
class Exported:
    """A file that was written and checked, as ``tas.export`` returns it.

    Attributes:
        path: the file.
        folded, norms: how many BatchNorms were folded into convolutions, and of how many.
        difference: to the net in PyTorch: ``largest``, share of ``equal`` answers, ``pictures``.
            Of an INT8 file it is that of the float32 file which was quantised.
        checked_on: which pictures these are, in words.
        int8: accuracy and time of INT8 and float32, where it was asked for: ``rows``, ``lost``
            (points of accuracy), ``warning``.
    """

    path: Path
    folded: int
    norms: int
    difference: Difference
    checked_on: str
    int8: Int8 | None = None


@checked
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
    int8: bool = False,
    calibrate: str | Path | None = None,
    example: Any = None,
    other: Any = None,
    forward: Forward | None = None,
) -> Exported:
    """Write a net as one file for other programs, and check it against PyTorch.

    >>> import tas, torch
    >>> data = tas.data.load("digits")
    >>> net = tas.nets.build("resnet20", classes=data.classes, input=data.input)
    >>> _ = tas.save(net, "mine", transform=data.transform, classes=data.class_names)
    >>> written = tas.export("mine", "mine.pt2", data=data)  # or "mine.onnx"
    >>> written.path.name, written.difference.equal == 1
    ('mine.pt2', True)

    The number of pictures of a batch is free. Class names, transform and provenance are in the
    file: in ONNX its metadata property ``tas``, else its extra file ``tas.json``, both JSON.

    Any other net is written with an example of what it takes. Inputs and outputs are called as in
    the batch and in the answer, and it is checked on the example and on other numbers of examples:

    >>> words = torch.nn.Sequential(torch.nn.Embedding(50, 8), torch.nn.Linear(8, 50))
    >>> longer = torch.zeros(2, 9, dtype=torch.long)
    >>> written = tas.export(words, "words.pt2", example=torch.tensor([[3, 1, 4]]), other=longer)
    >>> written.checked_on
    'the example and other, and 1 and 3 examples'

    Args:
        model: a run or model folder, or a net that ``tas.load`` gave; it is left as it is.
        out: the file; default: ``model.onnx`` or ``model.pt2`` in the folder (of one
            on the hub: here).
        to: ``"onnx"``, for ONNX Runtime and others, or ``"torch-export"``, for PyTorch without the
            net's own code; default: what the end of ``out`` says, ``.onnx`` or ``.pt2``, else ONNX.
        data: what it is checked on; default: the test pictures of the model's own data if they are
            there, else random pictures.
        preprocess: the file takes uint8 pictures [N, C, H, W] and normalises them itself.
        softmax: the file gives probabilities.
        transform, classes: for a net that was not loaded from a folder.
        int8: write the ONNX file in INT8, quantised by ONNX Runtime, and measure what that costs
            and gives; default ``out``: ``model.int8.onnx`` in the folder.
        calibrate: a folder of pictures by which ranges of INT8 are measured; default: training
            pictures of ``data``, or of the model's own data.
        example: of a net that is no classifier of pictures, a batch such as it takes: a tensor, or
            a mapping, tuple or list of tensors. The number of examples is free in the file.
        other: another such batch of other sizes: in what they differ from those of ``example`` the
            file takes any size, such as the number of tokens.
        forward: calls the net on such a batch; what it returns is what the file gives.

    Raises:
        InputError: an argument cannot be used, the exporter has no way for the net, or the file
            would differ from PyTorch; there is no file then.
    """
    folder = None
    if not isinstance(model, nn.Module):
        opened = OpenedFolder.of(model)
        folder, model = opened.folder, opened.net
    if example is not None:
        own: dict[str, Any] = {"data": data, "preprocess": preprocess, "softmax": softmax}
        own |= {"transform": transform, "classes": classes, "int8": int8, "calibrate": calibrate}
        if named := [name for name, value in own.items() if value not in (None, False)]:
            raise InputError(f"{named[0]}= is of classifiers of pictures: leave it or example= out")
        file = AnyNet.of(example, other, forward)
        return _any_net(model, file, *_target(to, out, folder, False))
    if forward is not None or other is not None:
        name = "forward" if forward is not None else "other"
        raise InputError(f"{name}= is for nets that are given by an example: give example= as well")
    transform, classes = described(model, folder, transform, classes)
    form = Form(transform, classes, preprocess, softmax, folder.provenance if folder else {})
    to, path = _target(to, out, folder, int8)
    if data is None:
        pictures = ExportPictures.own(form, folder)
    else:
        pictures = ExportPictures.given(form, data)
    return _Export(model, folder, form, to, path, pictures, int8, calibrate).write()


@checked
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
    to, path = _target(options.to, options.out, folder, options.int8)
    if options.data is None:
        pictures = ExportPictures.own(form, folder)
    else:
        asked = _Asked(options, str(folder.weights))
        pictures = ExportPictures.given(form, load_data(asked, to_train=False))
    how = options.int8, options.calibrate
    return _Export(net, folder, form, to, path, pictures, *how).write()


class _Asked:
    """The options of the data with the model's weights, beside which its transform lies."""

    def __init__(self, options: ExportOptions, weights: str) -> None:
        for name in ("data", "data_dir", "download", "image_size", "in_memory", "workers"):
            setattr(self, name, getattr(options, name))
        self.weights = weights


def _target(
    to: str | None, out: str | Path | None, folder: ModelFolder | None, int8: bool
) -> tuple[str, Path]:
    """The kind of file, and where it is to lie."""
    if to is None:
        to = "torch-export" if out is not None and Path(out).suffix == ".pt2" else "onnx"
    if to not in SUFFIXES:
        raise InputError(one_of("kind of file", to, SUFFIXES))
    if int8 and to != "onnx":
        raise InputError(f"--int8 is for --to onnx, not for --to {to}: leave one of them out")
    if out is None:
        if folder is None:
            raise InputError(f"say where to write it, such as out='model{SUFFIXES[to]}'")
        home = Path() if folder.hub else folder.path
        out = home / f"model{'.int8' if int8 else ''}{SUFFIXES[to]}"
    path = Path(out)
    if path.suffix != SUFFIXES[to]:
        raise InputError(f"--out {path}: a file of --to {to} ends in {SUFFIXES[to]}")
    if path.is_dir() or not path.parent.is_dir():
        what = "is a folder" if path.is_dir() else "would lie in a folder that is not there"
        raise InputError(f"--out {path} {what}: choose another")
    return to, path


@dataclass(frozen=True)
class _Export:
    """A file to be written."""

    net: nn.Module
    folder: ModelFolder | None
    form: Form
    to: str
    path: Path
    pictures: ExportPictures
    int8: bool
    calibrate: str | Path | None

    def __post_init__(self) -> None:
        if self.calibrate is not None and not self.int8:
            raise InputError(f"--calibrate {self.calibrate} is for --int8: give both")
        _check_kind(self.net)

    def write(self) -> Exported:
        """Write it under another name, check it, and rename it."""
        pixels, checked_on = self.pictures.to_check()
        calibration = self.pictures.to_calibrate(self.calibrate) if self.int8 else None
        check_weights(self.net)
        whole = copy.deepcopy(self.net).cpu()
        small = folded(whole, self.form.transform.input)
        int8 = None
        with _renamed(self.path) as made:
            run = self._written(small.net, made)
            difference = compare(run, whole, self.form, pixels)
            if calibration is not None:
                whole_file = made.rename(made.with_suffix(".fp32.onnx"))
                how = calibration, self.pictures, self._unpruned
                int8 = in_int8(self.form, whole_file, made, *how)
        return Exported(self.path, small.folded, small.norms, difference, checked_on, int8)

    def _written(self, net: nn.Module, path: Path) -> Callable[[Tensor], Tensor]:
        """Write the file of a net in float32; what runs it."""
        if self.to == "onnx":
            write_onnx(net, self.form, path)
            return OnnxNet(path)
        write_program(net, self.form, path)
        return read_program(path)

    def _unpruned(self) -> nn.Module | None:
        return None if self.folder is None else unpruned(self.folder)


def _any_net(net: nn.Module, form: AnyNet, to: str, path: Path) -> Exported:
    """Write the file of a net that is given by an example."""
    check_bare(net)
    check_values(net)
    check_weights(net)
    _check_kind(net)
    whole = copy.deepcopy(net).cpu().eval()
    form = form.tried(whole)
    small = folded(whole, form.example)
    with _renamed(path) as made:
        difference = form.compare(form.write(small.net, to, made), whole)
    return Exported(path, small.folded, small.norms, difference, form.checked_on)


def _check_kind(net: nn.Module) -> None:
    tensors = (*net.parameters(), *net.buffers())
    if any(each.is_floating_point() and each.dtype != torch.float32 for each in tensors):
        raise InputError("the net is not in float32 alone: give net.float()")


@contextmanager
def _renamed(path: Path) -> Iterator[Path]:
    """Where to write a file, beside its place and under its own name, which a program keeps; it is
    put in its place afterwards."""
    try:
        with scratch(path.parent) as home:
            yield (made := home / path.name)
            flush(made)
            os.replace(made, path)
        flush(path.parent)
    except OSError as error:
        why = error.strerror or error
        raise InputError(f"--out {path} cannot be written: {why}") from None
