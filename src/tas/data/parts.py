"""What a data set is here: pictures with labels, in memory or on disk, and the facts about them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from ..typed import checked
from .transform import Transform

NAMES = ("digits", "cifar10", "cifar100", "fashion-mnist", "imagenet")


@dataclass(frozen=True, eq=False)
class Images:
    """A part of a data set that is held in memory, as the net sees it but for normalising.

    >>> import tas, torch
    >>> images = tas.data.Images(torch.zeros(4, 3, 32, 32, dtype=torch.uint8), torch.arange(4))
    >>> len(images), images.take([2, 0]).labels
    (4, tensor([2, 0]))
    """

    pixels: Tensor  # uint8 [N, C, H, W]
    labels: Tensor  # int64 [N]
    broken: Tensor | None = None  # bool [N]: could not be read, and is in no batch

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Tensor | Sequence[int]) -> "Images":
        """The pictures at ``indices``, in that order."""
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        broken = None if self.broken is None else self.broken[chosen]
        return Images(self.pixels[chosen], self.labels[chosen], broken)


@dataclass(frozen=True, eq=False)
class Pictures:
    """A part of a data set that is held in memory, decoded, each picture at its own size.

    >>> import tas, torch
    >>> large, wide = torch.zeros(300, 200, 3, dtype=torch.uint8), torch.zeros(90, 160, 3).byte()
    >>> pictures = tas.data.Pictures.of([large, wide], torch.tensor([0, 1]))
    >>> pictures.image(1).size  # width, height
    (160, 90)

    These are large ones to train on: each time another piece of them is cut out.
    """

    content: Tensor  # uint8 [all bytes]: the rows of each picture, [H, W, C]
    starts: Tensor  # int64 [N]: where each begins
    shapes: Tensor  # int64 [N, 3]: H, W, C; 0 where it could not be read
    labels: Tensor  # int64 [N]

    @classmethod
    def of(cls, pictures: list[Tensor | None], labels: Tensor) -> "Pictures":
        """Of uint8 [H, W, C] each, None where one could not be read. Empties the list: it and what
        is made of it need not fit in memory together."""
        shapes = [(0, 0, 0) if picture is None else tuple(picture.shape) for picture in pictures]
        sizes = torch.tensor(shapes, dtype=torch.int64).view(-1, 3)
        ends = sizes.prod(1).cumsum(0)
        content = torch.empty(int(ends[-1]) if len(ends) else 0, dtype=torch.uint8)
        starts = ends - sizes.prod(1)
        for i, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
            picture, pictures[i] = pictures[i], None
            if picture is not None:
                content[start:end] = picture.flatten()
        return cls(content, starts, sizes, labels)

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Tensor | Sequence[int]) -> "Pictures":
        """The pictures at ``indices``, in that order; their bytes stay where they are."""
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        return Pictures(self.content, self.starts[chosen], self.shapes[chosen], self.labels[chosen])

    def image(self, index: int) -> Image.Image | None:
        """One of them; None where it could not be read."""
        height, width, channels = self.shapes[index].tolist()
        if not height:
            return None
        start = int(self.starts[index])
        rows = self.content[start : start + height * width * channels].view(height, width, channels)
        return Image.fromarray((rows.squeeze(2) if channels == 1 else rows).numpy())


@dataclass(frozen=True, eq=False)
class Files:
    """A part of a data set that stays on disk and is decoded batch by batch.

    >>> import tas, torch
    >>> files = tas.data.Files(("cat/1.jpg", "dog/1.jpg"), torch.tensor([0, 1]))
    >>> files.take([1]).paths
    ('dog/1.jpg',)
    """

    paths: tuple[str, ...]
    labels: Tensor  # int64 [N]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Tensor | Sequence[int]) -> "Files":
        """The pictures at ``indices``, in that order."""
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        return Files(tuple(self.paths[i] for i in chosen.tolist()), self.labels[chosen])


Part = Images | Pictures | Files


@checked
@dataclass(frozen=True, eq=False)
class Data:
    """A data set, ready to be cut into batches.

    >>> import tas
    >>> data = tas.data.load("digits")
    >>> data.classes, data.input, len(data.train), len(data.test)
    (10, (1, 8, 8), 1438, 359)
    >>> data.class_names[:3], data.flip
    (('0', '1', '2'), False)

    What a model needs of it to be shown other pictures is ``transform.to_dict()`` and
    ``class_names``, both ready for JSON.
    """

    name: str  # one of NAMES, or the folder's path as given
    class_names: tuple[str, ...]  # label i is the i-th
    transform: Transform
    train: Part
    test: Part
    flip: bool  # may a picture be mirrored without changing its class
    notes: tuple[str, ...] = ()  # what a reader of a result must know
    labelled: bool = True  # else labels tell nothing, and classes are those of the net that answers

    @property
    def classes(self) -> int:
        return len(self.class_names)

    @property
    def input(self) -> tuple[int, int, int]:
        """C, H, W."""
        return self.transform.input

    @property
    def mean(self) -> tuple[float, ...]:
        """Per channel, of pixels in 0..1."""
        return self.transform.mean

    @property
    def std(self) -> tuple[float, ...]:
        return self.transform.std

    @property
    def absent(self) -> tuple[str, ...]:
        """The classes of which there is no picture to train on."""
        if not self.labelled:
            return ()
        counts = self.train.labels.bincount(minlength=self.classes).tolist()
        return tuple(n for n, count in zip(self.class_names, counts, strict=True) if not count)


def sample_step(count: int, values: int) -> int:
    """Every how many of ``count`` pictures, of ``values`` numbers each, colours are measured."""
    return max(1, -(-count // 10_000), -(-count * values // 2**27))


def statistics(pixels: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel, in 0..1, of uint8 [N, C, H, W].

    Counted, not summed, and rounded like the constants that papers print: the same on every
    machine. A channel that never changes gets the deviation 1, so that it can be divided by.
    """
    levels = torch.arange(256, dtype=torch.float64) / 255
    means, deviations = [], []
    for channel in pixels.unbind(1):
        counts = channel.flatten().bincount(minlength=256).double()
        mean = float(counts @ levels / counts.sum())
        variance = float(counts @ (levels - mean).square() / counts.sum())
        means.append(round(mean, 4))
        deviations.append(round(variance**0.5, 4) or 1.0)
    return tuple(means), tuple(deviations)


def measured(pixels: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """``statistics`` of at most 10,000 of the pictures."""
    return statistics(pixels[:: sample_step(len(pixels), pixels[0].numel())])
