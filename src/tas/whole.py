"""Files that appear whole or not at all: written under another name, flushed to the disk, renamed.

What a program that was killed left half written begins with ``.partial.`` and is swept by the next
one that writes into the folder.
"""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["PARTIAL", "flush", "replacing", "sweep", "write_whole"]

PARTIAL = ".partial."


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """The name under which a file is to be written, which then takes the place of ``path``.

    >>> from pathlib import Path
    >>> from tas.whole import replacing
    >>> with replacing(Path("note.txt")) as partial:
    ...     _ = partial.write_text("all of it")
    >>> Path("note.txt").read_text()
    'all of it'

    Where writing fails nothing is left, and what was at ``path`` stays.
    """
    # The end of the name stays: programs tell the kind of a file by it.
    partial = path.with_name(f"{PARTIAL}{os.getpid()}.{path.name}")
    try:
        yield partial
        flush(partial)
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise
    flush(path.parent)


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file, whole or not at all; text becomes UTF-8.

    >>> from pathlib import Path
    >>> from tas.whole import write_whole
    >>> write_whole(Path("note.txt"), "all of it")
    >>> Path("note.txt").read_text()
    'all of it'
    """
    with replacing(path) as partial:
        partial.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


def flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk and outlast a loss of power."""
    if os.name == "nt" and path.is_dir():  # there folders cannot be flushed
        return
    number = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(number)
    except OSError as error:  # some network file systems flush no folders
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(number)


def sweep(folder: Path) -> None:
    """Remove what was left half written in a folder; nobody else may be writing there."""
    for left in folder.glob(f"{PARTIAL}*"):
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left)
        else:
            left.unlink()
