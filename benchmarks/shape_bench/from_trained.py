"""What the search from trained weights is worth: its shapes beside equal widths and random shapes.

    python benchmarks/shape_bench/from_trained.py --data CIFAR10_FOLDER [--json]

The pictures, the net and the length of its training are those of the table of nets that inherit,
but the space is what such a search has by default, with a width for every layer. No table holds so
many shapes: what is found is trained, and so is what it is held against, each with the same seeds.
Nothing that measures is seen by a search.
"""

import argparse
import json
import statistics
import sys
import time
from dataclasses import replace
from itertools import product
from typing import Any

import bench
import torch
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

import tas
from tas.jobs import equal_widths, search_space
from tas.recipes import quick
from tas.sampling import states_near
from tas.shape import Shape
from tas.space import Space
from tas.training import TrialOptions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True, help="CIFAR-10 as a folder that tas reads")
    parser.add_argument("--budgets", type=float, nargs="+", default=list(bench.BUDGETS))
    parser.add_argument("--searches", type=int, default=3, help="seeds of the search")
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
    space = search_space(teacher, data, options=how)
    lengths = options.trials or [how.trials]
    result: dict[float, dict[str, list[Any]]] = {}
    for budget in options.budgets:
        limit = space.budget(budget)
        shapes = [("equal", equal_widths(space, limit), 0.0)]
        shapes += [("random", shape, 0.0) for shape in random_shapes(space, limit, options.random)]
        for trials, seed in product(lengths, range(options.searches)):
            of = replace(how, trials=trials)
            started = time.perf_counter()
            found = tas.search(
                space, data, budget, options=of, split=split, seed=seed, progress=False
            )
            shapes.append((f"{trials} trials", found.shape, time.perf_counter() - started))
        lines: dict[str, list[Any]] = {}
        for name, shape, seconds in shapes:
            seeds = range(1 if name == "random" else options.seeds)
            accuracies = [bench.train(shape, pictures, seed, teacher) for seed in seeds]
            line = {"widths": widths(space, shape), "blocks": list(shape.depths.values())}
            line |= {"ratio": (shape.macs or 0) / space.full_cost(), "accuracies": accuracies}
            line |= {"seconds": seconds}
            lines.setdefault(name, []).append(line)
            print(f"{budget} {name}: {line}", file=sys.stderr, flush=True)
        result[budget] = lines
    print(json.dumps(result)) if options.json else show(result)


def random_shapes(space: Space, limit: int, count: int) -> list[Shape]:
    """Shapes of at most 3 % less than a budget, with all blocks or fewer."""
    generator = torch.Generator().manual_seed(0)
    states = states_near(space, limit, "macs", 0.97, 1.0, count, generator).tolist()
    n = len(space.widths)
    return [space.shape(state[:n], state[n:]) for state in states]


def widths(space: Space, shape: Shape) -> dict[str, int]:
    """The shape's width of every choice that it has."""
    found = {c.name: [shape.widths[k] for k in c.keys if k in shape.widths] for c in space.widths}
    return {name: of[0] for name, of in found.items() if of}  # else of a block that is cut


def show(result: dict[float, dict[str, list[Any]]]) -> None:
    table = Table("budget", "shapes", "accuracy (%)", "seconds of a search", box=SIMPLE_HEAD)
    for budget, lines in result.items():
        for name, of in lines.items():
            # The spread that counts is that of the shapes' means; equal widths are one shape.
            means = [statistics.mean(line["accuracies"]) for line in of]
            each = means if len(means) > 1 else of[0]["accuracies"]
            spread = f" ± {statistics.stdev(each) / len(each) ** 0.5:.2f}" if len(each) > 1 else ""
            seconds = statistics.mean(line["seconds"] for line in of)
            took = f"{seconds:.0f}" if seconds else ""
            table.add_row(str(budget), name, f"{statistics.mean(means):.2f}{spread}", took)
    console = Console()
    console.print(table)
    console.print("± is the standard error")


if __name__ == "__main__":
    main()
