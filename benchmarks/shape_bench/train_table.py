"""Train every shape of the bench, from scratch, and write its accuracy into the table.

    python benchmarks/shape_bench/train_table.py --data CIFAR10_FOLDER --seeds 0 1

Every row is written when it is known; started again, it trains what is missing. Cheap shapes come
first: those up to 0.7 of the unpruned net's multiply-adds, among which the budgets lie.

    python benchmarks/shape_bench/train_table.py --data CIFAR10_FOLDER --seeds 2 --near 2.3

trains only what may be the best at a budget: shapes that fit it and whose mean of the seeds 0 and 1
lies at most so many points below the best, and equal widths. There the noise matters most, and in
what a search has found: ``--only 8,24,48,2,2,1`` trains these shapes alone.

    python benchmarks/shape_bench/train_table.py --data CIFAR10_FOLDER --inherit --most 0.7

trains the unpruned net first; every shape then inherits its weights and is distilled from it, and
the figures go into a table of their own.
"""

import argparse
import csv
import multiprocessing
import os
import random
import time
from pathlib import Path
from typing import Any

import bench
import torch
from torch import nn

from tas.costs import Budget
from tas.methods import equal_widths
from tas.shape import Shape
from tas.space import Space

Job = tuple[Shape, int]
_pictures: bench.Pictures
_teacher: nn.Module | None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True, help="CIFAR-10 as a folder that tas reads")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--most", type=float, default=9, help="leave dearer shapes out (a ratio)")
    parser.add_argument("--near", type=float, help="points; leave out shapes that are worse")
    parser.add_argument(
        "--only", type=_key, nargs="+", help="these shapes alone: widths and blocks of the stages"
    )
    parser.add_argument("--inherit", action="store_true", help="from a trained net's weights")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    options = parser.parse_args()

    table = bench.INHERITED if options.inherit else bench.TABLE
    todo = jobs(table, options.seeds, options.most, options.near)
    if options.only:
        space = bench.space()
        known = {bench.key(shape) for shape in (*bench.shapes(space), *_equal(space))}
        for key in set(options.only) - known:
            parser.error(f"--only {','.join(map(str, key))}: not a shape of the bench")
        todo = [(shape, seed) for shape, seed in todo if bench.key(shape) in options.only]
    print(f"{len(todo)} trainings to do, in {options.processes} processes", flush=True)
    teacher = bench.trained_teacher(bench.pictures(options.data)) if options.inherit else None
    started = time.perf_counter()
    context = multiprocessing.get_context("spawn")
    with context.Pool(options.processes, _start, [options.data, teacher]) as pool:
        for done, row in enumerate(pool.imap_unordered(_train, todo), start=1):
            write(table, row)
            left = (time.perf_counter() - started) / done * (len(todo) - done)
            print(f"{done}/{len(todo)} {row} {left / 60:.0f} min left", flush=True)


def jobs(table: Path, seeds: list[int], most: float, near: float | None = None) -> list[Job]:
    """What the table lacks: the baselines, then a seed after another, cheap shapes first."""
    space, known = bench.space(), bench.read_table(table)
    full = space.unpruned.macs or 1
    grid = [s for s in bench.shapes(space) if s.macs and s.macs <= most * full]
    if near is not None:
        grid = [s for s in grid if _is_near(s, known, full, near)]
    random.Random(0).shuffle(grid)  # so that an unfinished table is a fair sample
    groups = [
        _equal(space),
        [s for s in grid if _cheap(s, full)],
        [s for s in grid if not _cheap(s, full)],
    ]
    return [
        (shape, seed)
        for group in groups
        for seed in seeds
        for shape in group
        if seed not in known.get(bench.key(shape), {})
    ]


def _equal(space: Space) -> list[Shape]:
    """Equal widths at every budget."""
    budgets = [Budget.of(space, ratio) for ratio in bench.BUDGETS]
    return [shape for budget in budgets if (shape := equal_widths(space, budget))]


def _key(text: str) -> bench.Key:
    return tuple(map(int, text.split(",")))


def write(table: Path, row: dict[str, Any]) -> None:
    new = not table.exists()
    with table.open("a", newline="") as file:
        writer = csv.DictWriter(file, bench.COLUMNS, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)


def _cheap(shape: Shape, full: int) -> bool:
    return (shape.macs or 0) <= 0.7 * full


def _is_near(
    shape: Shape, known: dict[bench.Key, dict[int, float]], full: int, points: float
) -> bool:
    """Whether it is at most so many points below the best at some budget, by the first two seeds.

    By these alone, so that the answer stays the same while more are trained.
    """
    means = {k: (of[0] + of[1]) / 2 for k, of in known.items() if {0, 1} <= of.keys()}
    own = means.get(bench.key(shape))
    if own is None:
        return False
    costs = {bench.key(s): s.macs or 0 for s in bench.shapes(bench.space())}
    for budget in bench.BUDGETS:
        fitting = [m for k, m in means.items() if k in costs and costs[k] <= budget * full]
        if (shape.macs or 0) <= budget * full and own >= max(fitting) - points:
            return True
    return False


def _start(folder: str, teacher: nn.Module | None) -> None:
    global _pictures, _teacher
    torch.set_num_threads(1)
    _pictures, _teacher = bench.pictures(folder), teacher


def _train(job: Job) -> dict[str, Any]:
    shape, seed = job
    started = time.perf_counter()
    accuracy = bench.train(shape, _pictures, seed, _teacher)
    seconds = round(time.perf_counter() - started, 1)
    numbers = (*bench.key(shape), shape.macs, shape.params, seed, round(accuracy, 3), seconds)
    return dict(zip(bench.COLUMNS, numbers, strict=True))


if __name__ == "__main__":
    main()
