"""Directories that are made for one run, and what was made for them."""

import os
from itertools import count
from pathlib import Path

from ..errors import InputError

__all__ = ["fresh", "made_for", "unwritable"]

_fresh: dict[Path, list[Path]] = {}


def fresh(path: Path) -> Path:
    """Make a directory of this name, or numbered behind it."""
    for number in count(1):
        own = path.with_name(f"{path.name}-{number}") if number > 1 else path
        missing = _missing(own)
        try:
            own.parent.mkdir(parents=True, exist_ok=True)
            own.mkdir()
            _fresh[own] = missing
            return own
        except FileExistsError:
            if not own.parent.is_dir():
                break
        except OSError as error:
            raise unwritable(path, error) from None
    raise InputError(f"'{path.parent}' is a file: give --out, a directory elsewhere")


def made_for(path: Path) -> list[Path]:
    """Of a directory and its parents those that are not there yet, or that ``fresh`` has made."""
    return _fresh.pop(path, []) or _missing(path)


def unwritable(path: Path, error: OSError) -> InputError:
    """What is said of a directory that cannot be written."""
    return InputError(f"--out {path} cannot be written ({error.strerror}): choose another --out")


def _missing(path: Path) -> list[Path]:
    return [each for each in (path, *path.parents) if not os.path.lexists(each)]
