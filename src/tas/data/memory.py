"""Batches of pictures in memory: they move to the device once, and are augmented there, whole."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from .parts import Data, Images
from .schedule import Augment, Batch, Batches, Schedule


class ImageBatches(Batches):
    """``tas.data.batches`` of ``Images``. Nothing waits for the device within an epoch."""

    def __init__(
        self,
        data: Data,
        part: Images,
        schedule: Schedule,
        augment: Augment | None,
        device: torch.device,
    ) -> None:
        super().__init__(data, schedule, device)
        self._pixels = part.pixels.to(device)
        self._labels = part.labels.to(device)
        self._padding, self._flip = 0, False
        if augment is not None:
            self._padding = data.input[1] // 8 if augment.padding is None else augment.padding
            self._flip = data.flip if augment.flip is None else augment.flip

    def __iter__(self) -> Iterator[Batch]:
        generator, count = self._schedule.generator(self._epoch), self._schedule.count
        order = self._schedule.order(generator).to(self._device)
        corners = torch.randint(2 * self._padding + 1, (2, count), generator=generator)
        top, left = corners.to(self._device)
        mirrored = torch.rand(count, generator=generator) < 0.5
        mirrored = mirrored.view(-1, 1, 1, 1).to(self._device)
        for share in self._schedule.shares():
            chosen = order[share]
            pixels = self._pixels.index_select(0, chosen)  # uint8 [B, C, H, W]
            if self._padding:
                pixels = shift(pixels, self._padding, top[share], left[share])
            if self._flip:
                pixels = torch.where(mirrored[share], pixels.flip(-1), pixels)
            yield self._normalise(pixels), self._labels.index_select(0, chosen)


def shift(pixels: Tensor, padding: int, top: Tensor, left: Tensor) -> Tensor:
    """Pad uint8 [B, C, H, W] with black and crop each picture back at its own corner.

    ``top`` and ``left`` are int64 [B] in 0..2 * padding. The border is 0 before normalising, as
    in the published CIFAR pipelines (torchvision's ``RandomCrop`` on pictures).
    """
    height, width = pixels.shape[2:]
    padded = F.pad(pixels, (padding,) * 4)
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # [B, C, 2p + 1, 2p + 1, H, W]
    return windows[torch.arange(len(pixels), device=pixels.device), :, top, left]
