"""Small data sets on disk for the tests: folders of pictures, CIFAR batches, idx files."""

import gzip
import pickle
import struct
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

DIGITS = load_digits()


def digit(index: int, size: tuple[int, int] = (8, 8), mode: str = "L") -> Image.Image:
    """A real picture; ``size`` is width, height."""
    pixels = (DIGITS.images[index] * (255 / 16)).round().astype(np.uint8)
    return Image.fromarray(pixels).resize(size).convert(mode)


def folder(
    root: Path,
    parts: tuple[str, ...] = ("train", "test"),
    classes: tuple[str, ...] = ("nought", "one", "two"),
    each: int = 4,
    size: tuple[int, int] = (8, 8),
    mode: str = "RGB",
    suffix: str = "png",
) -> Path:
    """``root/PART/CLASS/*``, with ``""`` for no level of parts; every picture is another one."""
    index = 0
    for part in parts:
        for class_name in classes:
            where = root / part / class_name
            where.mkdir(parents=True)
            for i in range(each):
                digit(index, size, mode).save(where / f"{i}.{suffix}")
                index += 1
    return root


class Python2Pickler(pickle._Pickler):  # type: ignore[name-defined,misc]
    """Writes bytes as Python 2 wrote its texts, which is how the official files hold them."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)  # type: ignore[attr-defined]

    def save_bytes(self, value: bytes) -> None:
        self.write(pickle.BINSTRING + struct.pack("<i", len(value)) + value)

    dispatch[bytes] = save_bytes


def write_pickle(path: Path, content: Any, python2: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        if python2:
            Python2Pickler(file, protocol=2).dump(content)
        else:
            pickle.dump(content, file)


def cifar10(root: Path, each: int = 20, python2: bool = False) -> Path:
    """The files of CIFAR-10 with ``each`` random pictures per file."""
    rng = np.random.default_rng(0)
    names = ["airplane", "automobile", "bird", "cat", "deer"]
    names += ["dog", "frog", "horse", "ship", "truck"]

    def text(value: str) -> Any:
        return value.encode() if python2 else value

    write_pickle(
        root / "batches.meta", {text("label_names"): [text(name) for name in names]}, python2
    )
    for file in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        content = {
            text("data"): rng.integers(256, size=(each, 3072), dtype=np.uint8),
            text("labels"): [i % 10 for i in range(each)],
        }
        write_pickle(root / file, content, python2)
    return root


def cifar100(root: Path, each: int = 200) -> Path:
    rng = np.random.default_rng(0)
    write_pickle(root / "meta", {"fine_label_names": [f"class{i}" for i in range(100)]})
    for file in ("train", "test"):
        content = {
            "data": rng.integers(256, size=(each, 3072), dtype=np.uint8),
            "fine_labels": [i % 100 for i in range(each)],
            "coarse_labels": [0] * each,
        }
        write_pickle(root / file, content)
    return root


def idx(values: np.ndarray[Any, Any]) -> bytes:
    header = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    return header + values.astype(np.uint8).tobytes()


def fashion(root: Path, each: int = 30, zipped: bool = True) -> Path:
    rng = np.random.default_rng(0)
    root.mkdir(parents=True, exist_ok=True)
    for part in ("train", "t10k"):
        pixels = rng.integers(256, size=(each, 28, 28), dtype=np.uint8)
        labels = np.arange(each) % 10
        for kind, values in (("images-idx3", pixels), ("labels-idx1", labels)):
            raw, path = idx(values), root / f"{part}-{kind}-ubyte"
            if zipped:
                path.with_name(path.name + ".gz").write_bytes(gzip.compress(raw))
            else:
                path.write_bytes(raw)
    return root
