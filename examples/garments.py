"""Scenes of garments: pictures of Fashion-MNIST, pasted on a canvas at any place and size.

What the examples of segmentation and detection learn: which class every pixel is of, and where the
garments are. The garments of the test scenes are others than those that are trained on.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

import tas

CLASSES = 10


@dataclass(frozen=True)
class Scenes:
    """Pictures, and what is on them.

    Attributes:
        images: [N, 1, S, S], in units of their spread.
        masks: [N, S, S], the class of every pixel from 1 on, 0 where there is none.
        boxes: for every picture [K, 4], left, top, right and bottom of what can be seen of each.
        labels: for every picture [K], the classes from 1 on.
    """

    images: Tensor
    masks: Tensor
    boxes: list[Tensor]
    labels: list[Tensor]

    def __len__(self) -> int:
        return len(self.images)

    def batches(self, size: int, seed: int | None = None):
        """Images, masks, and for every image a dict of its boxes and labels; shuffled by seed."""
        order = torch.arange(len(self))
        if seed is not None:
            order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))
        for rows in order.split(size):
            found = [{"boxes": self.boxes[i], "labels": self.labels[i]} for i in rows.tolist()]
            yield self.images[rows], self.masks[rows], found


def compose(garments, count: int, side: int = 64, most: int = 4, seed: int = 0) -> Scenes:
    """Scenes of 1 to ``most`` garments each, on a background of blurred noise.

    Args:
        garments: pictures with labels from 0 on, as ``tas.data.load("fashion-mnist").train``.
        side: of the canvas, in pixels; a garment takes a third to two thirds of it.
    """
    draw = torch.Generator().manual_seed(seed)
    images, masks, boxes, labels = [], [], [], []
    for _ in range(count):
        coarse = torch.rand(1, 1, side // 8, side // 8, generator=draw)
        canvas = 0.5 * F.interpolate(coarse, (side, side), mode="bilinear")[0, 0]
        canvas += 0.1 * torch.rand(side, side, generator=draw)
        owner = torch.zeros(side, side, dtype=torch.long)  # which garment a pixel is of
        kinds = [0]
        for number in range(1, int(torch.randint(1, most + 1, (), generator=draw)) + 1):
            which = int(torch.randint(len(garments), (), generator=draw))
            size = int(torch.randint(side // 3, side * 2 // 3, (), generator=draw))
            top, left = torch.randint(side - size, (2,), generator=draw).tolist()
            picture = garments.pixels[which][None, :1].float() / 255
            picture = F.interpolate(picture, (size, size), mode="bilinear")[0, 0]
            place = slice(top, top + size), slice(left, left + size)
            seen = picture > 0.1
            bright = 0.5 + 0.5 * float(torch.rand((), generator=draw))
            canvas[place] = torch.where(seen, bright * picture, canvas[place])
            owner[place][seen] = number
            kinds.append(int(garments.labels[which]) + 1)
        seen = [n for n in range(1, len(kinds)) if (owner == n).sum() >= 16]  # not all covered
        images.append(canvas[None])
        masks.append(torch.tensor(kinds)[owner])
        boxes.append(torch.tensor([box_of(owner == n) for n in seen]).view(-1, 4))
        labels.append(torch.tensor([kinds[n] for n in seen]))
    return Scenes((torch.stack(images) - 0.3) / 0.3, torch.stack(masks), boxes, labels)


def box_of(inside: Tensor) -> list[float]:
    """Left, top, right and bottom of what is true of [S, S]."""
    rows, columns = inside.any(1).nonzero(), inside.any(0).nonzero()
    edges = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    return [float(edge) for edge in edges]


def load(train: int, test: int, side: int, **where) -> tuple[Scenes, Scenes]:
    """Scenes to train and to test on; ``where`` is as in ``tas.data.load``."""
    garments = tas.data.load(progress=False, **where)
    return compose(garments.train, train, side, seed=1), compose(garments.test, test, side, seed=2)
