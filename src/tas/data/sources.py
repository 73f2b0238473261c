"""``load``: a data set by its name, or a folder of images by its path."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from .. import processes
from ..data import cifar, digits, fashion, folder
from ..errors import DataError, InputError, one_of
from ..reading import place
from ..typed import checked
from .classes import by_name, without_labels
from .named import transformed
from .official import default_folder, find, not_found
from .parts import NAMES, Data
from .pictures import check_workers, cpus
from .transform import MOST_PIXELS, Transform, Vary

_IMAGENET_LAYOUTS = ("", "imagenet", "ILSVRC2012")
_IMAGENET_COLOURS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@checked
def load(
    name: str | Path,
    *,
    data_dir: str | Path | None = None,
    download: bool = False,
    image_size: int | None = None,
    workers: int | None = None,
    seed: int = 0,
    progress: bool = True,
    in_memory: bool | None = None,
    vary: Vary | None = None,
    transform: Transform | None = None,
    class_names: Sequence[str] | None = None,
    unlabelled: bool = False,
    like: Transform | None = None,
) -> Data:
    """Load the data set ``name``, one of ``NAMES`` or the path of a folder of images.

    >>> import tas
    >>> data = tas.data.load("digits")  # or "cifar10", or the path of a folder of images
    >>> data.name, data.classes, data.input
    ('digits', 10, (1, 8, 8))

    ``data_dir`` holds the official files of a named set (default: ``$TORCH_HOME``, else
    ``~/.cache/torch``); ``download`` fetches those that can be fetched. ``image_size`` is the
    height and width to scale to, in pixels; without it a named set keeps its own, and a folder
    the most common one where all its pictures are small (64 pixels on the short side), else 224.
    The ``Transform`` follows from that size alone, but that ImageNet's pictures zoom at any;
    ``vary`` ("shift" or "zoom") decides how pictures are varied instead.

    For a model that is trained already give its ``transform``, which is then used as it is, and its
    ``class_names``: pictures get the labels that the model knows them by. Some of its classes may
    be missing here (``notes`` says so, and ``Data.absent``), but none be strange to it.

    For pretrained weights give the transform that they were learnt with as ``like``: pictures get
    its colours, mean, spread and interpolation and, unless all are small, its size and crop.

    ``unlabelled`` takes the pictures of a folder at any depth, whatever its folders are called, and
    of a named set its pictures alone. They have no labels then (``Data.labelled``) and, without
    ``class_names``, no classes: a net is searched and trained by the answers of its teacher.

    A folder is decoded once, by ``workers`` threads (default: one per CPU core), where it fits in
    memory (in 2 GiB and a quarter of what is free); else its pictures stay on disk. ``in_memory``
    decides that instead. It is a matter of speed alone: batches are the same, bit for bit. Several
    processes, which are all to call this, each hold a copy. ``seed`` chooses the test part of a set
    that has none: leave it alone between runs that are compared. Nothing is ever written beside the
    data.

    Raises ``DataError`` where the data are missing, damaged or not what their name says, or have a
    class that the model does not know, and ``InputError`` where an option is not what it has to be.
    """
    name = str(name)
    check_workers(workers)
    _check(image_size, vary, transform)
    options = folder.Options(
        image_size=image_size,
        workers=cpus() if workers is None else workers,
        seed=seed,
        progress=progress and processes.is_first(),
        in_memory=in_memory,
        vary=vary,
        transform=transform,
        class_names=class_names,
        unlabelled=unlabelled,
        like=like,
    )
    if name not in NAMES:
        return folder.load(_folder(name), name, options)
    root = None if name == "digits" else _root(name, data_dir, download)
    if root is not None and name == "imagenet":
        return _imagenet(root, options)
    data = _named(name, root, download, seed)
    if unlabelled:
        data = without_labels(data, class_names or ())
    elif class_names is not None:
        data = by_name(data, class_names)
    return transformed(data, transform or _transform(data, image_size, vary, like))


def _imagenet(root: Path, options: folder.Options) -> Data:
    train = find(root, _IMAGENET_LAYOUTS, ["train"])
    if train is None:
        hint = "name the folder that holds its train/ and val/ with --data-dir"
        raise not_found("imagenet", root, _IMAGENET_LAYOUTS, hint)
    options = replace(options, vary=options.vary or "zoom")  # at any size, as everybody does
    return folder.load(train.parent, "imagenet", options, _IMAGENET_COLOURS)


def _named(name: str, root: Path | None, download: bool, seed: int) -> Data:
    """A named set as its files have it; the digits come without any."""
    if root is None:
        return digits.load(seed)
    if name == "fashion-mnist":
        return fashion.load(root, download)
    return cifar.load(name, root, download)


def _check(image_size: int | None, vary: str | None, transform: Transform | None) -> None:
    if image_size is not None and not 1 <= image_size <= MOST_PIXELS:
        raise DataError(
            f"--image-size {image_size}: give 1 to {MOST_PIXELS:,} pixels, e.g. 32 or 224"
        )
    if vary not in (None, "shift", "zoom"):
        raise InputError(one_of("way to vary pictures", str(vary), ("shift", "zoom")))
    if transform is None or image_size is None:
        return
    if transform.size != (image_size, image_size):
        raise InputError(
            f"--image-size {image_size}: the model was trained on pictures of "
            f"{' x '.join(map(str, transform.size))} pixels: leave the option out"
        )


def _root(name: str, data_dir: str | Path | None, download: bool) -> Path:
    """The folder in which the files of a named set are looked for."""
    root = default_folder() if data_dir is None else place(data_dir, "--data-dir")
    if not (root.is_dir() or download):
        raise DataError(
            f"data folder '{root}' for {name} does not exist: name the one that holds its "
            "files with --data-dir"
        )
    return root


def _transform(
    data: Data, image_size: int | None, vary: Vary | None, like: Transform | None
) -> Transform:
    """That of a named set, at the size that was asked for."""
    own = data.transform
    size = own.size if image_size is None else (image_size, image_size)
    chosen = Transform.of_size(own.colour, size, own.mean, own.std, vary)
    return chosen if like is None else chosen.like(like)


def _folder(name: str) -> Path:
    """The folder that ``name`` means. Raises ``DataError`` where it is no path either."""
    path = place(name, "data folder")
    if path.exists():
        return path
    if os.sep in name or name.startswith((".", "~")):
        raise DataError(f"data folder '{name}' does not exist")
    raise DataError(f"{one_of('data set', name, NAMES)}, or the path of a folder of images")
