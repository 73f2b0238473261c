"""What the search from trained weights is worth: its shapes beside the best of the bench's table.

    python benchmarks/shape_bench/from_trained.py --data CIFAR10_FOLDER [--json]

The pictures, the net and the length of its training are those of the table of nets that inherit,
but the space is what such a search has by default, with a width for every layer. No table holds so
many shapes: what is found is trained, and so is what it is held against, each with the same seeds:
the best shape of the table, equal widths, random shapes. The regret is what a shape lies below the
best of the table, in points; it is negative where layers of one stage had better differ. The best
is trained with other seeds than those it was chosen by, which were kind to it. Nothing that
measures is seen by a search.

Beside it Kendall's tau between what the search believes of the table's shapes, which is how much
they lose untrained, and what they are worth; of those that cost 0.7 to 1 times a budget and are
nowhere wider than the unpruned net.
"""

import argparse
import json
import statistics
import sys
import time
from dataclasses import replace
from itertools import chain, product
from typing import Any

import bench
import torch
import truth
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from scipy.stats import kendalltau
from untrained import losses

import tas
from tas.api import search_space
from tas.costs import Budget
from tas.methods import TrialOptions, equal_widths
from tas.methods.sampling import states_near
from tas.recipes import quick
from tas.shape import Shape
from tas.space import Space

FRESH = 100  # the first seed of what is trained here; those of the table are lower
BEST, EQUAL, RANDOM = "best of the table", "equal widths", "random"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True, help="CIFAR-10 as a folder that tas reads")
    parser.add_argument("--budgets", type=float, nargs="+", default=list(bench.BUDGETS))
    parser.add_argument("--searches", type=int, default=5, help="seeds of the search")
    parser.add_argument("--trials", type=int, nargs="+", help="of a search; default: the preset's")
    parser.add_argument("--random", type=int, default=6, help="random shapes for each budget")
    parser.add_argument("--seeds", type=int, default=3, help="of each training; random shapes: one")
    parser.add_argument("--json", action="store_true", help="print a JSON object, not a table")
    options = parser.parse_args()

    pictures = bench.pictures(options.data)
    teacher = bench.trained_teacher(pictures)
    data, split = bench.searched(pictures)
    how = quick().inheriting().search
    assert isinstance(how, TrialOptions)
    space, source = search_space(teacher, data, how.method())
    grid, known = bench.space(), truth.means(bench.read_table(bench.INHERITED))
    beliefs = [
        (macs, -loss, known[key])
        for key, (macs, loss) in losses(space, source, (data, split), how).items()
        if key in known
    ]
    lengths = options.trials or [how.trials]
    result: dict[float, dict[str, Any]] = {}
    for budget in options.budgets:
        limit = Budget.of(space, budget)
        best = truth.baselines(grid, known, budget)["best"]["shape"]
        shapes = [(BEST, next(s for s in bench.shapes(grid) if bench.key(s) == best), 0.0)]
        shapes += [(EQUAL, equal_widths(space, limit), 0.0)]
        shapes += [(RANDOM, shape, 0.0) for shape in random_shapes(space, limit, options.random)]
        for trials, seed in product(lengths, range(options.searches)):
            of = replace(how, trials=trials)
            started = time.perf_counter()
            found = tas.search(
                teacher, data, budget, options=of, split=split, seed=seed, progress=False
            )
            shapes.append((f"{trials} trials", found.shape, time.perf_counter() - started))
        lines: dict[str, list[Any]] = {}
        for name, shape, seconds in shapes:
            seeds = range(FRESH, FRESH + (1 if name == RANDOM else options.seeds))
            accuracies = [bench.train(shape, pictures, seed, teacher) for seed in seeds]
            line = {"widths": widths(space, shape), "blocks": list(shape.depths.values())}
            line |= {
                "ratio": (shape.macs or 0) / (space.unpruned.macs or 1),
                "accuracies": accuracies,
            }
            line |= {"accuracy": statistics.mean(accuracies), "seconds": seconds}
            lines.setdefault(name, []).append(line)
            print(f"{budget} {name}: {line}", file=sys.stderr, flush=True)
        best_known = lines[BEST][0]["accuracy"]
        for line in chain.from_iterable(lines.values()):
            line["regret"] = best_known - line["accuracy"]
        near = [pair for macs, *pair in beliefs if 0.7 * limit.limit <= macs <= limit.limit]
        tau = float(kendalltau(*zip(*near, strict=True))[0])
        result[budget] = {"kendall_tau": tau, "shapes": lines}
    print(json.dumps(result)) if options.json else show(result)


def random_shapes(space: Space, limit: Budget, count: int) -> list[Shape]:
    """Shapes of at most 3 % less than a budget, with all blocks or fewer."""
    generator = torch.Generator().manual_seed(0)
    states = states_near(space, limit, 0.97, 1.0, count, generator).tolist()
    n = len(space.widths)
    return [space.shape(state[:n], state[n:]) for state in states]


def widths(space: Space, shape: Shape) -> dict[str, int]:
    """The shape's width of every choice that it has."""
    found = {c.name: [shape.widths[k] for k in c.keys if k in shape.widths] for c in space.widths}
    return {name: of[0] for name, of in found.items() if of}  # else of a block that is cut


def show(result: dict[float, dict[str, Any]]) -> None:
    table = Table(
        "budget", "shapes", "accuracy (%)", "regret", "seconds of a search", box=SIMPLE_HEAD
    )
    regrets: dict[str, list[list[float]]] = {}  # of every name and budget
    for budget, of_budget in result.items():
        for name, of in of_budget["shapes"].items():
            # The spread that counts is that of the shapes' means; the best and equal widths are
            # one shape.
            many = len(of) > 1
            each = [line["accuracy"] for line in of] if many else of[0]["accuracies"]
            regrets.setdefault(name, []).append([line["regret"] for line in of])
            seconds = statistics.mean(line["seconds"] for line in of)
            took = f"{seconds:.0f}" if seconds else ""
            regret = f"{statistics.mean(regrets[name][-1]):.2f}"
            table.add_row(str(budget), name, with_error(each), regret, took)
    for name, of in regrets.items():
        each = [statistics.mean(of_seed) for of_seed in zip(*of, strict=True)]
        table.add_row("mean", name, "", with_error(each), "")
    console = Console()
    console.print(table)
    console.print("± is the standard error")
    taus = ", ".join(f"{of['kendall_tau']:.2f} at {budget}" for budget, of in result.items())
    console.print(f"Kendall's tau between the loss of what is cut and the table: {taus}")


def with_error(values: list[float]) -> str:
    error = f" ± {statistics.stdev(values) / len(values) ** 0.5:.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{error}"


if __name__ == "__main__":
    main()
