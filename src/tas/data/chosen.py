"""Pictures that a user names one by one: files, folders and patterns, in order."""

import glob
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

import torch
from PIL import Image
from torch import Tensor

from ..typed import checked
from .listing import below
from .parts import Files, Images, Part
from .pictures import check_workers, cpus, reason
from .transform import Transform

__all__ = ["Chosen", "chosen_pictures", "read_chosen", "some_pictures"]

Picture: TypeAlias = str | Image.Image
Chosen: TypeAlias = tuple[str, Tensor | str]  # name; uint8 [C, H, W], or why it cannot be read


@checked
def chosen_pictures(given: Sequence[str | Path | Image.Image]) -> list[Picture]:
    """The pictures that are meant, in the order in which they were given.

    >>> from PIL import Image
    >>> from tas.data import chosen_pictures
    >>> for name in ("a.png", "b.png"):
    ...     Image.new("L", (8, 8)).save(name)
    >>> chosen_pictures(["*.png", "lost.png"])
    ['a.png', 'b.png', 'lost.png']

    Of a folder all pictures below it, in order of their names; hidden and other files are passed.
    What is no file and no folder is a pattern (``photos/*.png``, ``photos/**/*.png``). What means
    no picture stays, as the name of a file that is not there.
    """
    found: list[Picture] = []
    for each in given:
        if isinstance(each, Image.Image):
            found.append(each)
            continue
        word = os.fspath(each)
        if not os.path.lexists(word) and (matches := sorted(glob.glob(word, recursive=True))):
            found += [path for match in matches for path in below(match)]
        else:
            found += below(word)
    return found


@checked
def read_chosen(
    pictures: Sequence[Picture],
    transform: Transform,
    *,
    batch_size: int,
    workers: int | None = None,
) -> Iterator[list[Chosen]]:
    """Batches of pictures as the net sees them but for normalising, decoded ahead in threads.

    >>> import tas
    >>> from PIL import Image
    >>> from tas.data import read_chosen
    >>> transform = tas.data.load("digits").transform
    >>> [[(_, pixels)]] = read_chosen([Image.new("L", (32, 32))], transform, batch_size=4)
    >>> pixels.shape
    torch.Size([1, 8, 8])
    """
    check_workers(workers)

    def read(picture: Picture) -> Tensor | str:
        try:
            if isinstance(picture, Image.Image):
                return transform.pixels(picture)
            if os.path.isdir(picture):
                return "a folder without pictures"
            return transform.read(picture)
        except FileNotFoundError:
            return "no such file"
        except Exception as error:  # whatever Pillow raises on a broken file
            return reason(error)

    pool = ThreadPoolExecutor(max(1, cpus() if workers is None else workers))
    try:
        yield from _ahead(pool, read, pictures, batch_size)
    finally:  # Ctrl-C as well, and a caller that stops early: do not decode the rest
        pool.shutdown(cancel_futures=True)


@checked
def some_pictures(part: Part, transform: Transform, most: int) -> Images:
    """At most so many pictures of a part, from all over it, as a test shows them; none is broken.

    >>> import tas
    >>> data = tas.data.load("digits")
    >>> tas.data.some_pictures(data.train, data.transform, 5).pixels.shape
    torch.Size([5, 1, 8, 8])
    """
    step = max(1, -(-len(part) // most))
    part = part.take(torch.arange(0, len(part), step))
    if isinstance(part, Images):
        return part if part.broken is None else part.take((~part.broken).nonzero().squeeze(1))
    images = part.paths if isinstance(part, Files) else map(part.image, range(len(part)))
    there = [(image, label) for image, label in zip(images, part.labels, strict=True) if image]
    batches = read_chosen([image for image, _ in there], transform, batch_size=64)
    read = [content for batch in batches for _, content in batch]
    found = [
        (content, label)
        for content, (_, label) in zip(read, there, strict=True)
        if isinstance(content, Tensor)
    ]
    if not found:
        return Images(torch.empty(0, *transform.input, dtype=torch.uint8), part.labels[:0])
    return Images(torch.stack([pixels for pixels, _ in found]), torch.stack([n for _, n in found]))


def _ahead(
    pool: ThreadPoolExecutor,
    read: Callable[[Picture], Tensor | str],
    pictures: Sequence[Picture],
    batch_size: int,
) -> Iterator[list[Chosen]]:
    """One batch is read while the one before it is computed."""
    waiting: deque[list[tuple[str, Future[Tensor | str]]]] = deque()
    for start in range(0, len(pictures), batch_size):
        batch = pictures[start : start + batch_size]
        waiting.append([(_name(picture), pool.submit(read, picture)) for picture in batch])
        if len(waiting) > 1:
            yield [(name, future.result()) for name, future in waiting.popleft()]
    while waiting:
        yield [(name, future.result()) for name, future in waiting.popleft()]


def _name(picture: Picture) -> str:
    return str(getattr(picture, "filename", "")) if isinstance(picture, Image.Image) else picture
