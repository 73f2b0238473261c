"""Fashion-MNIST from its official files, gzipped or not."""

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchvision.datasets import FashionMNIST

from .official import fetch, find, foreign, not_found
from .parts import Data, Images, measured
from .transform import Transform

NAME = "fashion-mnist"
_LAYOUTS = ("", "FashionMNIST/raw", NAME)
_COUNTS = {"train": 60_000, "t10k": 10_000}
_MOST = 2**30  # bytes of a file, unpacked: 20 times the official ones


def load(data_dir: Path, download: bool) -> Data:
    """Load Fashion-MNIST. Raises ``DataError``: not found, truncated, foreign."""
    if download and not all(_find(data_dir, file) for part in _COUNTS for file in _files(part)):
        fetch(NAME, FashionMNIST, data_dir)
    parts = {part: _part(data_dir, part) for part in _COUNTS}
    mean, std = measured(parts["train"].pixels)
    return Data(
        name=NAME,
        class_names=tuple(FashionMNIST.classes),
        transform=Transform.of_size("grey", (28, 28), mean, std),
        train=parts["train"],
        test=parts["t10k"],
        flip=True,
        notes=tuple(
            f"not the official files of fashion-mnist: '{part}' has {len(parts[part])} pictures "
            f"instead of {count}"
            for part, count in _COUNTS.items()
            if len(parts[part]) != count
        ),
    )


def _part(data_dir: Path, part: str) -> Images:
    pixels_file, labels_file = _files(part)
    pixels_path, pixels = _read(data_dir, pixels_file, dimensions=3)
    labels_path, labels = _read(data_dir, labels_file, dimensions=1)
    if pixels.shape[1:] != (28, 28) or len(pixels) == 0:
        raise foreign(pixels_path, NAME, f"its pictures are {list(pixels.shape)}, not [N, 28, 28]")
    if len(labels) != len(pixels):
        raise foreign(labels_path, NAME, f"{len(labels)} labels for {len(pixels)} pictures")
    if labels.max() >= len(FashionMNIST.classes):
        raise foreign(labels_path, NAME, f"a label is not in 0..{len(FashionMNIST.classes) - 1}")
    return Images(pixels.unsqueeze(1), labels.long())


def _files(part: str) -> tuple[str, str]:
    return f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte"


def _find(data_dir: Path, file: str) -> Path | None:
    return find(data_dir, _LAYOUTS, [file, f"{file}.gz"])


def _read(data_dir: Path, file: str, dimensions: int) -> tuple[Path, Tensor]:
    """A file in the idx format: 0, 0, 8 (bytes), the dimensions as big-endian int32, the bytes."""
    path = _find(data_dir, file)
    if path is None:
        hint = f"no {file}[.gz]; name the folder with --data-dir, or fetch it with --download"
        raise not_found(NAME, data_dir, _LAYOUTS, hint)
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as opened:
            raw = opened.read(_MOST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise foreign(path, NAME, str(error)) from error
    if len(raw) > _MOST:
        raise foreign(path, NAME, f"it holds more than {_MOST >> 20} MiB")
    header = 4 + 4 * dimensions
    if raw[:4] != bytes([0, 0, 8, dimensions]) or len(raw) < header:
        raise foreign(path, NAME, f"it is no idx file of {dimensions} dimensions")
    shape = struct.unpack(f">{dimensions}I", raw[4:header])
    if len(raw) - header != np.prod(shape, dtype=object):
        raise foreign(path, NAME, f"{len(raw) - header} bytes do not fill {list(shape)}")
    # A copy, for what NumPy reads from bytes is not writable and PyTorch warns of it.
    values = np.frombuffer(raw, np.uint8, offset=header).reshape(shape).copy()
    return path, torch.from_numpy(values)
