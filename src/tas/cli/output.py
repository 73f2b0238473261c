"""What the command prints, and how it ends where nobody reads that or it cannot be written."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

__all__ = ["UnheardError", "heard"]

CLOSED = 128 + 13  # as a shell has it of a program that SIGPIPE ended


class UnheardError(Exception):
    """Standard output or standard error cannot be written."""

    def __init__(self, error: OSError) -> None:
        super().__init__("the output cannot be written")
        self.closed = error.errno in (errno.EPIPE, errno.EINVAL)  # EINVAL: so Windows says it
        self.why = error.strerror


@contextmanager
def heard() -> Iterator[None]:
    """Inside, a closed pipe ends the command quietly with 141, and a full disk behind it with 1.

    It is no success: of ``tas train ... | head`` nobody saw the end. What a run did is kept.
    """
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = map(_wrapped, before)
    try:
        try:
            yield
        finally:
            for stream in (sys.stdout, sys.stderr):
                if stream is not None:
                    stream.flush()
    except UnheardError as unheard:
        _drop(*before)
        if unheard.closed:
            sys.exit(CLOSED)
        with suppress(OSError):
            print(
                f"error: the output cannot be written ({unheard.why}): make room where it goes; "
                "what a run did is kept, the same command goes on",
                file=before[1],
                flush=True,
            )
        sys.exit(1)
    finally:
        sys.stdout, sys.stderr = before


class _Stream:
    """A stream whose errors are told from those of all other files."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            raise UnheardError(error) from None

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            raise UnheardError(error) from None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _wrapped(stream: Any) -> Any:
    return None if stream is None else _Stream(stream)  # None: it was closed from the start


def _drop(*streams: Any) -> None:
    """Let what cannot be written go nowhere, so that Python does not try it again at its end."""
    for stream in streams:
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
