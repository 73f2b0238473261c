"""Which pictures make up which batch: the part of batching that is the same in memory and on disk.

The order of an epoch and all that is random in it are drawn on the CPU, once, from the seed and
the epoch alone. So an epoch is the same on every device, for every number of workers and for every
number of processes: process r of R takes the r-th share of each batch.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..seeds import check_seed
from ..typed import checked
from .parts import Data

MAGNITUDES = 31  # of RandAugment, 0 to 30
REPLACEMENTS = 100  # how many pictures in a row are tried while training

Batch = tuple[Tensor, Tensor]  # float32 [B, C, H, W] normalised, int64 [B]


@checked
@dataclass(frozen=True)
class Augment:
    """How training pictures are varied; no ``Augment`` at all is for evaluation.

    >>> import tas
    >>> data = tas.data.load("digits")
    >>> strong = tas.data.Augment(padding=2, flip=False)
    >>> batches = tas.data.batches(
    ...     data, data.train, 64, augment=strong, device="cpu", shuffle=True
    ... )

    The data's ``transform.vary`` says which of two ways is theirs; what belongs to the other is
    ignored. Pictures that "shift" (small ones) are padded with black by ``padding`` pixels
    (default: an eighth of the height, 4 at 32 pixels) and cropped back at random. Of pictures that
    "zoom" (larger ones) a random place is cut out at a random size (``crop``), and its brightness,
    contrast and saturation are changed by up to the ratio ``jitter``. Either way half of them are
    mirrored (``flip``), and ``randaugment`` above 0 changes each by two random operations of that
    magnitude (torchvision's ``v2.RandAugment``) in the place of the ``jitter``.

    Raises ``InputError`` where ``padding`` or ``jitter`` is below 0, or ``randaugment`` is not from
    0 to 30.
    """

    padding: int | None = None
    flip: bool | None = None  # default: what the data set says
    crop: bool = True
    jitter: float = 0.4
    randaugment: int = 0

    def __post_init__(self) -> None:
        if self.padding is not None and not self.padding >= 0:
            raise InputError(f"--padding {self.padding}: give 0 pixels or more")
        if not self.jitter >= 0:  # a NaN is refused too
            raise InputError(f"--jitter {self.jitter}: give 0 or more, e.g. 0.4")
        if not 0 <= self.randaugment < MAGNITUDES:
            raise InputError(
                f"--randaugment {self.randaugment}: give a magnitude from 0 to {MAGNITUDES - 1}, "
                "e.g. 9"
            )


def tries(augment: Augment | None, count: int) -> int:
    """How many pictures in a row are tried where some are broken: one alone, to measure."""
    return 1 if augment is None else min(REPLACEMENTS, count)


@dataclass(frozen=True)
class Schedule:
    """How ``count`` pictures are dealt out in batches of ``batch_size``, over all processes."""

    count: int
    batch_size: int
    shuffle: bool
    drop_last: bool = False
    seed: int = 0
    rank: int = 0
    world: int = 1

    def __post_init__(self) -> None:
        check_seed(self.seed)
        # To measure, shares may differ; gradients are means over shares of equal size.
        if self.batch_size < 1 or (self.drop_last and self.batch_size % self.world):
            raise InputError(
                f"batch size {self.batch_size} cannot be shared among {self.world} process(es): "
                f"choose a multiple of {self.world}"
            )
        if self.drop_last and self.batch_size > self.count:
            raise InputError(
                f"batch size {self.batch_size} is more than the {self.count} pictures to train "
                f"on: choose {self.count} or less"
            )

    def __len__(self) -> int:
        """Batches per epoch."""
        return -(-self.examples // self.batch_size)

    @property
    def examples(self) -> int:
        """Pictures per epoch."""
        return self.count - self.count % self.batch_size if self.drop_last else self.count

    def generator(self, epoch: int) -> torch.Generator:
        """All randomness of an epoch."""
        mixed = np.random.SeedSequence((self.seed, epoch)).generate_state(1, np.uint64)
        return torch.Generator().manual_seed(int(mixed[0]))

    def order(self, generator: torch.Generator) -> Tensor:  # [N]
        """The pictures in the order of an epoch."""
        if self.shuffle:
            return torch.randperm(self.count, generator=generator)
        return torch.arange(self.count)

    def shares(self) -> Iterator[slice]:
        """Where this process's share of each batch lies in the order."""
        for start in range(0, self.examples, self.batch_size):
            size = min(self.batch_size, self.count - start)
            first = size * self.rank // self.world
            last = size * (self.rank + 1) // self.world
            yield slice(start + first, start + last)


class Batches(ABC):
    """A pass over a part of a data set per epoch; the same epoch twice gives the same batches.

    ``tas.data.batches`` makes them, with an example. Yields images float32 [B, C, H, W],
    normalised, and labels int64 [B], on the device.
    """

    def __init__(self, data: Data, schedule: Schedule, device: torch.device) -> None:
        self._schedule = schedule
        self._device = device
        self._epoch = 0
        self._mean, self._scale = data.transform.affine(device)

    def __len__(self) -> int:
        """Batches per epoch."""
        return len(self._schedule)

    @property
    def examples(self) -> int:
        """Pictures per epoch, of all processes together."""
        return self._schedule.examples

    def set_epoch(self, epoch: int) -> None:
        """Choose the order and the augmentation of the next pass."""
        self._epoch = epoch

    @abstractmethod
    def __iter__(self) -> Iterator[Batch]: ...

    def _normalise(self, pixels: Tensor) -> Tensor:
        # As ``Transform.normalise``, with what is on the device already.
        return pixels.to(torch.float32).sub_(self._mean).mul_(self._scale)
