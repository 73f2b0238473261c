"""Our search beside Torch-Pruning, equal ratios and random shapes: one command, one table.

    python benchmarks/rivals/run.py --data PATH --work FOLDER
    python benchmarks/rivals/run.py --data PATH --work FOLDER --nets resnet20 --stage untrained
    python benchmarks/rivals/run.py --data fashion-mnist --data-dir FOLDER --work FOLDER --hours 2
    python benchmarks/rivals/page.py        (draws docs/rivals.md from the table alone)

A row for every net, data set, budget, method and seed is appended to ``rows.csv`` when it is done;
the same command goes on where it was stopped, at any moment. Teachers, cut nets and checkpoints
are kept in the working folder.

Stages, all in their order unless one is chosen:

    steps      times a few steps of every net, and foretells the hours of its teacher
    teachers   trains the unpruned nets, once for each data set
    untrained  cuts by every method, and tests: no training, seconds to minutes a row
    rate       equal ratios choose the rate of every fine-tuning, on held-out training pictures
    tuned      fine-tunes by every method: minutes to hours a row

Rules, so that the comparison is fair:

 1. One teacher for each net and data set, trained on labels; every method starts from it.
 2. The budget is multiply-adds, counted by one counter on the net that comes out. What was reached
    stands in every row. Torch-Pruning's ratio is searched to end at most 1 % below the budget.
 3. Before an untrained net is tested its norms measure anew on 2,048 training pictures, the same
    ones for every method.
 4. Fine-tuning is the same for every method: epochs, batches of 128, labels and the teacher's
    answers half and half. Its rate is the one by which equal ratios at a budget of 0.5 do best on
    held-out training pictures. Nothing of ours has a say in it.
 5. Accuracy is that of the last epoch, on all test pictures. Nothing is chosen by these.
 6. Torch-Pruning is run in seven settings. Without fine-tuning all count. The three that lose least
    untrained, on training pictures, are fine-tuned, unless --methods says more. The page holds ours
    against the best of them for each net and budget, which is chosen afterwards, in its favour.
 7. Ours is the default search in every row: nothing is set for a net. Trials stand in the row.
 8. Three seeds: of what a method draws, and of the fine-tuning. Where a method draws nothing, its
    untrained net is measured once.
 9. What fails is a row with its error.
10. Seconds are of the processor (of the wall with a GPU): other programs do not count.
"""

import argparse
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

NET_NAMES = (
    *("resnet20", "mobilenet_v2", "vgg11_bn", "regnetx_002", "convnext_atto"),
    *("shufflenet_v2", "densenet40", "resnet56", "vit_tiny"),
)
STAGES = ("steps", "teachers", "untrained", "rate", "tuned")
BUDGETS = (0.7, 0.5, 0.3)
TRIALS = 300  # of our search by default
TUNED = 3  # settings of Torch-Pruning, unless methods are named
RATE_BUDGET = 0.5


def main() -> int:
    options = parsed()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    warnings.filterwarnings("ignore")
    import torch

    torch.set_num_threads(options.threads)
    try:
        Bench(options).run()
    except KeyboardInterrupt:
        print("\nstopped; nothing is lost: the same command goes on", file=sys.stderr)
        return 130
    return 0


