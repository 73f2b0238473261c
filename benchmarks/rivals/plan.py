"""What is to be measured: every net, at every budget, by every method and seed."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["BUDGETS", "NET_NAMES", "STAGES", "TRIALS", "TUNED", "Item", "added", "planned"]

NET_NAMES = (
    *("resnet20", "resnet20_long", "mobilenet_v2", "vgg11_bn", "regnetx_002", "convnext_atto"),
    *("shufflenet_v2", "densenet40", "resnet56", "vit_tiny"),
)
STAGES = ("steps", "teachers", "untrained", "rate", "tuned")
BUDGETS = (0.7, 0.5, 0.3)
TRIALS = 300  # of our search by default
TUNED = 3  # settings of Torch-Pruning, unless methods are named
RATE_BUDGET = 0.5


class Item(NamedTuple):
    """One thing to measure."""

    stage: str
    net: str
    budget: float = 1.0
    method: str = ""
    seed: int = 0

    def __str__(self) -> str:
        chosen = f" {self.budget:g} {self.method} seed {self.seed}" if self.method else ""
        return f"{self.net} {self.stage}{chosen}"


def added(parser: argparse.ArgumentParser) -> None:
    """The options that choose what is measured."""
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
    add("--trials", type=int, default=TRIALS, help=f"of our search (default: its own, {TRIALS})")
    add("--hours", type=float, help="begin no row after so many")
    add("--threads", type=int, default=1, help="of the processor (default: 1)")
    add("--again", action="store_true", help="try rows again that ended in an error")
    add("--table", type=Path, help="CSV file (default: rows.csv beside this file)")


def planned(options: argparse.Namespace) -> Iterator[Item]:
    """Net by net, and stage by stage."""
    for net in options.nets:
        for stage in (stage for stage in STAGES if stage in options.stage):
            if stage in ("steps", "teachers"):
                yield Item(stage, net)
            elif stage == "rate":
                yield Item(stage, net, RATE_BUDGET, "equal")
            else:
                yield from _compared(options, stage, net)


def _compared(options: argparse.Namespace, stage: str, net: str) -> Iterator[Item]:
    from contenders import METHODS

    for seed in options.seeds:
        for budget in options.budgets:
            for method in options.methods or METHODS:
                # What draws nothing is cut once, and fine-tuned by every seed.
                if stage == "tuned" or METHODS[method].draws or seed == options.seeds[0]:
                    yield Item(stage, net, budget, method, seed)
