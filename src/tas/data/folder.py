"""Any folder of images ``PATH/{train,val|test}/CLASS/*``, or ``PATH/CLASS/*`` without a split; or
of pictures without labels, at any depth."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import torch
from torch import Tensor

from ..errors import DataError
from ..processes import agreed, on_this_machine
from .classes import some
from .listing import Listing, list_parts, list_unlabelled
from .parts import Data, Files, Images, Part, Pictures, sample_step, statistics
from .pictures import Skipped, probe, read_pictures
from .transform import SMALL, Colour, Transform, Vary, as_pixels, as_rows

Colours = tuple[tuple[float, ...], tuple[float, ...]]  # mean and deviation per channel, in 0..1

_LARGE = 224  # pixels: sets of small pictures keep their size, all others become 224 x 224
_PROBED = 1_000  # pictures that tell the size and the colours of all
_IN_MEMORY_BYTES = 2 * 2**30


@dataclass(frozen=True)
class Options:
    """How a folder is read; ``tas.data.load`` says what each means."""

    image_size: int | None
    workers: int
    seed: int
    progress: bool
    in_memory: bool | None
    vary: Vary | None
    transform: Transform | None
    class_names: Sequence[str] | None
    unlabelled: bool = False
    like: Transform | None = None


def load(root: Path, name: str, options: Options, colours: Colours | None = None) -> Data:
    """Load a folder of images. ``colours`` are those of colour pictures; measured if not given.

    Raises ``DataError``: missing or empty, a class without images, classes that differ between
    the parts, too many unreadable pictures.
    """
    lists = list_unlabelled if options.unlabelled else list_parts
    train, test, notes = lists(root, options.seed, options.class_names)
    everything = train.paths + test.paths
    probed = _Probed.of(root, everything)
    transform = options.transform or probed.chosen(options)
    in_memory = options.in_memory
    if in_memory is None:
        needed = len(train) * probed.kept_bytes(transform) + len(test) * math.prod(transform.input)
        free = min(_IN_MEMORY_BYTES, psutil.virtual_memory().available // 4)
        in_memory = agreed(needed * on_this_machine() <= free)

    parts: list[Part] = [Files(tuple(part.paths), part.labels) for part in (train, test)]
    skipped = Skipped(len(everything))
    read = partial(
        read_pictures, skipped=skipped, workers=options.workers, progress=options.progress
    )
    if in_memory:
        zooms = transform.vary == "zoom"
        parts[0] = _kept(train, transform, read) if zooms else _fitted(train, transform, read)
        parts[1] = _fitted(test, transform, read, "reading test")
    if options.transform is None and options.like is None:
        if transform.colour == "grey" or colours is None:
            colours = statistics(_sample(parts[0], transform, read))
        transform = replace(transform, mean=colours[0], std=colours[1])
    if skipped.names:
        notes.append(f"pictures that cannot be read and are left out: {skipped}")
    return Data(
        name=name,
        class_names=train.class_names,
        transform=transform,
        train=parts[0],
        test=parts[1],
        flip=True,
        notes=tuple(notes),
        labelled=not options.unlabelled,
    )


Read = partial[Tensor]  # ``read_pictures``, with all that is the same for all parts


def _fitted(
    listing: Listing, transform: Transform, read: Read, label: str = "reading train"
) -> Images:
    """Pictures in memory as the net sees them."""
    pixels = torch.zeros((len(listing), *transform.input), dtype=torch.uint8)
    broken = read(listing.paths, transform.read, pixels.numpy().__setitem__, label=label)
    _check_classes_left(listing, broken)
    return Images(pixels, listing.labels, broken if broken.any() else None)


def _kept(listing: Listing, transform: Transform, read: Read) -> Pictures:
    """Pictures in memory to be zoomed."""
    pictures: list[Tensor | None] = [None] * len(listing)

    def kept(path: str) -> Tensor:
        return as_rows(transform.open(path))

    broken = read(listing.paths, kept, pictures.__setitem__, label="reading train")
    _check_classes_left(listing, broken)
    return Pictures.of(pictures, listing.labels)


def _sample(part: Part, transform: Transform, read: Read) -> Tensor:
    """uint8 [N, C, H, W]: some of the training pictures, the same ones wherever they are kept."""
    step = sample_step(len(part), math.prod(transform.input))
    part = part.take(torch.arange(0, len(part), step))
    if isinstance(part, Pictures):
        images = (part.image(i) for i in range(len(part)))
        shown = [as_pixels(transform.fit(image)) for image in images if image is not None]
        pixels = torch.stack(shown) if shown else torch.empty(0)
    elif isinstance(part, Images):
        pixels = part.pixels if part.broken is None else part.pixels[~part.broken]
    else:
        pixels = torch.zeros((len(part), *transform.input), dtype=torch.uint8)
        place = pixels.numpy().__setitem__
        pixels = pixels[~read(part.paths, transform.read, place, label="measuring colours")]
    if not len(pixels):
        raise DataError(f"none of {len(part)} pictures can be read to measure their colours")
    return pixels


@dataclass(frozen=True)
class _Probed:
    """What the first bytes of some of the pictures tell about all."""

    colour: Colour
    sizes: Counter[tuple[int, int]]  # height, width

    @classmethod
    def of(cls, root: Path, paths: Sequence[str]) -> "_Probed":
        greys, sizes = [], Counter[tuple[int, int]]()
        for path in paths[:: -(-len(paths) // _PROBED)]:
            try:
                grey, size = probe(path)
            except Exception:  # counted and named when the pictures are read
                continue
            greys.append(grey)
            sizes[size] += 1
        if not greys:
            raise DataError(f"no picture in '{root}' can be read, e.g. '{paths[0]}'")
        return cls("grey" if all(greys) else "rgb", sizes)

    def chosen(self, options: Options) -> Transform:
        """The transform where nobody has chosen one, the colours not measured yet."""
        small = all(min(size) <= SMALL for size in self.sizes)
        large = (_LARGE, _LARGE) if options.like is None else options.like.size
        size = self.sizes.most_common(1)[0][0] if small else large
        if options.image_size is not None:
            size = (options.image_size, options.image_size)
        none = (0.0,) * (1 if self.colour == "grey" else 3)
        ones = tuple(1.0 for _ in none)
        chosen = Transform.of_size(self.colour, size, none, ones, options.vary)
        return chosen if options.like is None else chosen.like(options.like)

    def kept_bytes(self, transform: Transform) -> int:
        """How many bytes a picture takes in memory, on average, to train on."""
        sides = [(transform.kept_size(*size), count) for size, count in self.sizes.items()]
        pixels = sum(height * width * count for (height, width), count in sides)
        return transform.channels * pixels // self.sizes.total()


def _check_classes_left(listing: Listing, broken: Tensor) -> None:
    if broken.all():
        raise DataError(f"none of the pictures can be read, e.g. '{listing.paths[0]}'")
    classes = len(listing.class_names)
    had, left = (ls.bincount(minlength=classes) for ls in (listing.labels, listing.labels[~broken]))
    gone = [listing.class_names[i] for i in ((had > 0) & (left == 0)).nonzero().squeeze(1).tolist()]
    if gone:
        raise DataError(f"none of the pictures of {some(gone)} can be read")
