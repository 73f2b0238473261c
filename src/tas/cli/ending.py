"""How a run ends before its time: a batch system's SIGTERM, another process that is gone, a full
disk, too little memory, a directory that is not there any more."""

import errno
import os
import re
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from safetensors import SafetensorError

from .. import processes
from ..errors import first_line

if TYPE_CHECKING:
    from ..api import Run

__all__ = ["at_once", "cut_off", "interruptible", "lost", "on_sigterm", "out_of_memory"]

# What the libraries that connect processes say when one of them is gone.
SIGNS = ("Connection closed by peer", "Connection reset by peer", "gloo", "NCCL", "Broken pipe")


def lost(error: Exception) -> bool:
    """Whether this is the trace that the end of another process leaves in this one."""
    return processes.count() > 1 and any(sign in str(error) for sign in SIGNS)


def cut_off(error: Exception, path: Path) -> str | None:
    """What a user is told where the files of a run went out from under it; None: they did not."""
    if isinstance(error, SafetensorError) and "I/O error" in str(error):
        return f"'{path}' cannot be written ({first_line(error)}): make room"
    if not isinstance(error, OSError):
        return None
    if error.filename is None:  # a write into a file that is open
        return f"'{path}' cannot be written ({error.strerror}): make room" if _full(error) else None
    if not Path(os.fsdecode(error.filename)).is_relative_to(path):
        return None
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ESTALE):
        return f"'{path}' was moved, removed or replaced while the run wrote into it"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"'{path}' may not be written any more ({error.strerror}): allow it"
    return f"'{path}' cannot be written ({error.strerror}): make room" if _full(error) else None


def _full(error: OSError) -> bool:
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)


def worker_lost(error: Exception) -> str | None:
    """What a user is told where a process that reads pictures was killed; None: none was."""
    if not (isinstance(error, RuntimeError) and "DataLoader worker" in str(error)):
        return None
    why = re.search(r"killed by signal: [\w ]+", str(error))
    return (
        f"a process that reads pictures has ended{f' ({why[0]})' if why else ''}, most often for "
        "want of memory: give fewer --workers, 0 for none"
    )


def out_of_memory(error: Exception) -> str | None:
    """What a user is told where a GPU's or the host's memory was too small; None: it was not.

    PyTorch has no class for the host's.
    """
    known = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    if not (known or "DefaultCPUAllocator" in str(error)):
        return None
    wanted = re.search(r"tried to allocate ([\d.]+ \w+)", str(error), re.IGNORECASE)
    size = wanted.group(1) if wanted else ""
    if size.endswith(" bytes"):
        size = f"{int(size.split()[0]) / 2**30:,.2f} GiB"
    return (
        f"out of memory{f' (when allocating {size})' if size else ''}: give a smaller --batch-size "
        "or --image-size; --in-memory false leaves a data set on disk"
    )


def at_once(status: int) -> NoReturn:
    """Leave without the clean-up that would wait for processes that are gone."""
    with suppress(Exception):  # nobody may read it
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)


@contextmanager
def on_sigterm(last_words: Callable[[], None]) -> Iterator[None]:
    """SIGTERM ends the process with its last words, even where it waits inside a library.

    Python runs a handler only between its own instructions, and a process that waits for one that
    is gone may not come to the next for long. The byte that arrives here comes at once.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)

    def watch() -> None:
        while signals := os.read(reader, 16):
            if signal.SIGTERM in signals:
                last_words()
                at_once(128 + signal.SIGTERM)
        os.close(reader)

    before = signal.signal(signal.SIGTERM, lambda *_: None)
    others = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(others)
        signal.signal(signal.SIGTERM, before)
        os.close(writer)


@contextmanager
def interruptible(run: "Run") -> Iterator[None]:
    """Inside, Ctrl-C, SIGTERM, and whatever goes out from under the run say how to go on: another
    process, the disk, memory, the run's directory.

    The exit status is 130, 143, and else 1.
    """
    try:
        with on_sigterm(lambda: _last_words(run, "told to stop (SIGTERM)")):
            yield
    except KeyboardInterrupt:
        if processes.is_first():
            _last_words(run, "interrupted")
        sys.exit(130)
    except Exception as error:
        if lost(error):
            _last_words(run, "another process of this run has ended")
        elif why := cut_off(error, run.path) or worker_lost(error) or out_of_memory(error):
            _last_words(run, why)
        else:
            raise
        at_once(1)


def _last_words(run: "Run", what: str) -> None:
    arguments = sys.argv[1:]
    if "--out" not in arguments and not any(a.startswith("--out=") for a in arguments):
        arguments += ["--out", str(run.path)]
    if "-1" in arguments:
        arguments[arguments.index("-1")] = str(run.seed)
    many = processes.count() > 1
    if many and what.endswith("(SIGTERM)"):
        what += ", by a batch system or by the launcher when another process has ended"
    who = f"process {processes.rank()}: " if many else ""
    where = ", on as many processes as you like," if many else ""
    command = shlex.join(["tas", *arguments])
    saved = (
        "every finished epoch is saved; continue"
        if (run.path / "config.yaml").is_file()
        else "put it back, or begin again"
    )
    print(
        f"\n{who}{what}: {saved}{where} with\n  {command}",
        file=sys.stderr,
        flush=True,
    )
