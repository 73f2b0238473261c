"""From picture files to pixels: any format, any size, decoded in parallel."""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from ..errors import DataError, InputError, quoted, shown
from ..processes import on_this_machine
from ..runs import is_quiet

Image.init()
# Pictures are data, never code: Pillow hands EPS to Ghostscript, a programming language. The
# others are not pictures, or need a handler that Pillow does not bring.
_REFUSED = {"EPS", "MPEG", "BUFR", "GRIB", "HDF5", "WMF"}
_FORMATS = tuple(name for name in Image.ID if name not in _REFUSED)
SUFFIXES = frozenset(
    suffix for suffix, name in Image.registered_extensions().items() if name in _FORMATS
)
MOST_WORKERS = 1_000
_GREY = ("1", "L", "I", "F")  # and I;16, in several byte orders


def cpus() -> int:
    """The number of CPU cores that this process may use, its share where several use them."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return max(1, cores // on_this_machine())


def check_workers(workers: int | None) -> None:
    """Raise ``InputError`` where there are to be less than no workers."""
    if workers is not None and not 0 <= workers <= MOST_WORKERS:
        raise InputError(
            f"--workers {quoted(workers)}: give 0 or more, at most {MOST_WORKERS:,}, or leave it "
            "out for one per CPU core"
        )


def probe(path: str) -> tuple[bool, tuple[int, int]]:
    """Whether a picture is grey, and its height and width, from the file's first bytes."""
    with Image.open(path, formats=_FORMATS) as image:
        return image.mode.startswith(_GREY), (image.height, image.width)


def open_picture(path: str | Path, colour: str, enough: tuple[int, int]) -> Image.Image:
    """Decode one picture, upright, in ``colour`` ("grey" or "rgb").

    A JPEG that is larger may come at a part of its size, but not below ``enough`` (height, width).
    Raises whatever Pillow raises on a broken file, which is nearly anything.
    """
    with Image.open(path, formats=_FORMATS) as opened:
        opened.draft(None, (enough[1], enough[0]))
        return coloured(opened, colour)


def coloured(image: Image.Image, colour: str) -> Image.Image:
    """A picture upright and in ``colour`` ("grey" or "rgb"), decoded."""
    image = ImageOps.exif_transpose(image)  # a camera held upright says so in the file
    if image.mode.startswith(("I", "F")):  # more than 8 bits a pixel, which Pillow would clip
        image = Image.fromarray(as_bytes(np.asarray(image), image.mode))
    mode = "L" if colour == "grey" else "RGB"
    return image if image.mode == mode else image.convert(mode)


def as_bytes(values: NDArray[Any], mode: str) -> NDArray[np.uint8]:
    """Pixels of 16 bits, 32 bits or in floating point as bytes, by the range of their kind.

    Of 16 bits 0 to 65535; of 32 bits 0 to 255, or 0 to 65535; floats 0 to 1, or 0 to 255. Nothing
    is stretched to what one picture holds: a dark one stays dark. Raises ``ValueError`` where the
    values are of no such range.
    """
    low, high = float(values.min()), float(values.max())
    if not (math.isfinite(low) and math.isfinite(high)) or low < 0:
        raise ValueError(f"values from {low:g} to {high:g}, of no range that is known")
    tops = {"F": (1.0, 255.0), "I": (255.0, 65535.0)}.get(mode, (65535.0,))
    top = next((top for top in tops if high <= top), None)
    if top is None:
        raise ValueError(f"values up to {high:g}, of no range that is known: save it in 8 bits")
    if top == 65535.0:
        return (values // 256).astype(np.uint8)
    return np.rint(values * (255.0 / top)).astype(np.uint8)


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
        first = ", ".join(
            f"{shown(path)} ({shown(why)})" for path, why in list(self.names.items())[:3]
        )
        rest = len(self.names) - 3
        return f"{len(self.names)}: {first}" + (f" and {rest} more" if rest > 0 else "")


def read_pictures(
    paths: Sequence[str],
    read: Callable[[str], Tensor],
    place: Callable[[int, Tensor], None],
    skipped: Skipped,
    *,
    workers: int,
    progress: bool,
    label: str,
) -> Tensor:
    """``place`` what ``read`` makes of each path, in ``workers`` threads (Pillow decodes without
    Python's lock).

    Returns bool [N], which of them are broken: they are not placed, and counted in ``skipped``,
    which raises where they are too many.
    """

    def work(task: range) -> tuple[int, list[tuple[int, str]]]:
        wrong = []
        for i in task:
            try:
                picture = read(paths[i])
            except Exception as error:
                wrong.append((i, reason(error)))
            else:
                place(i, picture)
        return len(task), wrong

    broken = torch.zeros(len(paths), dtype=torch.bool)
    workers = max(1, workers)
    # Small pictures decode in microseconds, so a thread takes many at a time; but all get some.
    step = max(1, min(64, len(paths) // (8 * workers)))
    with ThreadPoolExecutor(workers) as pool, _bar(label, len(paths), progress) as advance:
        starts = range(0, len(paths), step)
        tasks = [pool.submit(work, range(i, min(i + step, len(paths)))) for i in starts]
        try:
            for task in as_completed(tasks):
                done, wrong = task.result()
                for i, why in wrong:
                    broken[i] = True
                    skipped.add(paths[i], why)
                advance(done)
        except BaseException:  # Ctrl-C as well: do not decode the rest first
            pool.shutdown(cancel_futures=True)
            raise
    return broken


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
        disable=not (show and console.is_terminal and not is_quiet()),
    ) as progress:
        task = progress.add_task(label, total=total)
        yield lambda done: progress.advance(task, done)
