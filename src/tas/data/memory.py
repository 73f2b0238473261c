"""Batches of pictures in memory: they move to the device once, and are augmented there, whole."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from .parts import Data, Images
from .schedule import Augment, Batch, Batches, Schedule, tries
from .vary import Shift


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
        self._shift = Shift.of(data, augment)
        self._instead: Tensor | None = None
        if part.broken is not None and part.broken.any():
            self._instead = _instead(part.broken, tries(augment, len(part)))

    def __iter__(self) -> Iterator[Batch]:
        generator, count = self._schedule.generator(self._epoch), self._schedule.count
        order = self._schedule.order(generator)
        moves = self._shift.draw(count, generator, self._device)
        shares: Iterable[slice | Tensor] = self._schedule.shares()
        if self._instead is not None:
            order = self._instead[order]
            shares = _left(order >= 0, self._schedule)
        order = order.to(self._device)
        for share in shares:
            chosen = order[share]
            pixels = self._pixels.index_select(0, chosen)  # uint8 [B, C, H, W]
            pixels = self._shift(pixels, moves.of(share))
            yield self._normalise(pixels), self._labels.index_select(0, chosen)


def _left(good: Tensor, schedule: Schedule) -> Iterator[Tensor]:
    """The shares without those pictures of the epoch, in its order, that are not ``good``."""
    places = torch.arange(len(good))
    for share in schedule.shares():
        if good[share].any() or not len(good[share]):  # nothing but broken ones make no batch
            yield places[share][good[share]]


def _instead(broken: Tensor, tries: int) -> Tensor:
    """int64 [N]: the picture itself or, where it is broken, the first good one of ``tries`` from it
    on; -1 where there is none."""
    count = len(broken)
    good, numbers = (~broken).nonzero().squeeze(1), torch.arange(count)
    if not len(good):
        return torch.full((count,), -1)
    following = good[torch.searchsorted(good, numbers) % len(good)]
    return torch.where((following - numbers) % count < tries, following, -1)
