"""CIFAR-10 and CIFAR-100 from their official Python files.

Those files are pickles, and a pickle can run any code. They are read by an unpickler that knows
arrays, numbers, texts and containers, and nothing else.
"""

import hashlib
import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchvision.datasets import CIFAR10, CIFAR100

from ..errors import DataError
from .official import fetch, find, foreign, not_found
from .parts import Data, Images
from .transform import Transform

_SOURCES = {"cifar10": CIFAR10, "cifar100": CIFAR100}
_LABELS = {"cifar10": "labels", "cifar100": "fine_labels"}
_CLASSES = {"cifar10": 10, "cifar100": 100}
# Of the training pictures, in 0..255: the values that published results were trained with.
_MEAN = {"cifar10": (125.3, 123.0, 113.9), "cifar100": (129.3, 124.1, 112.4)}
_STD = {"cifar10": (63.0, 62.1, 66.7), "cifar100": (68.2, 65.4, 70.4)}

_RECONSTRUCT = np.empty(0).__reduce__()[0]  # its module was renamed in NumPy 2
_ADMITTED = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
}


def load(name: str, data_dir: Path, download: bool) -> Data:
    """Load ``cifar10`` or ``cifar100``. Raises ``DataError``: not found, truncated, foreign."""
    source = _SOURCES[name]
    layouts = (f"cifar.python/{source.base_folder}", source.base_folder, "")
    found = find(data_dir, layouts, [source.meta["filename"]])
    if download:  # to where the files are, so that damaged ones are replaced
        there = found is not None and found.parent.name == source.base_folder
        fetch(name, source, found.parents[1] if found and there else data_dir / "cifar.python")
        found = find(data_dir, layouts, [source.meta["filename"]])
    if found is None:
        hint = "name the folder with --data-dir, or fetch it with --download"
        if (data_dir / source.filename).exists():
            hint = f"'{data_dir / source.filename}' is there, unpack it first"
        raise not_found(name, data_dir, layouts, hint)
    folder = found.parent
    changed: list[str] = []  # files whose checksum is not the official one

    def read(file: str, md5: str) -> tuple[Path, dict[str, Any]]:
        content, official = _read(folder / file, name, md5)
        if not official:
            changed.append(file)
        return folder / file, content

    path, meta = read(source.meta["filename"], source.meta["md5"])
    class_names = meta.get(source.meta["key"])
    if not isinstance(class_names, list) or len(class_names) != _CLASSES[name]:
        raise foreign(path, name, f"it does not name {_CLASSES[name]} classes")
    train, test = (
        _joined([_images(*read(*entry), name) for entry in entries])
        for entries in (source.train_list, source.test_list)
    )
    return Data(
        name=name,
        class_names=tuple(str(class_name) for class_name in class_names),
        transform=Transform.of_size(
            "rgb",
            (32, 32),
            mean=tuple(round(value / 255, 4) for value in _MEAN[name]),
            std=tuple(round(value / 255, 4) for value in _STD[name]),
        ),
        train=train,
        test=test,
        flip=True,
        notes=(f"not the official files of {name} (MD5): {', '.join(changed)}",) if changed else (),
    )


class _ArraysAlone(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"it asks for {module}.{name}, and only arrays are allowed"
            ) from None


def _read(path: Path, name: str, md5: str) -> tuple[dict[str, Any], bool]:
    """The content of one official file, and whether it has the official checksum."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read '{path}' of {name}: {error.strerror}") from error
    try:
        # Written by Python 2, whose texts are bytes: Latin-1 keeps them one to one.
        content = _ArraysAlone(io.BytesIO(raw), encoding="latin1").load()
    except Exception as error:  # a broken pickle raises nearly anything
        raise foreign(path, name, " ".join(str(error).split())) from error
    if not isinstance(content, dict):
        raise foreign(path, name, "it holds no dictionary")
    return content, hashlib.md5(raw, usedforsecurity=False).hexdigest() == md5


def _images(path: Path, content: dict[str, Any], name: str) -> Images:
    data, labels = content.get("data"), content.get(_LABELS[name])
    wrong = "it holds no pictures of 3 x 32 x 32 bytes"
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8:
        raise foreign(path, name, wrong)
    if data.shape[1:] != (3072,) or len(data) == 0:
        raise foreign(path, name, wrong)
    if not isinstance(labels, list) or len(labels) != len(data):
        raise foreign(path, name, f"'{_LABELS[name]}' does not list one label for each picture")
    if not all(type(label) is int and 0 <= label < _CLASSES[name] for label in labels):
        raise foreign(path, name, f"a label is not in 0..{_CLASSES[name] - 1}")
    return Images(torch.from_numpy(data).reshape(-1, 3, 32, 32), torch.tensor(labels))


def _joined(batches: list[Images]) -> Images:
    return Images(
        torch.cat([batch.pixels for batch in batches]),
        torch.cat([batch.labels for batch in batches]),
    )
