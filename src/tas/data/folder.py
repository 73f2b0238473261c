"""Any folder of images ``PATH/{train,val|test}/CLASS/*``, or ``PATH/CLASS/*`` without a split."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import torch
from torch import Tensor

from ..errors import DataError
from ..processes import agreed, on_this_machine
from .parts import Data, Files, Images, Part, statistics
from .pictures import SUFFIXES, Skipped, probe, read_pictures
from .split import stratified_split

TEST_FRACTION = 0.2

Colours = tuple[tuple[float, ...], tuple[float, ...]]  # mean and deviation per channel, in 0..1

_SMALL = 64  # pixels: sets of small pictures keep their size, all others become 224 x 224
_LARGE = 224
_PROBED = 1_000  # pictures that tell the size and the colours of all
_MEASURED = 2_000  # pictures that tell mean and deviation where the set stays on disk
_IN_MEMORY_BYTES = 2 * 2**30


@dataclass(frozen=True)
class _Listing:
    """The pictures of one part, before any is opened."""

    paths: list[str]
    labels: Tensor  # int64 [N]
    class_names: tuple[str, ...]

    def take(self, indices: Tensor) -> "_Listing":
        paths = [self.paths[i] for i in indices.tolist()]
        return _Listing(paths, self.labels[indices], self.class_names)


def load(
    root: Path,
    *,
    name: str,
    image_size: int | None,
    workers: int,
    seed: int,
    progress: bool,
    in_memory: bool | None,
    colours: Colours | None = None,
) -> Data:
    """Load a folder of images; ``tas.data.load`` says how. ``colours`` are measured if not given.

    Raises ``DataError``: missing or empty, a class without images, classes that differ between
    the parts, too many unreadable pictures.
    """
    train, test, notes = _list_parts(root, seed)
    everything = train.paths + test.paths
    channels, size = _probe_all(root, everything)
    if channels == 1:
        colours = None  # the constants of a set are those of its colour pictures
    if image_size is not None:
        size = (image_size, image_size)
    if in_memory is None:
        needed = len(everything) * channels * size[0] * size[1]  # bytes
        free = min(_IN_MEMORY_BYTES, psutil.virtual_memory().available // 4)
        in_memory = agreed(needed * on_this_machine() <= free)

    def decode(paths: Sequence[str], what: str, skipped: Skipped) -> tuple[Tensor, Tensor]:
        return read_pictures(
            paths, (channels, *size), skipped, workers=workers, progress=progress, label=what
        )

    parts: list[Part] = []
    if in_memory:
        skipped = Skipped(len(everything))
        for listing, what in ((train, "reading train"), (test, "reading test")):
            pixels, kept = decode(listing.paths, what, skipped)
            _check_classes_left(listing, kept)
            parts.append(Images(pixels, listing.labels[kept]))
            colours = colours or statistics(pixels)  # of train, which comes first
    else:
        size = (min(size), min(size))  # what is cropped out of large pictures is square
        parts = [Files(tuple(listing.paths), listing.labels) for listing in (train, test)]
        some = train.paths[:: -(-len(train.paths) // _MEASURED)]
        skipped = Skipped(len(some))
        if colours is None:
            colours = statistics(decode(some, "measuring colours", skipped)[0])
    assert colours is not None
    mean, std = colours
    if skipped.names:
        notes.append(f"pictures that cannot be read and are left out: {skipped}")
    return Data(
        name=name,
        class_names=train.class_names,
        input=(channels, *size),
        mean=mean,
        std=std,
        train=parts[0],
        test=parts[1],
        flip=True,
        notes=tuple(notes),
    )


def _list_parts(root: Path, seed: int) -> tuple[_Listing, _Listing, list[str]]:
    """The train and the test part of a folder, and what was decided on the way."""
    if not root.is_dir():
        raise DataError(f"data folder '{root}' does not exist, or is not a folder")
    held_out = [part for part in ("test", "val") if (root / part).is_dir()]
    if not (root / "train").is_dir():
        if held_out:
            raise DataError(f"data folder '{root}' has {held_out[0]}/, but no train/")
        return _split(_list_classes(root), root, seed)
    train = _list_classes(root / "train")
    if not held_out:
        return _split(train, root / "train", seed)
    test = _list_classes(root / held_out[0])
    if test.class_names != train.class_names:
        differ = sorted(set(test.class_names) ^ set(train.class_names))
        raise DataError(
            f"the classes of '{root / 'train'}' and '{root / held_out[0]}' differ: "
            f"{_some(differ)} in one of them alone"
        )
    notes = [f"'{root / 'val'}' is not used: test/ is the test part"] if held_out[1:] else []
    return train, test, notes


def _split(whole: _Listing, root: Path, seed: int) -> tuple[_Listing, _Listing, list[str]]:
    for name, count in zip(whole.class_names, whole.labels.bincount().tolist(), strict=True):
        if count < 2:
            raise DataError(
                f"class '{name}' in '{root}' has one picture, but the set has no test/ or val/: "
                "to set some aside for testing, at least two of every class are needed"
            )
    kept, held_out = stratified_split(whole.labels, 1 - TEST_FRACTION, seed)
    note = (
        f"'{root}' has no test part of its own: {len(held_out)} of its {len(whole.paths)} "
        f"pictures were set aside, stratified by class, seed {seed}"
    )
    return whole.take(kept), whole.take(held_out), [note]


def _list_classes(root: Path) -> _Listing:
    """The pictures ``root/CLASS/*`` in order of their names; hidden and other files are passed."""
    try:
        class_names = sorted(
            entry.name
            for entry in os.scandir(root)
            if entry.is_dir() and not entry.name.startswith(".")
        )
        pictures = {name: _list_pictures(root / name) for name in class_names}
    except OSError as error:
        raise DataError(f"cannot read the data folder '{root}': {error}") from error
    if not class_names:
        raise DataError(f"no pictures in '{root}': it needs a folder per class, '{root}/CLASS/*'")
    empty = [name for name, paths in pictures.items() if not paths]
    if empty:
        raise DataError(
            f"no pictures in {_some(empty)} of '{root}': every folder there is a class, and holds "
            "its pictures itself"
        )
    if len(class_names) == 1:
        raise DataError(f"'{root}' has one class alone, '{class_names[0]}': two are needed")
    counts = torch.tensor([len(paths) for paths in pictures.values()])
    return _Listing(
        [path for paths in pictures.values() for path in paths],
        torch.arange(len(counts)).repeat_interleave(counts),
        tuple(class_names),
    )


def _list_pictures(folder: Path) -> list[str]:
    return sorted(
        entry.path
        for entry in os.scandir(folder)
        if not entry.name.startswith(".")
        and os.path.splitext(entry.name)[1].lower() in SUFFIXES
        and entry.is_file()
    )


def _probe_all(root: Path, paths: Sequence[str]) -> tuple[int, tuple[int, int]]:
    """Channels, height and width of a whole set, from a sample of it."""
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
    small = all(min(size) <= _SMALL for size in sizes)
    return (1 if all(greys) else 3), (sizes.most_common(1)[0][0] if small else (_LARGE, _LARGE))


def _check_classes_left(listing: _Listing, kept: Tensor) -> None:
    left = listing.labels[kept].bincount(minlength=len(listing.class_names)).tolist()
    gone = [name for name, count in zip(listing.class_names, left, strict=True) if count == 0]
    if gone:
        raise DataError(f"none of the pictures of {_some(gone)} can be read")


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(f"'{name}'" for name in names[:3]) + more
