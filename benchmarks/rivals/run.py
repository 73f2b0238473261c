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
from typing import TYPE_CHECKING

from plan import added, planned

if TYPE_CHECKING:
    from bench import Bench


def main() -> int:
    options = parsed()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    warnings.filterwarnings("ignore")
    import torch
    from bench import Bench

    torch.set_num_threads(options.threads)
    try:
        run(Bench(options, say), options)
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
    added(parser)
    options = parser.parse_args(given)
    if options.methods is not None:
        from contenders import METHODS

        strange = [name for name in options.methods if name not in METHODS]
        if strange:
            parser.error(f"--methods {strange[0]}: choose from {', '.join(METHODS)}")
    return options


def run(bench: "Bench", options: argparse.Namespace) -> None:
    """What was asked for and is not done, one after the other."""
    started = time.perf_counter()
    plan = list(planned(options))
    todo = [item for item in plan if not bench.done(item)]
    say(f"{len(plan)} steps, {len(plan) - len(todo)} of them done")
    while todo:
        hours = (time.perf_counter() - started) / 3600
        if options.hours is not None and hours >= options.hours:
            say(f"{options.hours:g} hours are over, {len(todo)} steps are left")
            return
        item = todo.pop(0)
        if not bench.done(item):  # a step before it may have measured it, or ruled it out
            begun = time.perf_counter()
            say(f"{item} ...")
            say(f"{item}: {bench.do(item)} ({time.perf_counter() - begun:.0f} s)")
        left = bench.hours_for(todo)
        say(f"  {len(todo)} steps left" + (f", about {left:.1f} h" if left else ""))


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
