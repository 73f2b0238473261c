"""What lies in a folder of images, before any is opened: the pictures of each part and class."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..errors import DataError
from .classes import absent, numbers, some
from .pictures import SUFFIXES
from .split import TEST_FRACTION, stratified_split


@dataclass(frozen=True)
class Listing:
    """The pictures of one part, before any is opened."""

    paths: list[str]
    labels: Tensor  # int64 [N]
    class_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, indices: Tensor) -> "Listing":
        paths = [self.paths[i] for i in indices.tolist()]
        return Listing(paths, self.labels[indices], self.class_names)


def list_parts(
    root: Path, seed: int, known: Sequence[str] | None
) -> tuple[Listing, Listing, list[str]]:
    """The train and the test part of a folder, and what was decided on the way.

    Labels are those of the ``known`` classes, by name, where these are given: the folder may have
    some of them alone, and others in its parts.
    """
    train, test, notes = _parts(root, seed, strict=known is None)
    if known is None:
        return train, test, notes
    have = {*train.class_names, *test.class_names}
    notes += absent(str(root), have, known)
    train, test = (
        Listing(part.paths, numbers(part.class_names, known, str(root))[part.labels], tuple(known))
        for part in (train, test)
    )
    return train, test, notes


def list_unlabelled(
    root: Path, seed: int, known: Sequence[str] | None
) -> tuple[Listing, Listing, list[str]]:
    """As ``list_parts``, of pictures at any depth whose folders are no classes.

    Labels are 0 and tell nothing; classes are the ``known`` ones.
    """
    _check_there(root)

    def listing(folder: Path) -> Listing:
        paths = below(str(folder))
        if paths == [str(folder)]:
            raise DataError(f"no pictures in '{folder}', at any depth")
        return Listing(paths, torch.zeros(len(paths), dtype=torch.int64), tuple(known or ()))

    held_out = next((part for part in ("test", "val") if (root / part).is_dir()), None)
    if held_out and (root / "train").is_dir():
        return listing(root / "train"), listing(root / held_out), []
    whole = listing(root)
    if len(whole) < 2:
        raise DataError(f"'{root}' has one picture: give at least two, one of them to test")
    return _set_aside(whole, root, seed, "")


def _check_there(root: Path) -> None:
    if not root.is_dir():
        raise DataError(f"data folder '{root}' does not exist, or is not a folder")


def _parts(root: Path, seed: int, strict: bool) -> tuple[Listing, Listing, list[str]]:
    """``strict``: all classes are in both parts, and at least two."""
    _check_there(root)
    held_out = [part for part in ("test", "val") if (root / part).is_dir()]
    if not (root / "train").is_dir():
        if held_out:
            raise DataError(f"data folder '{root}' has {held_out[0]}/, but no train/")
        return _split(_list_classes(root, strict), root, seed)
    train = _list_classes(root / "train", strict)
    if not held_out:
        return _split(train, root / "train", seed)
    test = _list_classes(root / held_out[0], strict)
    if strict and test.class_names != train.class_names:
        differ = sorted(set(test.class_names) ^ set(train.class_names))
        raise DataError(
            f"the classes of '{root / 'train'}' and '{root / held_out[0]}' differ: "
            f"{some(differ)} in only one of them"
        )
    notes = [f"'{root / 'val'}' is not used: test/ is the test part"] if held_out[1:] else []
    return train, test, notes


def _split(whole: Listing, root: Path, seed: int) -> tuple[Listing, Listing, list[str]]:
    for name, count in zip(whole.class_names, whole.labels.bincount().tolist(), strict=True):
        if count < 2:
            raise DataError(
                f"class '{name}' in '{root}' has one picture, but the set has no test/ or val/: "
                "give at least two of every class, so that some can be set aside to test"
            )
    return _set_aside(whole, root, seed, ", stratified by class")


def _set_aside(
    whole: Listing, root: Path, seed: int, how: str
) -> tuple[Listing, Listing, list[str]]:
    kept, held_out = stratified_split(whole.labels, 1 - TEST_FRACTION, seed)
    note = (
        f"'{root}' has no test part of its own: {len(held_out)} of its {len(whole.paths)} "
        f"pictures were set aside{how}, seed {seed}"
    )
    return whole.take(kept), whole.take(held_out), [note]


def _list_classes(root: Path, strict: bool) -> Listing:
    """The pictures ``root/CLASS/*`` in order of their names; hidden and other files are passed."""
    try:
        class_names = sorted(
            entry.name
            for entry in os.scandir(root)
            if _is_folder(entry) and not _is_hidden(entry.name)
        )
        pictures = {name: _list_pictures(root / name) for name in class_names}
    except OSError as error:
        raise DataError(f"cannot read the data folder '{root}': {error}") from error
    if not class_names:
        raise DataError(f"no pictures in '{root}': it needs a folder per class, '{root}/CLASS/*'")
    empty = [name for name, paths in pictures.items() if not paths]
    if empty:
        raise DataError(
            f"no pictures in {some(empty)} of '{root}': every folder there is a class, and must "
            "hold pictures itself, not in further folders"
        )
    if strict and len(class_names) == 1:
        raise DataError(f"'{root}' has only one class, '{class_names[0]}': at least two are needed")
    counts = torch.tensor([len(paths) for paths in pictures.values()])
    return Listing(
        [path for paths in pictures.values() for path in paths],
        torch.arange(len(counts)).repeat_interleave(counts),
        tuple(class_names),
    )


def _list_pictures(folder: Path) -> list[str]:
    """What is named like a picture; a link that leads nowhere stays, and is counted as unreadable
    like any other file."""
    return sorted(
        entry.path
        for entry in os.scandir(folder)
        if not _is_hidden(entry.name)
        and os.path.splitext(entry.name)[1].lower() in SUFFIXES
        and not _is_folder(entry)
    )


def _is_hidden(name: str) -> bool:
    """Of the system, not of the user: ``.git``, ``.DS_Store``; and what zip files of macOS hold."""
    return name.startswith(".") or name == "__MACOSX"


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    """Whether it is a folder, or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def below(path: str, above: frozenset[str] = frozenset()) -> list[str]:
    """A file itself, or the pictures below a folder; a folder with none stays as it is."""
    if not os.path.isdir(path):
        return [path]
    real = os.path.realpath(path)  # a link may lead back up
    found: list[str] = []
    if real not in above:
        for entry in sorted(os.scandir(path), key=lambda entry: entry.name):
            if _is_hidden(entry.name):
                continue
            if _is_folder(entry):
                inside = below(entry.path, above | {real})
                found += [] if inside == [entry.path] else inside
            elif os.path.splitext(entry.name)[1].lower() in SUFFIXES:
                found.append(entry.path)
    return found or [path]
