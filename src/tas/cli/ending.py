"""How a run ends before its time: a batch system's SIGTERM, another process that is gone, a full
disk, too little memory."""

import errno
import os
import re
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from safetensors import SafetensorError

from .. import processes
from ..errors import first_line

if TYPE_CHECKING:
    from ..api import Run

__all__ = ["at_once", "interruptible", "lost", "on_sigterm", "out_of_memory", "unwritable"]

# What the libraries that connect processes say when one of them is gone.
SIGNS = ("Connection closed by peer", "Connection reset by peer", "gloo", "NCCL", "Broken pipe")


def lost(error: Exception) -> bool:
    """Whether this is the trace that the end of another process leaves in this one."""
    return processes.count() > 1 and any(sign in str(error) for sign in SIGNS)


def unwritable(error: Exception) -> bool:
    """Whether a file could not be written, for want of space, say."""
    if isinstance(error, SafetensorError):
        return "I/O error" in str(error)
    full = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
    return isinstance(error, OSError) and error.errno in full


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
    """Inside, Ctrl-C, SIGTERM, the end of another process and a full disk say how to go on.

    The exit status is 130, 143, 1 and 1.
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
        elif unwritable(error):
            _last_words(run, f"'{run.path}' cannot be written ({first_line(error)}): make room")
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
    print(
        f"\n{who}{what}: every finished epoch is saved; continue{where} with\n  {command}",
        file=sys.stderr,
        flush=True,
    )
