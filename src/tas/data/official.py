"""Finding, and on request fetching, the official files of a known data set."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..reading import place


def default_folder() -> Path:
    """Where data sets are looked for by default: ``$TORCH_HOME``, else PyTorch's cache."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return place(os.environ.get("TORCH_HOME", f"{cache}/torch"), "the default data folder")


def find(data_dir: Path, layouts: Sequence[str], names: Sequence[str]) -> Path | None:
    """The first of ``names`` (a file or folder) in the first ``data_dir / layout`` that has one."""
    for layout in layouts:
        for name in names:
            if (data_dir / layout / name).exists():
                return data_dir / layout / name
    return None


def not_found(name: str, data_dir: Path, layouts: Sequence[str], hint: str) -> DataError:
    """The error that says where was looked."""
    looked = ", ".join(f"'{data_dir / layout}'" for layout in layouts)
    return DataError(f"{name} not found in {looked}: {hint}")


def foreign(path: Path, name: str, why: str) -> DataError:
    """The error of a file that is not what a data set has."""
    return DataError(
        f"'{path}' is not a file of {name}, or is damaged ({why}): "
        "replace it, or delete it and fetch it with --download"
    )


def fetch(name: str, source: Any, folder: Path) -> None:
    """Fetch a data set of torchvision into ``folder``, checksums checked; what is there is kept.

    Raises ``DataError`` where that fails.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        source(folder, train=False, download=True)
    except (OSError, RuntimeError, EOFError) as error:  # no network, no room, a wrong checksum
        text = " ".join(str(error).split())
        raise DataError(f"cannot download {name} to '{folder}': {text}") from error
