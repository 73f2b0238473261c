"""How training pictures are varied: small ones whole batches at once, large ones one by one."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

from .parts import Data
from .schedule import Augment


@dataclass(frozen=True)
class Moves:
    """Where each picture of an epoch is cropped, and whether it is mirrored."""

    top: Tensor  # int64 [N], in 0..2 * padding
    left: Tensor  # int64 [N]
    mirrored: Tensor  # bool [N]
    seeds: Tensor  # int64 [N], on the CPU: of what else is drawn for each; [0] where nothing is

    def of(self, share: slice | Tensor) -> "Moves":
        seeds = self.seeds[share] if len(self.seeds) else self.seeds
        return Moves(self.top[share], self.left[share], self.mirrored[share], seeds)


@dataclass(frozen=True)
class Shift:
    """Moves pictures by up to ``padding`` pixels, black coming in, mirrors half of them, and
    changes each by RandAugment of a magnitude above 0."""

    padding: int = 0
    flip: bool = False
    randaugment: int = 0

    @classmethod
    def of(cls, data: Data, augment: Augment | None) -> "Shift":
        """What ``augment`` means for ``data``; None leaves pictures as they are."""
        if augment is None:
            return cls()
        padding = data.input[1] // 8 if augment.padding is None else augment.padding
        return cls(padding, _flip(data, augment), augment.randaugment)

    def draw(self, count: int, generator: torch.Generator, device: torch.device) -> Moves:
        """The moves of an epoch, drawn on the CPU, in the order of the epoch."""
        corners = torch.randint(2 * self.padding + 1, (2, count), generator=generator)
        mirrored = torch.rand(count, generator=generator) < 0.5
        top, left = corners.to(device)
        some = count if self.randaugment else 0
        seeds = torch.randint(2**62, (some,), generator=generator)
        return Moves(top, left, mirrored.to(device), seeds)

    def __call__(self, pixels: Tensor, moves: Moves) -> Tensor:
        """``pixels`` uint8 [B, C, H, W], each picture moved as it is to be."""
        if self.padding:
            pixels = shift(pixels, self.padding, moves.top, moves.left)
        if self.flip:
            pixels = torch.where(moves.mirrored.view(-1, 1, 1, 1), pixels.flip(-1), pixels)
        if self.randaugment:
            pixels = self._changed(pixels, moves.seeds.tolist())
        return pixels

    def _changed(self, pixels: Tensor, seeds: list[int]) -> Tensor:
        """Each picture by random operations of its own."""
        change, changed = v2.RandAugment(magnitude=self.randaugment), []
        with torch.random.fork_rng(devices=[]):
            for picture, seed in zip(pixels, seeds, strict=True):
                torch.default_generator.manual_seed(seed)
                changed.append(change(picture))
        return torch.stack(changed) if changed else pixels


def shift(pixels: Tensor, padding: int, top: Tensor, left: Tensor) -> Tensor:
    """Pad uint8 [B, C, H, W] with black and crop each picture back at its own corner.

    ``top`` and ``left`` are int64 [B] in 0..2 * padding. The border is 0 before normalising, as
    in the published CIFAR pipelines (torchvision's ``RandomCrop`` on pictures).
    """
    height, width = pixels.shape[2:]
    padded = F.pad(pixels, (padding,) * 4)
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # [B, C, 2p + 1, 2p + 1, H, W]
    return windows[torch.arange(len(pixels), device=pixels.device), :, top, left]


class Zoom:
    """Cuts a random piece out of a kept picture; the same seed gives the same piece."""

    def __init__(self, data: Data, augment: Augment) -> None:
        transform = data.transform
        self._fit: Callable[[Image.Image], Image.Image] = transform.fit
        steps: list[Callable[[Image.Image], Image.Image]] = []
        if augment.crop:
            how = InterpolationMode(transform.interpolation)
            self._fit = v2.RandomResizedCrop(transform.size, interpolation=how)
        if _flip(data, augment):
            steps += [v2.RandomHorizontalFlip()]
        if augment.randaugment:
            steps += [v2.RandAugment(magnitude=augment.randaugment)]
        elif augment.jitter:
            change = augment.jitter
            steps += [v2.ColorJitter(brightness=change, contrast=change, saturation=change)]
        self._steps = steps

    def __call__(self, kept: Image.Image, seed: int) -> Image.Image:
        # The caller's own random numbers (dropout, say) must not depend on what is loaded.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            image = self._fit(kept)
            for step in self._steps:
                image = step(image)
        return image


def _flip(data: Data, augment: Augment) -> bool:
    return data.flip if augment.flip is None else augment.flip
