"""Files that appear whole or not at all: written under another name, flushed to the disk, renamed.

What a program that was killed left half written begins with ``.partial.`` and is swept by the next
one that writes into the folder. Folders for what is needed meanwhile are swept likewise, once the
process that made them is gone.
"""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import gettempdir, mkdtemp

from filelock import FileLock, Timeout

__all__ = ["PARTIAL", "flush", "replacing", "scratch", "sweep", "write_whole"]

PARTIAL = ".partial."
SCRATCH = ".scratch.tas."
HELD = ".lock"  # in a folder of these, as long as its process is there


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


@contextmanager
def scratch(beside: Path | None = None) -> Iterator[Path]:
    """A folder for a while; those of processes that were killed are removed as well.

    >>> from tas.whole import scratch
    >>> with scratch() as home:
    ...     _ = (home / "net.onnx").write_bytes(b"...")
    >>> home.exists()
    False

    Args:
        beside: the folder that it lies in, so that a file may be moved from one to the other;
            default: that of temporary files.
    """
    where = Path(gettempdir() if beside is None else beside)
    _sweep_scratch(where)
    home = Path(mkdtemp(prefix=SCRATCH, dir=where))
    try:
        with FileLock(home / HELD):
            yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _sweep_scratch(where: Path) -> None:
    for left in where.glob(f"{SCRATCH}*"):
        with suppress(Timeout, OSError):  # it is in use, or another user's
            if (left / HELD).exists():
                with FileLock(left / HELD, timeout=0):
                    shutil.rmtree(left)
            else:  # killed before it was held; one that is just being made is made again
                left.rmdir()
