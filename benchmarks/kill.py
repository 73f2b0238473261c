"""Kills a run at every file operation, and at random moments, and has it go on.

    python benchmarks/kill.py                          # every operation of a training
    python benchmarks/kill.py --kinds trials probes paper --every 5
    python benchmarks/kill.py --kinds trials --random 200

What the run ends with has to be what one ends with that was never killed: the same files with the
same bytes, and nothing beside them. For that a clock that stands still takes the place of
``time.perf_counter`` in either.

A kill is a SIGKILL of a process of its own, before a file is opened to be written, a name is made,
changed or removed, or a file is flushed; and half-way: a part of what is written is there, the end
of a file that was not flushed yet is not.
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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NEVER = sys.maxsize
Job = Callable[[Path], object]


class Shim:
    """Counts what is done to files below a folder, and kills this process at one of these points.

    Args:
        at: number of the point, from 1.
    """

    def __init__(self, root: Path, at: int = NEVER) -> None:
        self.root = str(root)
        self.at = at
        self.points = 0

    def point(self, before: Callable[[], object] = lambda: None) -> None:
        """One place to die; ``before`` leaves something half done."""
        self.points += 1
        if self.points == self.at:
            before()
            os.kill(os.getpid(), signal.SIGKILL)

    def install(self) -> None:
        """From here on this process is watched."""
        for name in ("replace", "rename", "mkdir", "unlink", "remove", "rmdir"):
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


def done(job: Job, out: Path, at: int = NEVER, kill_after: float | None = None) -> tuple[int, int]:
    """Run a job in a process of its own: its exit status or minus its signal, and its points."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reader)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            shim = Shim(out.parent, at)
            time.perf_counter = lambda: 0.0
            shim.install()
            job(out)
            os.write(writer, str(shim.points).encode())
            status = 0
        except BaseException as error:
            os.write(writer, f"0 {type(error).__name__}: {error}".encode())
        finally:
            os._exit(status)
    os.close(writer)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    with os.fdopen(reader) as said:
        text = said.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == 1:
        raise RuntimeError(f"the run failed: {text[2:]}")
    return code, int(text or 0)


def tree(folder: Path) -> dict[str, bytes | None]:
    """All files below a folder with their bytes, and folders; but for the lock."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
        if path.name != ".lock"
    }


def differences(found: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """Names of what differs, is missing or is left over."""
    names = sorted(found.keys() | wanted.keys())
    absent = object()
    return [name for name in names if found.get(name, absent) != wanted.get(name, absent)]


@contextmanager
def fresh(home: Path) -> Iterator[Path]:
    """Where a run may lie; the same place for all, for a run's files name it."""
    out = home / "runs" / "run"
    shutil.rmtree(out.parent, ignore_errors=True)
    out.parent.mkdir(parents=True)
    yield out


def at_operations(job: Job, home: Path, every: int = 1, first: int = 1) -> tuple[int, list[str]]:
    """Kill at every so many-th point; how many kills there were, and what differed after which."""
    with fresh(home) as out:
        job(out)  # here as well, so that no child has to import anything
    with fresh(home) as out:
        _, points = done(job, out)
        wanted = tree(out.parent)
    wrong = []
    numbers = range(first, points + 1, every)
    for at in numbers:
        with fresh(home) as out:
            code, _ = done(job, out, at)
            assert code == -signal.SIGKILL, f"point {at} of {points} was not reached"
            done(job, out)
            if found := differences(tree(out.parent), wanted):
                wrong.append(f"point {at}: {', '.join(found)}")
    return len(numbers), wrong


def at_random(job: Job, home: Path, kills: int, seed: int) -> tuple[int, list[str]]:
    """Kill at random moments, up to five times in one run."""
    draw = random.Random(seed)
    with fresh(home) as out:
        job(out)
    with fresh(home) as out:
        begun = time.monotonic()
        done(job, out)
        seconds, wanted = time.monotonic() - begun, tree(out.parent)
    killed, wrong = 0, []
    while killed < kills:
        with fresh(home) as out:
            for _ in range(draw.randint(1, 5)):
                after = draw.random() * seconds
                killed += done(job, out, kill_after=after)[0] == -signal.SIGKILL
            done(job, out)
            if found := differences(tree(out.parent), wanted):
                wrong.append(f"kill {killed}: {', '.join(found)}")
    return killed, wrong


def jobs(pictures: Path) -> dict[str, Job]:
    """Runs as small as they come, of every kind."""
    import tas
    import tas.api

    # How long nets take is measured anew by every run.
    sys.modules["tas.api.run"].times_of = lambda *_: None  # type: ignore[attr-defined]
    small: dict[str, Any] = {"data": str(pictures), "net": "resnet20", "batch_size": 12, "seed": 1}
    small |= {"device": "cpu", "workers": 0}
    whole = small | {"budget": 0.5, "baseline": False, "epochs": 1, "search_epochs": 1}

    def train(out: Path, **more: Any) -> tas.api.Run:
        return tas.api.train_run(out=str(out), **small, **more)

    return {
        "train": lambda out: train(out, epochs=3),
        "report": lambda out: train(out, epochs=1).report(),
        "trials": lambda out: tas.run(out=str(out), trials=30, **whole),
        "probes": lambda out: tas.run(out=str(out), inherit=False, probes=2, **whole),
        "paper": lambda out: tas.run(out=str(out), preset="paper", **whole),
    }


def write_pictures(folder: Path) -> Path:
    """Two classes of noise, brighter and darker."""
    import numpy as np
    from PIL import Image

    draw = np.random.default_rng(0)
    for part, count in (("train", 18), ("test", 6)):
        for number, name in enumerate(("dark", "bright")):
            (folder / part / name).mkdir(parents=True)
            for i in range(count):
                pixels = draw.integers(100 * number, 100 * number + 100, (8, 8), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / part / name / f"{i}.png")
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kinds", nargs="+", default=["train"])
    parser.add_argument("--every", type=int, default=1, help="of so many operations one is killed")
    parser.add_argument("--random", type=int, default=0, help="kills at random moments instead")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    failed = False
    with tempfile.TemporaryDirectory() as home:
        known = jobs(write_pictures(Path(home) / "pictures"))
        for kind in given.kinds:
            begun = time.monotonic()
            if given.random:
                kills, wrong = at_random(known[kind], Path(home), given.random, given.seed)
            else:
                kills, wrong = at_operations(known[kind], Path(home), given.every)
            seconds = time.monotonic() - begun
            print(f"{kind}: {kills} kills, {len(wrong)} that left a difference, {seconds:.0f} s")
            for line in wrong:
                print(f"  {line}")
            failed |= bool(wrong)
    sys.exit(failed)


if __name__ == "__main__":
    main()
