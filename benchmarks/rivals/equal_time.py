"""What an accuracy is worth at equal time: nets that take the same milliseconds, beside each other.

    python benchmarks/rivals/equal_time.py --data PATH --work FOLDER [--nets mobilenet_v2 resnet20]

Every net is brought to the same part of the unpruned net's *measured* time on one runtime:

    ms        searched within a budget of milliseconds
    macs      searched within one of multiply-adds, default widths
    macs-any  likewise, any width
    tp        Torch-Pruning, widths in multiples of 8; the setting that loses least untrained

A budget of multiply-adds becomes one of time by trying: the net of another seed, or else equal
widths, tell where to begin, and what was measured where to go on, until the time is at most what it
may be and at least 95 % of it. Then all are fine-tuned alike. A net of less than a millisecond is
hard to time, so a batch is timed. Teachers and rules are those of ``run.py``; the rate of the
fine-tuning is the middle one of the net's. A line of JSON for every net is appended to
``equal_time.jsonl``; the same command goes on.
"""

import argparse
import json
import os
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

METHODS = ("ms", "macs", "macs-any", "tp")
SETTINGS_TRIED = (
    "tp-magnitude-local",
    "tp-magnitude-global",
    "tp-taylor-local",
    "tp-taylor-global",
)
TABLE = Path(__file__).with_name("equal_time.jsonl")
ENOUGH = 0.95  # of the time that it may take
AIM = 0.985  # of it, at the next try
TRIES = 4
EQUAL_TRIES = 12  # of equal widths, which cost but the measurement


class NotReachedError(Exception):
    """A method has no net of the time that is asked for."""


@dataclass(frozen=True)
class Row:
    """A net at the time that it was to take.

    Attributes:
        asked, time_ratio: of the unpruned net's time, asked and measured.
        ms: of a batch.
        search_seconds: of the processor, to the net that is cut, all tries together.
        tries: searches until the time was met.
        accuracy: percent of the test pictures; untrained, and after the last epoch of fine-tuning.
    """

    net: str
    method: str
    seed: int
    asked: float
    time_ratio: float
    ms: float
    macs_ratio: float
    params_ratio: float
    tries: int
    search_seconds: float
    teacher_accuracy: float
    untrained_accuracy: float
    accuracy: float | None
    epochs: int | None
    lr: float | None
    note: str
    runtime: str
    pictures: int
    hardware: str
    torch: str
    tas: str
    torch_pruning: str
    batch_size: int = 1


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, metavar="PATH")
    parser.add_argument("--work", required=True, type=Path, help="folder of teachers and nets")
    parser.add_argument("--pictures", type=int, default=10_000, help="to train on (default: 10000)")
    parser.add_argument("--nets", nargs="+", default=["mobilenet_v2", "resnet20"])
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--budget", type=float, default=0.5, help="of the time (default: 0.5)")
    parser.add_argument("--runtime", default="onnxruntime")
    parser.add_argument("--batch-size", type=int, default=8, help="that is timed (default: 8)")
    parser.add_argument("--untrained", action="store_true", help="no fine-tuning")
    parser.add_argument("--table", type=Path, default=TABLE)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    warnings.filterwarnings("ignore")
    import torch

    torch.set_num_threads(1)
    bench = Bench(options)
    for net in options.nets:
        for seed in options.seeds:
            for method in options.methods:
                try:
                    bench.do(net, method, seed)
                except NotReachedError as error:  # the other nets are measured all the same
                    print(f"{net} {method} seed {seed}: {error}", flush=True)


