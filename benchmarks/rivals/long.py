"""ResNet-20 or -56 at half of its multiply-adds, by trainings of 200 epochs: for a GPU.

    python benchmarks/rivals/long.py --data PATH --work FOLDER
    timeout -s INT 590 python benchmarks/rivals/long.py --data PATH --work FOLDER --net resnet56

All 50,000 pictures of CIFAR-10, one teacher, and four nets of half its multiply-adds: searched,
equal ratios, Torch-Pruning by the setting of seven that loses least on training pictures, and its
shape cut by us. The teacher and every fine-tuning take as many epochs, at a rate of 0.1. All else
is as in ``run.py``. Rows are appended to ``long.csv``. Ctrl-C loses nothing but an epoch, and the
same command goes on, on another machine as well where ``--work`` and the table are brought along.
"""

import argparse
import sys
import warnings
from dataclasses import replace
from pathlib import Path

from one_net import BEST_RIVAL, measure, parser_of
from plan import TRIALS
from run import say

NETS = ("resnet20", "resnet56")
METHODS = ("equal", "ours", BEST_RIVAL, "tp-shape")
RATE = 0.1


def main() -> int:
    parser = parser_of(__doc__, METHODS, 0, Path(__file__).with_name("long.csv"))
    parser.add_argument("--net", choices=NETS, default=NETS[0])
    parser.add_argument("--epochs", type=int, default=200, help="of every training (default: 200)")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    try:
        compare(options)
    except KeyboardInterrupt:
        print("\nstopped; nothing is lost: the same command goes on", file=sys.stderr)
        return 130
    return 0


def compare(options: argparse.Namespace) -> None:
    """The teacher, and the rows of all methods and seeds that are not there yet."""
    import zoo
    from bench import Bench
    from training_runs import FULL

    options.trials = TRIALS
    bench = Bench(options, say)
    # Epochs are meant for so many pictures: of more there are fewer.
    epochs = round(options.epochs * max(1.0, len(bench.data.train) / FULL) ** 0.5)
    zoo.NETS[options.net] = replace(
        zoo.NETS[options.net], epochs=epochs, tune_epochs=epochs, rates=(RATE,)
    )
    say(f"teacher: {bench.teacher(options.net).accuracy:.2f} %")
    measure(bench, options.net)


if __name__ == "__main__":
    sys.exit(main())