def parsed(given: list[str] | None = None) -> argparse.Namespace:
    head, _, _ = (__doc__ or "").partition("Rules, so")
    parser = argparse.ArgumentParser(
        description=head,
        epilog="The rules that keep it fair stand at the head of this file and on the page.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--data", required=True, metavar="PATH", help="pictures, as `tas run --data` takes them")
    add("--data-dir", metavar="PATH", help="folder of the official files of a named set")
    add("--work", required=True, type=Path, help="folder for teachers, cut nets and checkpoints")
    add("--pictures", type=int, default=10_000, help="to train on; 0: all (default: 10000)")
    add("--nets", nargs="+", choices=NET_NAMES, default=list(NET_NAMES), metavar="NET",
        help=f"default: all of {', '.join(NET_NAMES)}")  # fmt: skip
    add("--budgets", nargs="+", type=float, default=list(BUDGETS), metavar="RATIO")
    add("--methods", nargs="+", metavar="METHOD",
        help="default: all; when fine-tuning, of Torch-Pruning the three best")  # fmt: skip
    add("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="SEED")
    add("--stage", nargs="+", choices=STAGES, default=list(STAGES), metavar="STAGE",
        help=f"{', '.join(STAGES)} (default: all)")  # fmt: skip
    add("--trials", type=int, default=TRIALS, help="of our search (default: its own, 300)")
    add("--hours", type=float, help="begin no row after so many")
    add("--threads", type=int, default=1, help="of the processor (default: 1)")
    add("--again", action="store_true", help="try rows again that ended in an error")
    add("--table", type=Path, help="CSV file (default: rows.csv beside this file)")
    options = parser.parse_args(given)
    if options.methods is not None:
        from contenders import METHODS

        strange = [name for name in options.methods if name not in METHODS]
        if strange:
            parser.error(f"--methods {strange[0]}: choose from {', '.join(METHODS)}")
    return options


class Bench:
    """The rows that were asked for, one after the other."""

    def __init__(self, options: argparse.Namespace) -> None:
        import pictures
        from rows import TABLE, Rows, environment

        self.options = options
        self.rows = Rows(options.table or TABLE)
        if options.again:
            say(f"{self.rows.forget_errors()} rows that ended in an error are tried again")
        self.name, self.data = pictures.load(options.data, options.data_dir, options.pictures)
        self.environment = environment(options.threads)
        self.started = time.perf_counter()
        self.teachers: dict[str, Any] = {}

    def run(self) -> None:
        plan = list(self.plan())
        todo = [item for item in plan if not self.done(item)]
        say(f"{len(plan)} steps, {len(plan) - len(todo)} of them done")
        while todo:
            hours = (time.perf_counter() - self.started) / 3600
            if self.options.hours is not None and hours >= self.options.hours:
                say(f"{self.options.hours:g} hours are over, {len(todo)} steps are left")
                return
            item = todo.pop(0)
            if not self.done(item):
                self.do(item)
            left = self.left(todo)
            say(f"  {len(todo)} steps left" + (f", about {left:.1f} h" if left else ""))

    def plan(self) -> Iterator[tuple[str, str, float, str, int]]:
        """Stage, net, budget, method, seed: net by net."""
        from contenders import METHODS

        chosen = self.options
        names = list(METHODS) if chosen.methods is None else chosen.methods
        for net in chosen.nets:
            for stage in STAGES:
                if stage not in chosen.stage:
                    continue
                if stage in ("steps", "teachers"):
                    yield stage, net, 1.0, "", 0
                elif stage == "rate":
                    yield stage, net, RATE_BUDGET, "equal", 0
                else:
                    for seed in chosen.seeds:
                        for budget in chosen.budgets:
                            for name in names:
                                again = METHODS[name].draws or seed == chosen.seeds[0]
                                if stage == "tuned" or again:
                                    yield stage, net, budget, name, seed

    def done(self, item: tuple[str, str, float, str, int]) -> bool:
        stage, net, budget, method, seed = item
        if stage == "teachers":
            return self.teacher_file(net).exists()
        if stage == "rate":
            return self.rate(net) is not None
        if stage == "tuned" and not self.is_tuned(net, budget, method):
            return True
        row = self.rows.known.get(self.key(stage, net, budget, method, seed))
        return row is not None and self.is_current(row)

    def is_current(self, row: Any) -> bool:
        """Whether our search was as long as it is to be now."""
        return row.method != "ours" or row.trials == self.options.trials

    def do(self, item: tuple[str, str, float, str, int]) -> None:
        stage, net, budget, method, seed = item
        started = time.perf_counter()
        text = f"{net} {stage}" + (f" {budget:g} {method} seed {seed}" if method else "")
        say(f"{text} ...")
        if stage == "teachers":
            teacher = self.teacher(net)
            result = f"{teacher.accuracy:.2f} %"
        elif stage == "rate":
            result = f"{self.choose_rate(net):g}"
        elif stage == "steps":
            row = self.steps(net)
            result = f"teacher of about {(row.teacher_seconds or 0) / 60:.0f} min"
        else:
            row = (self.untrained if stage == "untrained" else self.tuned)(
                net, budget, method, seed
            )
            result = row.error or f"{row.accuracy:.2f} % at {row.macs_ratio:.3f}"
        say(f"{text}: {result} ({time.perf_counter() - started:.0f} s)")

    # Keys and what is kept

    def key(self, stage: str, net: str, budget: float, method: str, seed: int, lr: float = 0.0):
        return net, self.name, len(self.data.train), budget, method, seed, stage, lr

    def row(self, stage: str, net: str, budget: float, method: str, seed: int, **more: Any):
        from rows import Row

        made = Row(
            *(net, self.name, len(self.data.train), budget, method, seed, stage),
            **{**self.environment, **more},
        )
        self.rows.add(made)
        return made

    def teacher_file(self, net: str) -> Path:
        return self.options.work / f"teacher-{net}-{self.name}-{len(self.data.train)}.pt"

    def teacher(self, net: str) -> Any:
        from training_runs import teacher_of

        if net not in self.teachers:
            self.teachers = {net: teacher_of(net, self.data, self.options.work)}  # one at a time
        return self.teachers[net]

    # Stages

    def steps(self, net: str) -> Any:
        from training_runs import epochs_for, seconds_per_picture
        from zoo import NETS

        epochs = epochs_for(NETS[net].epochs, len(self.data.train))
        seconds = seconds_per_picture(net, self.data) * len(self.data.train) * epochs
        return self.row("steps", net, 1.0, "", 0, teacher_seconds=seconds, epochs=epochs)

    def found(self, net: str, budget: float, method: str, seed: int) -> dict[str, Any]:
        """What a method makes, kept: the net and seconds, or an error."""
        import torch
        from contenders import METHODS, Task
        from training_runs import clock, keep
        from zoo import NETS

        if not METHODS[method].draws:
            seed = 0
        trials = self.options.trials if method == "ours" else 0
        name = f"{net}-{self.name}-{len(self.data.train)}-{budget:g}-{method}-{seed}"
        place = self.options.work / f"found-{name}{f'-{trials}' if trials else ''}.pt"
        if place.exists():
            return torch.load(place, weights_only=False)  # of this bench's own making
        task = Task(
            self.teacher(net).net,
            self.data,
            budget,
            seed,
            NETS[net].precision,
            self.options.trials,
            lambda of: self.found(net, budget, of, 0)["net"],
            lambda: self.best_rivals(net, budget)[0],
            place.with_suffix(""),
        )
        started = clock()
        made = METHODS[method].make(task)
        kept = {
            "net": made,
            "seconds": clock() - started + sum(task.spent),
            "note": " ".join(task.notes),
        }
        keep(kept, place)
        return kept

    def best_rivals(self, net: str, budget: float) -> list[str]:
        """Torch-Pruning's settings, the one of the least loss on training pictures first."""
        from contenders import RIVALS

        rows = [self.untrained(net, budget, name, 0) for name in RIVALS]
        fit = [row for row in rows if not row.error]
        if not fit:
            raise ValueError("none of Torch-Pruning's settings made a net")
        return [row.method for row in sorted(fit, key=lambda row: row.loss)]

    def is_tuned(self, net: str, budget: float, method: str) -> bool:
        """Whether a method is fine-tuned: of Torch-Pruning the best settings, and what is named."""
        from contenders import RIVALS

        if self.options.methods is not None or method not in RIVALS:
            return True
        known = [self.rows.known.get(self.key("untrained", net, budget, n, 0)) for n in RIVALS]
        if any(row is None for row in known):
            return True  # is to be seen
        return method in self.best_rivals(net, budget)[:TUNED]

    def untrained(self, net: str, budget: float, method: str, seed: int) -> Any:
        from training_runs import untrained
        from zoo import NETS

        key = self.key("untrained", net, budget, method, seed)
        if key in self.rows.known and self.is_current(self.rows.known[key]):
            return self.rows.known[key]

        def measure() -> dict[str, Any]:
            found = self.found(net, budget, method, seed)
            figures = self.costs(net, found)
            accuracy, loss = untrained(found["net"], self.data, NETS[net].precision)
            return {**figures, "accuracy": accuracy, "loss": loss}

        return self.measured("untrained", net, budget, method, seed, measure)

    def tuned(self, net: str, budget: float, method: str, seed: int) -> Any:
        from training_runs import tune_epochs, tuned

        if not self.is_tuned(net, budget, method):
            return None

        def measure() -> dict[str, Any]:
            lr = self.choose_rate(net)
            found = self.found(net, budget, method, seed)
            figures = self.costs(net, found)
            out = self.options.work / "-".join(
                map(str, ("tuned", net, self.name, len(self.data.train), budget, method, seed))
            )
            accuracy, seconds = tuned(
                found["net"], self.teacher(net).net, net, self.data, lr, seed, out
            )
            figures |= {"epochs": tune_epochs(net, self.data), "lr": lr}
            return {**figures, "accuracy": accuracy, "tune_seconds": seconds}

        return self.measured("tuned", net, budget, method, seed, measure)

    def measured(
        self,
        stage: str,
        net: str,
        budget: float,
        method: str,
        seed: int,
        measure: Callable[[], dict[str, Any]],
    ) -> Any:
        """A row, or one with the error."""
        teacher = self.teacher(net)
        known = {"teacher_accuracy": teacher.accuracy, "teacher_seconds": teacher.seconds}
        if method == "ours":
            known["trials"] = self.options.trials
        try:
            return self.row(stage, net, budget, method, seed, **{**known, **measure()})
        except OSError:  # a full disk, say, is nobody's failure
            raise
        except Exception as error:  # whatever a rival, a net or we ourselves may raise
            text = " ".join(str(error).split())[:120]
            error_text = f"{type(error).__name__}: {text}"
            return self.row(stage, net, budget, method, seed, **known, error=error_text)

    def costs(self, net: str, found: dict[str, Any]) -> dict[str, Any]:
        from tas.costs.count import count

        own = count(found["net"], self.data.input)
        whole = count(self.teacher(net).net, self.data.input)
        return {
            "macs_ratio": own.macs / whole.macs,
            "params_ratio": own.params / whole.params,
            "search_seconds": found["seconds"],
            "note": found["note"],
        }

    # The rate

    def rate(self, net: str) -> float | None:
        """That by which equal ratios do best; None before all have been tried."""
        from zoo import NETS

        known = [
            self.rows.known.get(self.key("rate", net, RATE_BUDGET, "equal", 0, lr))
            for lr in NETS[net].rates
        ]
        if any(row is None for row in known):
            return None
        best = max((row for row in known if row), key=lambda row: row.accuracy or 0.0)
        return best.lr

    def choose_rate(self, net: str) -> float:
        import copy

        import pictures
        from training_runs import tune_epochs, tuned
        from zoo import NETS

        data, teacher = pictures.held_out(self.data), self.teacher(net)
        for lr in NETS[net].rates:
            if self.key("rate", net, RATE_BUDGET, "equal", 0, lr) in self.rows.known:
                continue
            found = self.found(net, RATE_BUDGET, "equal", 0)
            out = self.options.work / f"rate-{net}-{self.name}-{len(self.data.train)}-{lr:g}"
            small = copy.deepcopy(found["net"])
            accuracy, seconds = tuned(small, teacher.net, net, data, lr, 0, out)
            row = self.row(
                *("rate", net, RATE_BUDGET, "equal", 0),
                accuracy=accuracy,
                tune_seconds=seconds,
                lr=lr,
                epochs=tune_epochs(net, self.data),
                **self.costs(net, found),
            )
            say(f"  rate {lr:g}: {row.accuracy:.2f} % of the held-out pictures")
        rate = self.rate(net)
        assert rate is not None
        return rate

    # Time

    def left(self, todo: list[tuple[str, str, float, str, int]]) -> float | None:
        """Hours of what is to be done, as far as rows and steps tell."""
        from hours import seconds_of

        known = list(self.rows)
        parts = [
            seconds_of(known, self.name, len(self.data.train), stage, net, budget, method)
            for stage, net, budget, method, seed in todo
            if not self.done((stage, net, budget, method, seed))
        ]
        told = [part for part in parts if part is not None]
        return sum(told) / 3600 if told else None


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
