"""``load``: a data set by its name, or a folder of images by its path."""

import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torchvision.transforms.v2 import functional

from .. import processes
from ..data import cifar, digits, fashion, folder
from ..errors import DataError, one_of
from .official import default_folder, find, not_found
from .parts import NAMES, Data, Images, Part
from .pictures import check_workers, cpus

_IMAGENET_LAYOUTS = ("", "imagenet", "ILSVRC2012")
_IMAGENET_COLOURS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


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
) -> Data:
    """Load the data set ``name``, one of ``NAMES`` or the path of a folder of images.

    ``data_dir`` holds the official files of a named set (default: ``$TORCH_HOME``, else
    ``~/.cache/torch``); ``download`` fetches those that can be fetched. ``image_size`` is the
    height and width to scale to, in pixels; without it a named set keeps its own, and a folder
    the most common one where all its pictures are small (64 pixels on the short side), else 224.

    A folder is decoded once, by ``workers`` threads (default: one per CPU core), where it fits in
    memory (in 2 GiB and a quarter of what is free); else its pictures stay on disk. ``in_memory``
    decides that instead. Several processes, which are all to call this, each hold a copy. ``seed``
    chooses the test part of a set that has none: leave it alone between runs that are compared.
    Nothing is ever written beside the data.

    Raises ``DataError`` where the data are missing, damaged or not what their name says, and
    ``InputError`` where ``workers`` is below 0.
    """
    name = str(name)
    check_workers(workers)
    if image_size is not None and image_size < 1:
        raise DataError(f"image size {image_size}: it is in pixels, e.g. 32 or 224")
    load_folder = partial(
        folder.load,
        name=name,
        image_size=image_size,
        workers=cpus() if workers is None else workers,
        seed=seed,
        progress=progress and processes.is_first(),
        in_memory=in_memory,
    )
    if name not in NAMES:
        return load_folder(_folder(name))
    if name == "digits":
        return _resized(digits.load(seed), image_size)

    root = default_folder() if data_dir is None else Path(data_dir).expanduser()
    if not (root.is_dir() or download):
        raise DataError(
            f"data folder '{root}' for {name} does not exist: name the one that holds its "
            "files with --data-dir"
        )
    if name == "imagenet":
        train = find(root, _IMAGENET_LAYOUTS, ["train"])
        if train is None:
            hint = "name the folder that holds its train/ and val/ with --data-dir"
            raise not_found(name, root, _IMAGENET_LAYOUTS, hint)
        return load_folder(train.parent, colours=_IMAGENET_COLOURS)
    if name == "fashion-mnist":
        return _resized(fashion.load(root, download), image_size)
    return _resized(cifar.load(name, root, download), image_size)


def _folder(name: str) -> Path:
    """The folder that ``name`` means. Raises ``DataError`` where it is no path either."""
    path = Path(name).expanduser()
    if path.exists():
        return path
    if os.sep in name or name.startswith((".", "~")):
        raise DataError(f"data folder '{name}' does not exist")
    raise DataError(f"{one_of('data set', name, NAMES)}, or the path of a folder of images")


def _resized(data: Data, image_size: int | None) -> Data:
    if image_size is None or data.input[1:] == (image_size, image_size):
        return data
    size = [image_size, image_size]

    def resized(part: Part) -> Images:
        assert isinstance(part, Images)
        step = 1024  # pictures at once: resizing works in float
        chunks = [part.pixels[i : i + step] for i in range(0, len(part), step)]
        return Images(torch.cat([functional.resize(c, size) for c in chunks]), part.labels)

    return replace(
        data,
        input=(data.input[0], image_size, image_size),
        train=resized(data.train),
        test=resized(data.test),
    )
