"""From picture files to pixels: any format, any size, decoded in parallel."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from ..errors import DataError, InputError
from ..processes import on_this_machine

Image.init()
# Pictures are data, never code: Pillow hands EPS to Ghostscript, a programming language. The
# others are not pictures, or need a handler that Pillow does not bring.
_REFUSED = {"EPS", "MPEG", "BUFR", "GRIB", "HDF5", "WMF"}
_FORMATS = tuple(name for name in Image.ID if name not in _REFUSED)
SUFFIXES = frozenset(
    suffix for suffix, name in Image.registered_extensions().items() if name in _FORMATS
)
_GREY = ("1", "L", "I", "F")  # and I;16, in several byte orders

Pixels = npt.NDArray[np.uint8]


def cpus() -> int:
    """The number of CPU cores that this process may use, its share where several use them."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return max(1, cores // on_this_machine())


def check_workers(workers: int | None) -> None:
    """Raise ``InputError`` where there are to be less than no workers."""
    if workers is not None and workers < 0:
        raise InputError(f"--workers {workers}: give 0 or more, or leave it out: one per CPU core")


def probe(path: str) -> tuple[bool, tuple[int, int]]:
    """Whether a picture is grey, and its height and width, from the file's first bytes."""
    with Image.open(path, formats=_FORMATS) as image:
        return image.mode.startswith(_GREY), (image.height, image.width)


def read_picture(path: str, channels: int, size: tuple[int, int] | None = None) -> Pixels:
    """Decode one picture as uint8 [H, W, C], upright, grey for 1 channel and RGB for 3.

    With ``size`` (height, width) the picture is scaled to cover it and cut to it around its
    centre. Raises whatever Pillow raises on a broken file, which is nearly anything.
    """
    with Image.open(path, formats=_FORMATS) as opened:
        if size is not None:
            # A JPEG can be decoded at 1/2, 1/4 or 1/8: at twice the wanted size no eye sees it.
            opened.draft(None, (2 * size[1], 2 * size[0]))
        image: Image.Image = opened
        ImageOps.exif_transpose(image, in_place=True)  # a camera held upright says so in the file
        if image.mode.startswith("I"):  # 16 bits a pixel, where Pillow clips instead of scaling
            image = Image.fromarray((np.asarray(image) // 256).astype(np.uint8))
        mode = "L" if channels == 1 else "RGB"
        if image.mode != mode:
            image = image.convert(mode)
        if size is not None and image.size != (size[1], size[0]):
            image = ImageOps.fit(image, (size[1], size[0]), Image.Resampling.BILINEAR)
        pixels = np.asarray(image)
    return pixels[:, :, None] if channels == 1 else pixels


def reason(error: Exception) -> str:
    """What is wrong with a picture, in a few words (Pillow's own text repeats the whole path)."""
    if isinstance(error, UnidentifiedImageError):
        return "not a picture"
    return " ".join(str(error).split())[:80] or type(error).__name__


class Skipped:
    """The pictures that could not be read: named, counted, and at some point too many."""

    def __init__(self, total: int) -> None:
        self.limit = max(10, total // 20)
        self.names: dict[str, str] = {}  # path -> what is wrong with it

    def add(self, path: str, why: str) -> None:
        """Count a picture. Raises ``DataError`` beyond 5 % of all (and beyond 10)."""
        self.names[path] = why
        if len(self.names) > self.limit:
            raise DataError(f"too many pictures cannot be read, {self}: is this the right folder?")

    def __str__(self) -> str:
        first = ", ".join(f"{path} ({why})" for path, why in list(self.names.items())[:3])
        rest = len(self.names) - 3
        return f"{len(self.names)}: {first}" + (f" and {rest} more" if rest > 0 else "")


def read_pictures(
    paths: Sequence[str],
    input: tuple[int, int, int],
    skipped: Skipped,
    *,
    workers: int,
    progress: bool,
    label: str,
) -> tuple[Tensor, Tensor]:
    """Decode ``paths`` in ``workers`` threads (Pillow decodes without Python's lock).

    Returns the pixels uint8 [N, C, H, W] and int64 [N], the position in ``paths`` of each: broken
    pictures are left out and counted in ``skipped``, which raises where they are too many.
    """
    channels, *size = input
    pixels = torch.empty((len(paths), *input), dtype=torch.uint8)
    target = pixels.numpy()

    def read(task: range) -> tuple[int, list[tuple[int, str]]]:
        broken = []
        for i in task:
            try:
                picture = read_picture(paths[i], channels, (size[0], size[1]))
            except Exception as error:
                broken.append((i, reason(error)))
            else:
                target[i] = picture.transpose(2, 0, 1)
        return len(task), broken

    good = torch.ones(len(paths), dtype=torch.bool)
    workers = max(1, workers)
    # Small pictures decode in microseconds, so a thread takes many at a time; but all get some.
    step = max(1, min(64, len(paths) // (8 * workers)))
    with ThreadPoolExecutor(workers) as pool, _bar(label, len(paths), progress) as advance:
        starts = range(0, len(paths), step)
        tasks = [pool.submit(read, range(i, min(i + step, len(paths)))) for i in starts]
        try:
            for task in as_completed(tasks):
                done, broken = task.result()
                for i, why in broken:
                    good[i] = False
                    skipped.add(paths[i], why)
                advance(done)
        except BaseException:  # Ctrl-C as well: do not decode the rest first
            pool.shutdown(cancel_futures=True)
            raise
    kept = good.nonzero().squeeze(1)
    return (pixels if len(kept) == len(paths) else pixels[kept]), kept


@contextmanager
def _bar(label: str, total: int, show: bool) -> Iterator[Callable[[int], None]]:
    """A progress bar with the time left, on a terminal alone."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns,
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not (show and console.is_terminal),
    ) as progress:
        task = progress.add_task(label, total=total)
        yield lambda done: progress.advance(task, done)
