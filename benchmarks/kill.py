"""Kill runs at every file operation, and at random moments, and go on: not one byte may differ.

    python benchmarks/kill.py                     # trials, probes and paper, at every operation
    python benchmarks/kill.py --every 10          # at each tenth
    python benchmarks/kill.py --random 200        # at random moments instead

Each try is a forked process that is killed (SIGKILL) before its n-th open for writing, rename,
mkdir, unlink, rmdir, flush, or saving of weights, or half-way through the writing of a text. A
second one goes on to the end. Its directory must then hold what that of an undisturbed run holds,
byte for byte and nothing more. Clocks stand still, so that times in files are the same.
"""

import argparse
import builtins
import io
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

Job = Callable[[Path], Any]


class Killer:
    """Counts file operations, and kills this process before one of them.

    Args:
        at: the number of the operation, from 1; 0 only counts.
        below: operations elsewhere do not count.
    """

    def __init__(self, at: int, below: Path) -> None:
        self.at = at
        self.below = str(below)
        self.count = 0

    def install(self) -> None:
        for name in ("replace", "rename", "mkdir", "unlink", "remove", "rmdir", "fsync"):
            self._wrap(os, name)
        self._wrap(torch, "save", where=1)
        self._wrap(safetensors.torch, "save_model", where=1)
        for module in (builtins, io):
            self._wrap_open(module)
        self._wrap_text("write_text")
        self._wrap_text("write_bytes")

    def _counts(self, path: Any) -> bool:
        """Whether the operation is the one before which this process ends."""
        if isinstance(path, int):  # an open file or folder: where it lies is known to Linux
            path = os.readlink(f"/proc/self/fd/{path}") if os.path.exists("/proc") else self.below
        if isinstance(path, str | Path) and not os.path.abspath(path).startswith(self.below):
            return False
        self.count += 1
        return self.count == self.at

    def _wrap(self, module: Any, name: str, where: int = 0) -> None:
        real = getattr(module, name)

        def shim(*given: Any, **how: Any) -> Any:
            if self._counts(how.get("dir_fd") or given[where]):
                die()
            return real(*given, **how)

        setattr(module, name, shim)

    def _wrap_open(self, module: Any) -> None:
        real = module.open

        def shim(file: Any, mode: str = "r", *given: Any, **how: Any) -> Any:
            if set(mode) & set("wax+") and self._counts(file):
                die()
            return real(file, mode, *given, **how)

        module.open = shim

    def _wrap_text(self, name: str) -> None:
        real = getattr(Path, name)

        def shim(path: Path, content: Any, *given: Any, **how: Any) -> Any:
            if self._counts(path):
                real(path, content[: len(content) // 2], *given, **how)
                die()
            return real(path, content, *given, **how)

        setattr(Path, name, shim)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def forked(job: Job, out: Path, at: int = 0, after: float | None = None) -> tuple[int, int]:
    """Do a job in a process of its own; its exit status, and how many operations it came to."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        status = 1
        try:
            killer = Killer(at, out)
            killer.install()
            time.perf_counter = lambda: 0.0
            job(out)
            os.write(writer, str(killer.count).encode())
            status = 0
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
        finally:
            os._exit(status)
    os.close(writer)
    if after is not None:
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), int(said or 0)


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder; the lock is nobody's."""
    found = {str(p.relative_to(folder)): p for p in sorted(folder.rglob("*"))}
    return {
        name: p.read_bytes() if p.is_file() else b"" for name, p in found.items() if name != ".lock"
    }


def differing(expected: dict[str, bytes], found: dict[str, bytes]) -> list[str]:
    names = expected.keys() | found.keys()
    return sorted(name for name in names if expected.get(name) != found.get(name))


def killed_everywhere(job: Job, home: Path, every: int = 1) -> tuple[int, list[str]]:
    """How many kills there were, and what was not as it should be after going on."""
    out = home / "run"  # one name for all: files hold it
    job(home / "warm")  # so that children find all imported
    status, count = forked(job, out)
    assert status == 0, "the job fails undisturbed"
    expected, wrong, kills = content(out), [], 0
    shutil.rmtree(out)
    for at in range(1, count + 1, every):
        status, _ = forked(job, out, at)
        kills += status == -signal.SIGKILL
        again, _ = forked(job, out)
        if again or (names := differing(expected, content(out))):
            wrong.append(
                f"killed at operation {at}: " + (f"status {again}" if again else f"{names}")
            )
        shutil.rmtree(out)
    return kills, wrong


def killed_at_random(job: Job, home: Path, tries: int) -> tuple[int, list[str]]:
    """The same at random moments of the time that the job takes."""
    out, draw = home / "run", random.Random(0)
    job(home / "warm")  # so that children find all imported
    begin = time.monotonic()
    assert forked(job, out)[0] == 0, "the job fails undisturbed"
    whole = time.monotonic() - begin
    expected, wrong, kills = content(out), [], 0
    shutil.rmtree(out)
    for number in range(tries):
        status, _ = forked(job, out, after=draw.random() * whole)
        kills += status == -signal.SIGKILL
        again, _ = forked(job, out)
        if again or (names := differing(expected, content(out))):
            wrong.append(f"random kill {number}: " + (f"status {again}" if again else f"{names}"))
        shutil.rmtree(out)
    return kills, wrong


def jobs(data: Path) -> dict[str, Job]:
    """Tiny runs of the three methods."""
    import tas

    common: dict[str, Any] = {"data": str(data), "net": "resnet20", "budget": 0.6, "epochs": 1}
    common |= {"batch_size": 8, "precision": "fp32", "device": "cpu", "workers": 0, "seed": 1}

    def job(**more: Any) -> Job:
        return lambda out: tas.run(**common, **more, out=str(out))

    return {
        "trials": job(trials=4),
        "probes": job(inherit=False, probes=4, search_epochs=1),
        "paper": job(preset="paper", search_epochs=1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("jobs", nargs="*", help="trials, probes, paper; default: all")
    parser.add_argument("--every", type=int, default=1, help="each n-th operation")
    parser.add_argument("--random", type=int, default=0, help="so many random kills instead")
    options = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from pictures_on_disk import folder

    torch.set_num_threads(1)
    failed = False
    with tempfile.TemporaryDirectory() as home:
        data = folder(Path(home) / "data", each=6, size=(8, 8))
        for name, job in jobs(data).items():
            if options.jobs and name not in options.jobs:
                continue
            place = Path(home).resolve() / name
            place.mkdir()
            begin = time.monotonic()
            if options.random:
                kills, wrong = killed_at_random(job, place, options.random)
            else:
                kills, wrong = killed_everywhere(job, place, options.every)
            took = time.monotonic() - begin
            print(f"{name}: {kills} kills, {len(wrong)} differences, {took:.0f} s", flush=True)
            for line in wrong:
                print(f"  {line}")
            failed |= bool(wrong)
    sys.exit(failed)


if __name__ == "__main__":
    main()
