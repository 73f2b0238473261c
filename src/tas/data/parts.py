"""What a data set is here: pictures with labels, in memory or on disk, and the facts about them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

NAMES = ("digits", "cifar10", "cifar100", "fashion-mnist", "imagenet")


@dataclass(frozen=True, eq=False)
class Images:
    """A part of a data set that is held in memory, decoded."""

    pixels: Tensor  # uint8 [N, C, H, W]
    labels: Tensor  # int64 [N]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Tensor | Sequence[int]) -> "Images":
        """The pictures at ``indices``, in that order."""
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        return Images(self.pixels[chosen], self.labels[chosen])


@dataclass(frozen=True, eq=False)
class Files:
    """A part of a data set that stays on disk and is decoded batch by batch."""

    paths: tuple[str, ...]
    labels: Tensor  # int64 [N]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Tensor | Sequence[int]) -> "Files":
        """The pictures at ``indices``, in that order."""
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        return Files(tuple(self.paths[i] for i in chosen.tolist()), self.labels[chosen])


Part = Images | Files


@dataclass(frozen=True, eq=False)
class Data:
    """A data set, ready to be cut into batches."""

    name: str  # one of NAMES, or the folder's path as given
    class_names: tuple[str, ...]
    input: tuple[int, int, int]  # C, H, W
    mean: tuple[float, ...]  # per channel, of pixels in 0..1
    std: tuple[float, ...]
    train: Part
    test: Part
    flip: bool  # may a picture be mirrored without changing its class
    notes: tuple[str, ...] = ()  # what a reader of a result must know

    @property
    def classes(self) -> int:
        return len(self.class_names)


def statistics(pixels: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel, in 0..1, of at most 10,000 uint8 [N, C, H, W].

    Counted, not summed, and rounded like the constants that papers print: the same on every
    machine. A channel that never changes gets the deviation 1, so that it can be divided by.
    """
    sample = pixels[:: max(-(-len(pixels) // 10_000), -(-pixels.numel() // 2**27))]
    levels = torch.arange(256, dtype=torch.float64) / 255
    means, deviations = [], []
    for channel in sample.unbind(1):
        counts = channel.flatten().bincount(minlength=256).double()
        mean = float(counts @ levels / counts.sum())
        variance = float(counts @ (levels - mean).square() / counts.sum())
        means.append(round(mean, 4))
        deviations.append(round(variance**0.5, 4) or 1.0)
    return tuple(means), tuple(deviations)
