"""Processes that do a job and are killed at a point of it: a file operation, or some time.

A point is before a file is opened to be written, a name is made, changed or removed, or a file is
flushed; and half-way, when a part of what is written is there.
"""

import builtins
import io
import os
import select
import signal
import socket
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["VICTIMS", "Job", "Kill", "done"]

Job = Callable[[Path], object]
VICTIMS = ("own", "other", "both")
GRACE_SECONDS = 1.0  # of a process whose fellow was killed


@dataclass(frozen=True)
class Kill:
    """When to kill which processes: at a point of one of them, from 1, or after some seconds."""

    point: int = 0
    at: int = 0
    after: float = 0.0
    victims: str = "own"

    def of(self, count: int) -> list[int]:
        """The numbers of those that are killed."""
        own = {"own": [self.at], "other": [n for n in range(count) if n != self.at]}
        return own.get(self.victims, list(range(count)))


class Shim:
    """Counts what is done to files below a folder, and stops at one of these points.

    Args:
        kill: says at which point to stop.
        stop: is called there, and returns where another process is killed.
    """

    def __init__(self, root: Path, kill: "Kill | None", stop: Callable[[], None]) -> None:
        self.root = str(root)
        self.at = kill.point if kill else 0
        self.dies = kill is not None and kill.victims != "other"
        self.stop = stop
        self.points = 0

    def point(self, before: Callable[[], object] = lambda: None) -> None:
        """One place to die; ``before`` leaves something half done."""
        self.points += 1
        if self.points == self.at:
            if self.dies:
                before()
            self.stop()

    def install(self) -> None:
        """From here on this process is watched."""
        for name in ("replace", "rename", "mkdir", "unlink", "remove", "rmdir", "link", "symlink"):
            setattr(os, name, self._watched(getattr(os, name)))
        os.fsync = self._flushing(os.fsync)
        builtins.open = io.open = self._opening(io.open)

    def _ours(self, path: Any, **how: Any) -> bool:
        if how.get("dir_fd") is not None:  # as shutil.rmtree gives names
            return os.readlink(f"/proc/self/fd/{how['dir_fd']}").startswith(self.root)
        return isinstance(path, str | os.PathLike) and os.path.abspath(path).startswith(self.root)

    def _watched(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any, *given: Any, **how: Any) -> Any:
            if self._ours(path, **how):
                self.point()
            return function(path, *given, **how)

        return call

    def _flushing(self, fsync: Callable[[int], None]) -> Callable[[int], None]:
        def call(number: Any) -> None:
            path = os.readlink(f"/proc/self/fd/{number}")
            if self._ours(path):
                self.point()
                if os.path.isfile(path):  # the disk may hold any part of what is not flushed
                    self.point(lambda: os.truncate(path, os.path.getsize(path) // 2))
            fsync(number)

        return call

    def _opening(self, opened: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any, mode: str = "r", *given: Any, **how: Any) -> Any:
            writes = set(mode) & set("wax+") and self._ours(path)
            if writes:
                self.point()
            file = opened(path, mode, *given, **how)
            if writes:
                write = file.write

                def half(content: Any) -> None:
                    write(content[: len(content) // 2])
                    file.flush()

                def watched(content: Any) -> int:
                    self.point()
                    self.point(lambda: half(content))
                    return int(write(content))

                file.write = watched
            return file

        return call


@dataclass
class Child:
    """A process that does a job, and what it says of it."""

    number: int
    said: int
    answer: int
    text: bytes = b""
    status: int | None = None

    @classmethod
    def start(cls, job: Job, out: Path, kill: Kill | None, told: dict[str, str]) -> "Child":
        said, say = os.pipe()
        hear, answer = os.pipe()
        if number := os.fork():
            os.close(say)
            os.close(hear)
            return cls(number, said, answer)
        status = 1
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            os.environ |= told
            tempfile.tempdir = str(out.parent)

            def stop() -> None:
                os.write(say, b"!")
                os.read(hear, 1)  # to be killed meanwhile

            shim = Shim(out.parent, kill, stop)
            time.perf_counter = lambda: 0.0
            shim.install()
            job(out)
            os.write(say, str(shim.points).encode())
            status = 0
        except BaseException as error:
            os.write(say, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(status)

    def ended(self) -> bool:
        if self.status is None:
            while select.select([self.said], [], [], 0)[0] and (more := os.read(self.said, 4096)):
                self.text += more
            number, status = os.waitpid(self.number, os.WNOHANG)
            if number:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status is not None

    def kill(self) -> None:
        if not self.ended():
            os.kill(self.number, signal.SIGKILL)

    def close(self) -> None:
        for pipe in (self.said, self.answer):
            os.close(pipe)


def done(job: Job, out: Path, kill: Kill | None = None, processes: int = 1) -> list[int]:
    """Do a job in processes of its own, which may be killed meanwhile.

    Returns:
        Of each process how many points it came by; none where one was killed.
    """
    children = [
        Child.start(job, out, kill if kill and kill.at == rank else None, told)
        for rank, told in enumerate(launched(processes))
    ]
    begun, killed = time.monotonic(), False
    fallen: float | None = None  # since when one is gone before its time
    while [child for child in children if not child.ended()]:
        now = time.monotonic()
        if kill and not killed:
            due = kill.after < now - begun if kill.after else children[kill.at].text == b"!"
            if due:
                for rank in kill.of(processes):
                    children[rank].kill()
                killed = True
                if kill.victims == "other":
                    os.write(children[kill.at].answer, b"!")
        if fallen is None and any(child.status for child in children):
            fallen = now
        if fallen is not None and now - fallen > GRACE_SECONDS:
            for child in children:
                child.kill()
        time.sleep(0.002)
    for child in children:
        child.close()
    wrong = [child.text.decode() for child in children if child.status]
    if wrong and not killed:
        raise RuntimeError(f"the run failed: {' / '.join(wrong)}")
    if kill and kill.point and not killed:
        raise RuntimeError(f"point {kill.point} of process {kill.at} was not reached")
    return [] if wrong else [int(child.text.lstrip(b"!")) for child in children]


def launched(processes: int) -> list[dict[str, str]]:
    """What ``torchrun`` would tell each of so many processes."""
    if processes == 1:
        return [{}]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    size = {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes)}
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), **size}
    return [{**where, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(processes)]
