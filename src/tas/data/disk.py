"""Batches of pictures on disk, for sets like ImageNet: worker processes decode and augment."""

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler
from torchvision.transforms import v2

from .parts import Data, Files
from .pictures import Skipped, read_picture, reason
from .schedule import Augment, Batch, Batches, Schedule

REPLACEMENTS = 100  # how many pictures in a row are tried

_log = logging.getLogger(__name__)

Item = tuple[int, int]  # which picture, and the seed of its augmentation
Broken = tuple[str, str]  # path, what is wrong with it


class FileBatches(Batches):
    """``tas.data.batches`` of ``Files``. Broken pictures are left out.

    To measure, their batch is smaller. To train, the next picture that can be read takes the place
    of each: batches stay as large as they are to be, on all processes. They are named in a warning
    of the log after the epoch that met them, and counted in ``skipped``; ``DataError`` stops the
    epoch where they are more than 5 % (and more than 10).
    """

    def __init__(
        self,
        data: Data,
        part: Files,
        schedule: Schedule,
        augment: Augment | None,
        device: torch.device,
        workers: int,
    ) -> None:
        super().__init__(data, schedule, device)
        self.skipped = Skipped(len(part))
        if augment is not None and augment.flip is None:
            augment = replace(augment, flip=data.flip)
        self._sampler = _Sampler(schedule)
        self._loader = DataLoader(
            _Pictures(part, data.input, augment),
            batch_sampler=self._sampler,
            num_workers=workers,
            collate_fn=_collate,
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
        for pixels, labels, broken in self._loader:
            for path, why in broken:
                self.skipped.add(path, why)
            if len(labels):
                pixels = pixels.to(self._device, non_blocking=True)
                yield self._normalise(pixels), labels.to(self._device, non_blocking=True)
        if len(self.skipped.names) > known:
            _log.warning("pictures that cannot be read and are left out: %s", self.skipped)


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


class _Pictures(Dataset[_Read]):
    """Decoded, varied and cut to size in a worker process."""

    def __init__(self, part: Files, input: tuple[int, int, int], augment: Augment | None) -> None:
        # One array instead of a million texts: workers share its memory, and keep it shared.
        self._paths = np.array([os.fsencode(path) for path in part.paths])
        self._labels = part.labels.numpy()
        self._channels = input[0]
        self._tries = 1 if augment is None else min(REPLACEMENTS, len(part))
        self._transform = v2.Compose(_transforms(input[1], augment))

    def __getitem__(self, item: Item) -> _Read:
        first, seed = item
        broken = []
        for index in range(first, first + self._tries):
            index %= len(self._paths)
            path = os.fsdecode(self._paths[index])
            try:
                picture = read_picture(path, self._channels)
            except Exception as error:
                broken.append((path, reason(error)))
                continue
            # The caller's own random numbers (dropout, say) must not depend on what is loaded.
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(seed)
                pixels = self._transform(torch.tensor(picture).permute(2, 0, 1))
            return _Read(pixels, int(self._labels[index]), broken)
        return _Read(None, -1, broken)


def _transforms(size: int, augment: Augment | None) -> list[Any]:
    """From a decoded picture to ``size`` x ``size`` pixels."""
    steps: list[Any] = []
    if augment is not None and augment.crop:
        steps += [v2.RandomResizedCrop(size, antialias=True)]
    else:
        steps += [v2.Resize(int(size * 256 / 224), antialias=True), v2.CenterCrop(size)]
    if augment is not None and augment.flip:
        steps += [v2.RandomHorizontalFlip()]
    if augment is not None and augment.jitter:
        change = augment.jitter
        steps += [v2.ColorJitter(brightness=change, contrast=change, saturation=change)]
    return steps


def _collate(items: Sequence[_Read]) -> tuple[Tensor, Tensor, list[Broken]]:
    good = [(item.pixels, item.label) for item in items if item.pixels is not None]
    broken = [named for item in items for named in item.broken]
    pixels = torch.stack([picture for picture, _ in good]) if good else torch.empty(0)
    return pixels, torch.tensor([label for _, label in good], dtype=torch.int64), broken
