"""Batches of pictures that worker processes make ready: those on disk, and all that zoom."""

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from .parts import Data, Files, Part, Pictures
from .pictures import Skipped, reason
from .schedule import Augment, Batch, Batches, Schedule, tries
from .transform import as_image, as_pixels
from .vary import Shift, Zoom

_log = logging.getLogger(__name__)

Item = tuple[int, int]  # which picture, and the seed of its augmentation
Broken = tuple[str, str]  # path, what is wrong with it


class WorkerBatches(Batches):
    """``tas.data.batches`` of pictures that are on disk, or that zoom.

    To measure, the batch of a broken picture is smaller. To train, the next picture that can be
    read takes the place of each: batches stay as large as they are to be, on all processes. Broken
    files are named in a warning of the log after the epoch that met them, and counted in
    ``skipped``; ``DataError`` stops the epoch where they are more than 5 % (and more than 10).
    """

    def __init__(
        self,
        data: Data,
        part: Part,
        schedule: Schedule,
        augment: Augment | None,
        device: torch.device,
        workers: int,
    ) -> None:
        super().__init__(data, schedule, device)
        self.skipped = Skipped(len(part))
        zooms = data.transform.vary == "zoom"
        self._shift = Shift.of(data, None if zooms else augment)
        self._sampler = _Sampler(schedule)
        self._loader = DataLoader(
            _Kept(data, part, tries(augment, len(part)), _zoom(data, augment)),
            batch_sampler=self._sampler,
            num_workers=workers,
            collate_fn=_Collate(data.input),
            pin_memory=device.type == "cuda",
            persistent_workers=workers > 0,
            prefetch_factor=4 if workers > 0 else None,
            # Its own, unused: the loader would take a number from the program's generator.
            generator=torch.Generator(),
        )

    def set_epoch(self, epoch: int) -> None:
        super().set_epoch(epoch)
        self._sampler.epoch = epoch

    def __iter__(self) -> Iterator[Batch]:
        known = len(self.skipped.names)
        generator = self._schedule.generator(self._epoch)
        self._schedule.order(generator)  # what memory draws first
        moves = self._shift.draw(self._schedule.count, generator, self._device)
        for share, made in zip(self._schedule.shares(), self._loader, strict=True):
            for path, why in made.broken:
                self.skipped.add(path, why)
            at = moves.of(share)
            if made.left is not None:
                if not len(made.left):
                    continue
                at = at.of(made.left.to(self._device, non_blocking=True))
            pixels = self._shift(made.pixels.to(self._device, non_blocking=True), at)
            yield self._normalise(pixels), made.labels.to(self._device, non_blocking=True)
        if len(self.skipped.names) > known:
            _log.warning("pictures that cannot be read and are left out: %s", self.skipped)


def _zoom(data: Data, augment: Augment | None) -> Zoom | None:
    return None if augment is None or data.transform.vary == "shift" else Zoom(data, augment)


class _Sampler(Sampler[list[Item]]):
    """The pictures of each batch, each with a seed, so that workers need no state of their own."""

    def __init__(self, schedule: Schedule) -> None:
        self.epoch = 0
        self._schedule = schedule

    def __len__(self) -> int:
        return len(self._schedule)

    def __iter__(self) -> Iterator[list[Item]]:
        generator = self._schedule.generator(self.epoch)
        order = self._schedule.order(generator)
        seeds = torch.randint(2**62, (len(order),), generator=generator)
        for share in self._schedule.shares():
            yield list(zip(order[share].tolist(), seeds[share].tolist(), strict=True))


@dataclass(frozen=True)
class _Read:
    """What became of a picture: its pixels, uint8, if it or one after it could be read."""

    pixels: Tensor | None  # [C, H, W]
    label: int
    broken: list[Broken]


class _Kept(Dataset[_Read]):
    """Pictures as the transform keeps them, zoomed or fitted in a worker process."""

    def __init__(self, data: Data, part: Part, tries: int, zoom: Zoom | None) -> None:
        self._transform = data.transform
        self._labels = part.labels.numpy()
        self._tries = tries
        self._zoom = zoom
        self._part: Part | None = None
        if isinstance(part, Files):
            # One array instead of a million texts: workers share its memory, and keep it shared.
            self._paths = np.array([os.fsencode(path) for path in part.paths])
        else:
            self._part = part

    def __getitem__(self, item: Item) -> _Read:
        first, seed = item
        broken: list[Broken] = []
        for index in range(first, first + self._tries):
            index %= len(self._labels)
            kept = self._open(index, broken)
            if kept is not None:
                fit = self._transform.fit(kept) if self._zoom is None else self._zoom(kept, seed)
                return _Read(as_pixels(fit), int(self._labels[index]), broken)
        return _Read(None, -1, broken)

    def _open(self, index: int, broken: list[Broken]) -> Image.Image | None:
        """A picture as it is kept; None where it cannot be read, and ``broken`` says why."""
        if self._part is None:
            path = os.fsdecode(self._paths[index])
            try:
                return self._transform.open(path)
            except Exception as error:
                broken.append((path, reason(error)))
                return None
        if isinstance(self._part, Pictures):  # the broken ones were named when they were read
            return self._part.image(index)
        assert not isinstance(self._part, Files)
        return as_image(self._part.pixels[index])


@dataclass(frozen=True)
class _Made:
    """What a worker made of one batch."""

    pixels: Tensor  # uint8 [B, C, H, W]
    labels: Tensor  # int64 [B]
    left: Tensor | None  # int64 [B]: their places in the batch, where some could not be read
    broken: list[Broken]

    def pin_memory(self) -> "_Made":
        """What the loader calls on a GPU, so that copies there need not wait."""
        return _Made(self.pixels.pin_memory(), self.labels.pin_memory(), self.left, self.broken)


@dataclass(frozen=True)
class _Collate:
    input: tuple[int, int, int]

    def __call__(self, items: Sequence[_Read]) -> _Made:
        left = [i for i, item in enumerate(items) if item.pixels is not None]
        pixels = torch.empty((len(left), *self.input), dtype=torch.uint8)
        for row, i in zip(pixels, left, strict=True):
            row.copy_(items[i].pixels)
        labels = torch.tensor([items[i].label for i in left], dtype=torch.int64)
        broken = [named for item in items for named in item.broken]
        some = None if len(left) == len(items) else torch.tensor(left, dtype=torch.int64)
        return _Made(pixels, labels, some, broken)
