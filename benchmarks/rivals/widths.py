"""Widths in steps that hardware is fast with, the default, beside any width: what they cost.

    python benchmarks/rivals/widths.py --data PATH --work FOLDER [--net resnet20]

Both are searched at half of the multiply-adds and fine-tuned alike, three seeds of search and
fine-tuning. All else is as in ``run.py``, the choice of the rate as well. Rows are appended to
``widths.csv``; the command goes on from there.
"""

import sys
from functools import partial
from pathlib import Path

from one_net import measure, on_one_thread, parser_of
from plan import TRIALS
from run import say


def main() -> int:
    table = Path(__file__).with_name("widths.csv")
    parser = parser_of(__doc__, ("ours", "any"), 10_000, table)
    parser.add_argument("--net", default="resnet20", help="of those of run.py (default: resnet20)")
    options = parser.parse_args()
    on_one_thread()
    from bench import Bench
    from contenders import METHODS, Method, searched

    METHODS["any"] = Method("searched, any width", partial(searched, round_to=1))
    options.trials = TRIALS
    measure(Bench(options, say), options.net)
    return 0


if __name__ == "__main__":
    sys.exit(main())
