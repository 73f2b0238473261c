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
import contextlib
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from killed import VICTIMS, Job, Kill, done


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