class Bench:
    """The nets that were asked for, one after the other."""

    def __init__(self, options: argparse.Namespace) -> None:
        import pictures
        from rows import environment

        from tas.timing import runtime_named

        self.options = options
        self.runtime = runtime_named(options.runtime, batch_size=options.batch_size)
        self.data = pictures.load(options.data, None, options.pictures)
        self.environment = environment(1)
        lines = options.table.read_text().splitlines() if options.table.exists() else []
        self.known = [Row(**json.loads(line)) for line in lines]

    def do(self, net: str, method: str, seed: int) -> None:
        """One row, unless it is there."""
        from training_runs import teacher_of, tune_epochs, tuned, untrained
        from zoo import NETS

        from tas.costs.count import count

        wanted = not self.options.untrained
        if any(
            r.seed == seed and (r.accuracy is not None) >= wanted for r in self.alike(net, method)
        ):
            return
        teacher = teacher_of(net, self.data, self.options.work)
        found = self.found(net, method, seed, teacher.net)
        small = found["net"]
        own, whole = count(small, self.data.input), count(teacher.net, self.data.input)
        took = self.time(small, teacher.net)
        first, _ = untrained(small, self.data, NETS[net].precision)
        accuracy, rate = None, None
        if wanted:
            rate = NETS[net].rates[1]
            out = self.place(net, method, seed) / "tuned"
            accuracy, _ = tuned(small, teacher.net, net, self.data, rate, seed, out)
        row = Row(
            *(net, method, seed, self.options.budget),
            round(took.ratio, 4),
            round(took.ms, 4),
            round(own.macs / whole.macs, 4),
            round(own.params / whole.params, 4),
            found["tries"],
            round(found["seconds"], 1),
            teacher.accuracy,
            first,
            accuracy,
            tune_epochs(net, self.data) if wanted else None,
            rate,
            found["note"],
            self.options.runtime,
            len(self.data.train),
            **self.environment,
            batch_size=self.options.batch_size,
        )
        self.known.append(row)
        with self.options.table.open("a") as file:
            file.write(json.dumps(asdict(row)) + "\n")
        print(time.strftime("%H:%M:%S"), json.dumps(asdict(row)), flush=True)

    def place(self, net: str, method: str, seed: int) -> Path:
        """The folder of a row."""
        what = net, method, f"seed{seed}", self.options.budget, f"batch{self.options.batch_size}"
        work: Path = self.options.work
        return work / "-".join(str(part).replace(".", "") for part in what)

    def alike(self, net: str, method: str) -> list[Row]:
        """What is known of a method at this budget, by all seeds."""
        wanted = net, method, self.options.budget, self.options.batch_size
        return [r for r in self.known if (r.net, r.method, r.asked, r.batch_size) == wanted]

    def time(self, net: Any, whole: Any) -> Any:
        """The time of a net beside the unpruned one."""
        import torch

        import tas

        example = torch.zeros(1, *self.data.input)
        return tas.latency(net, example, beside=whole, runtime=self.runtime, seconds=10)

    def found(self, net: str, method: str, seed: int, teacher: Any) -> dict[str, Any]:
        """The net of a method before fine-tuning, kept."""
        import torch
        from training_runs import clock, keep

        place = self.place(net, method, seed).with_suffix(".pt")
        if not place.exists():
            started = clock()
            make = Makes(self, net, seed, teacher, place.with_suffix("") / "search")
            small, tries, note = getattr(make, method.replace("-", "_"))()
            seconds = clock() - started
            keep({"net": small, "tries": tries, "note": note, "seconds": seconds}, place)
        kept: dict[str, Any] = torch.load(place, weights_only=False)  # of this file's own making
        return kept


