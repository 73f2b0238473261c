"""One net, cut once by some methods and fine-tuned alike by every seed, on the bench of ``run.py``.

What ``heads.py`` and ``finetuned.py`` share: options, and the rows that are measured.
"""

import argparse
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from plan import RATE_BUDGET, Item
from run import say

if TYPE_CHECKING:
    from bench import Bench

__all__ = ["BEST_RIVAL", "measure", "on_one_thread", "parser_of"]

BEST_RIVAL = "torch-pruning"  # by the setting that loses least untrained


def parser_of(
    text: str | None, methods: Sequence[str], pictures: int, table: Path
) -> argparse.ArgumentParser:
    """The options of a command, of which the text is the docstring."""
    parser = argparse.ArgumentParser(description=(text or "").split("\n")[0])
    add = parser.add_argument
    add("--data", required=True, metavar="PATH", help="pictures, as `tas run --data` takes them")
    add("--work", required=True, type=Path, help="folder for teachers, nets and checkpoints")
    add("--pictures", type=int, default=pictures, help="to train on")
    add("--methods", nargs="*", choices=methods, default=list(methods))
    add("--seeds", nargs="+", type=int, default=[0, 1, 2])
    add("--table", type=Path, default=table)
    parser.set_defaults(data_dir=None, threads=1, again=False)  # of the bench
    return parser


def on_one_thread() -> None:
    """Compute on one thread, and be quiet about what libraries warn of."""
    os.environ["OMP_NUM_THREADS"] = "1"
    warnings.filterwarnings("ignore")
    import torch

    torch.set_num_threads(1)


def measure(bench: "Bench", net: str) -> None:
    """The rows of all methods and seeds that are not there yet."""
    for name in bench.options.methods:
        named = name == BEST_RIVAL
        method = bench.best_rival(net, RATE_BUDGET) if named else name
        if method is None:
            say(f"{net}: none of Torch-Pruning's settings made a net")
            continue
        seeds = bench.options.seeds
        tuned = [Item("tuned", net, RATE_BUDGET, method, seed) for seed in seeds]
        for item in (Item("untrained", net, RATE_BUDGET, method), *tuned):
            if not bench.done(item):
                say(f"{item}: {bench.do(item)}")
