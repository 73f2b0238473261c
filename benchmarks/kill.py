"""Kills a run at every file operation, and at random moments, and has it go on.

    python benchmarks/kill.py                          # every operation of a training
    python benchmarks/kill.py --kinds trials probes paper --every 5
    python benchmarks/kill.py --kinds trials --random 200
    python benchmarks/kill.py --kinds trials --processes 2 --victims own other both

What the run ends with has to be what one ends with that was never killed: the same files with the
same bytes, and nothing beside them, in its folder or in that of temporary files. For that a clock
that stands still takes the place of ``time.perf_counter`` in either, and nets are not timed; all
else is compared.

A kill is a SIGKILL, before a file is opened to be written, a name is made, changed or removed, or a
file is flushed; and half-way: a part of what is written is there, the end of a file that was not
flushed yet is not. Of two processes, which find one another as ``torchrun`` would have it, the one
that is at this point is killed, the other one, or both; whoever is left is ended a second later.

With ``--log FILE`` every kill leaves a line there, and those that have one are not repeated.
"""

import argparse
import builtins
import contextlib
import io
import json
import os
import random
import select
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

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


@contextlib.contextmanager
def fresh(home: Path) -> Iterator[Path]:
    """Where a run may lie; the same place for all, for a run's files name it."""
    out = home / "runs" / "run"
    shutil.rmtree(out.parent, ignore_errors=True)
    out.parent.mkdir(parents=True)
    yield out


@dataclass
class Log:
    """What came of each kill, by its name."""

    path: Path | None = None
    known: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.path and self.path.exists():
            lines = map(json.loads, self.path.read_text().splitlines())
            self.known = {line["kill"]: line["differs"] for line in lines}

    def add(self, name: str, differs: list[str]) -> None:
        self.known[name] = differs
        if self.path:
            with self.path.open("a") as file:
                file.write(json.dumps({"kill": name, "differs": differs}) + "\n")


@dataclass
class Bench:
    """Kills one kind of run over and over.

    Attributes:
        home: a folder to run in.
        processes: of each run.
        log: of all kills.
    """

    job: Job
    home: Path
    name: str = "run"
    processes: int = 1
    log: Log = field(default_factory=Log)

    def whole(self) -> tuple[dict[str, bytes | None], list[int], float]:
        """What a run ends with that nobody kills, the points of its processes, and its seconds."""
        with fresh(self.home) as out:
            self.job(out)  # here as well, so that no child has to import anything
        with fresh(self.home) as out:
            begun = time.monotonic()
            points = done(self.job, out, processes=self.processes)
            return tree(out.parent), points, time.monotonic() - begun

    def at_operations(self, every: int = 1, victims: tuple[str, ...] = ("own",)) -> dict[str, Any]:
        """Kill at every so many-th point, and these in turns; what differed after which kill."""
        wanted, points, _ = self.whole()
        tried = {}
        kills = [Kill(n, at) for at, count in enumerate(points) for n in range(1, count + 1, every)]
        for turn, kill in enumerate(kills):
            who = victims[turn % len(victims)]
            kill = Kill(kill.point, kill.at, victims=who)
            name = f"{self.name} x{self.processes}, point {kill.point} of process {kill.at}, {who}"
            if name not in self.log.known:
                with fresh(self.home) as out:
                    done(self.job, out, kill, self.processes)
                    self.goes_on(name, out, wanted)
            tried[name] = self.log.known[name]
        return tried

    def at_random(self, kills: int, seed: int) -> dict[str, Any]:
        """Kill at random moments, up to five times in one run; what differed after which kill."""
        wanted, _, seconds = self.whole()
        tried: dict[str, list[str]] = {}
        while len(tried) < kills:
            draw = random.Random(f"{seed}-{len(tried)}")
            times = min(draw.randint(1, 5), kills - len(tried))
            moments = [draw.random() * seconds for _ in range(times)]
            who = [draw.choice(VICTIMS[: 2 * self.processes - 1]) for _ in moments]
            names = [
                f"{self.name} x{self.processes}, random kill {len(tried) + i + 1}, {each}"
                for i, each in enumerate(who)
            ]
            if names[-1] not in self.log.known:
                with fresh(self.home) as out:
                    for after, each in zip(moments, who, strict=True):
                        at = draw.randrange(self.processes)
                        done(self.job, out, Kill(0, at, after, each), self.processes)
                    self.goes_on(names[-1], out, wanted)
                for name in names[:-1]:
                    self.log.add(name, [])
            tried |= {name: self.log.known[name] for name in names}
        return tried

    def goes_on(self, name: str, out: Path, wanted: dict[str, Any]) -> None:
        """The same again, undisturbed, and what it ends with."""
        try:
            done(self.job, out, processes=self.processes)
            differs = differences(tree(out.parent), wanted)
        except RuntimeError as error:
            differs = [str(error)]
        self.log.add(name, differs)


def jobs(pictures: Path) -> dict[str, Job]:
    """Runs as small as they come, of every kind."""
    import tas
    import tas.api

    # How long nets take is measured anew by every run.
    sys.modules["tas.api.run"].times_of = lambda *_: None  # type: ignore[attr-defined]
    known = tas.nets.ARCHITECTURES
    known["tiny"] = replace(known["resnet20"], name="tiny", blocks=(1, 1, 1))
    small: dict[str, Any] = {"data": str(pictures), "net": "tiny", "batch_size": 12, "seed": 1}
    small |= {"device": "cpu", "workers": 0, "quiet": True}
    whole = small | {"budget": 0.5, "baseline": False, "epochs": 1, "search_epochs": 1}
    whole["ratios"] = [0.25, 0.5, 0.75, 1.0]

    def train(out: Path, **more: Any) -> tas.api.Run:
        return tas.api.train_run(out=str(out), **small, **more)

    return {
        "train": lambda out: train(out, epochs=3),
        "report": lambda out: train(out, epochs=1).report(),
        "trials": lambda out: tas.run(out=str(out), trials=12, **whole),
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
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--victims", nargs="+", default=["own"], choices=VICTIMS, help="in turns")
    parser.add_argument("--log", type=Path, help="to go on from")
    given = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    failed = False
    with tempfile.TemporaryDirectory() as home:
        known = jobs(write_pictures(Path(home) / "pictures"))
        for kind in given.kinds:
            begun = time.monotonic()
            bench = Bench(known[kind], Path(home), kind, given.processes, Log(given.log))
            if given.random:
                tried = bench.at_random(given.random, given.seed)
            else:
                tried = bench.at_operations(given.every, tuple(given.victims))
            wrong = {name: differs for name, differs in tried.items() if differs}
            seconds = time.monotonic() - begun
            print(
                f"{kind}: {len(tried)} kills, {len(wrong)} that left a difference, {seconds:.0f} s"
            )
            for name, differs in wrong.items():
                print(f"  {name}: {', '.join(differs)}", flush=True)
            failed |= bool(wrong)
    sys.exit(failed)


if __name__ == "__main__":
    main()