@dataclass
class Makes:
    """What each method makes of a teacher."""

    bench: Bench
    net: str
    seed: int
    teacher: Any
    log: Path

    def ms(self) -> tuple[Any, int, str]:
        budget = self.bench.options.budget
        return self._searched(budget, None, self.log, unit="ms"), 1, ""

    def macs(self) -> tuple[Any, int, str]:
        return self._at_time(None)

    def macs_any(self) -> tuple[Any, int, str]:
        return self._at_time(1)

    def tp(self) -> tuple[Any, int, str]:
        from torch_pruning_settings import GRADIENTS, SETTINGS, pruned
        from training_runs import untrained
        from zoo import NETS

        from tas.costs.count import count

        data = self.bench.data
        whole = count(self.teacher, data.input).macs
        best: tuple[float, Any, int, str] | None = None
        for name in SETTINGS:
            if name not in SETTINGS_TRIED:
                continue

            def cut(ratio: float, name: str = name) -> Any:
                given = islice(self._batches(), GRADIENTS)
                limit = ratio * whole
                return pruned(self.teacher, data.input, limit, SETTINGS[name], given, 8)

            try:
                net, tries = self._met(cut, self.bench.options.budget)
            except Exception as error:  # whatever a rival may raise
                print(f"  {name}: {str(error)[:120]}", flush=True)
                continue
            _, loss = untrained(net, data, NETS[self.net].precision)
            if best is None or loss < best[0]:
                best = loss, net, tries, name
        if best is None:
            raise NotReachedError("none of Torch-Pruning's settings meets the time")
        return best[1:]

    def _at_time(self, round_to: int | None) -> tuple[Any, int, str]:
        """Searched by multiply-adds, so that the time is met."""
        import tas
        from tas.api import search_space
        from tas.costs import Budget
        from tas.inherit import Source
        from tas.methods import TrialOptions, even_widths

        space, _ = search_space(
            self.teacher, self.bench.data, TrialOptions().method(), round_to=round_to
        )

        def search(ratio: float) -> Any:
            return self._searched(ratio, round_to, Path(f"{self.log}-{ratio:.3f}"))

        known = self.bench.alike(self.net, "macs" if round_to is None else "macs-any")
        if known:
            net, tries = self._met(search, known[-1].macs_ratio)
            return net, tries, ""
        source = Source.of(space, trained=False)

        def equal(ratio: float) -> Any:
            shape = even_widths(space, Budget.of(space, ratio))
            if shape is None:
                raise tas.InputError(f"no equal widths at {ratio:g}")
            return source.derive(shape)

        _, _, first = self._tried(equal, self.bench.options.budget, EQUAL_TRIES)
        net, tries = self._met(search, first)
        return net, tries, ""

    def _met(self, make: Callable[[float], Any], first: float) -> tuple[Any, int]:
        net, tries, _ = self._tried(make, first)
        return net, tries

    def _tried(
        self, make: Callable[[float], Any], first: float, most: int = TRIES
    ) -> tuple[Any, int, float]:
        """The slowest net within the time, how many were made, and its ratio of multiply-adds."""
        asked, ratio = self.bench.options.budget, first
        best: tuple[float, Any, float] | None = None
        tries = 0
        for _ in range(most):
            ratio = round(min(0.98, ratio), 3)
            net = make(ratio)
            took = self.bench.time(net, self.teacher).ratio
            tries += 1
            print(f"  {self.log.parent.name}: {ratio:g} takes {took:.3f}", flush=True)
            if took <= asked and (best is None or took > best[0]):
                best = took, net, ratio
            if ENOUGH * asked <= took <= asked:
                break
            step = AIM * asked / took
            ratio *= min(step, 0.9) if took > asked else step  # time may hardly fall with it
        if best is None:
            raise NotReachedError(f"none of {tries} nets takes {asked:g} of the time or less")
        return best[1], tries, best[2]

    def _searched(self, budget: float, round_to: int | None, log: Path, unit: str = "macs") -> Any:
        """Found by the default search, within a budget."""
        from dataclasses import replace

        from zoo import NETS

        import tas
        from tas.methods import TrialOptions
        from tas.recipes import quick
        from tas.runs import RunDir

        how = quick().inheriting().search
        assert isinstance(how, TrialOptions)
        found = tas.search(
            self.teacher,
            self.bench.data,
            budget,
            unit=unit,
            latency=self.bench.runtime if unit == "ms" else None,
            options=replace(how, precision=NETS[self.net].precision),
            round_to=round_to,
            seed=self.seed,
            workers=0,
            out=RunDir.open(log, {"budget": budget}),
            progress=False,
        )
        return found.derive()

    def _batches(self) -> Iterator[Any]:
        from dataclasses import replace

        from contenders import PICTURES

        from tas.data import Augment
        from tas.recipes import quick
        from tas.training.pictures import training_batches

        data = self.bench.data
        options = replace(quick().inheriting().search, batch_size=PICTURES)
        return iter(training_batches(data, data.train, options, Augment(), "auto", 0, self.seed))


if __name__ == "__main__":
    main()
