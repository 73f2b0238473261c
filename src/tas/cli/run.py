"""``tas run``: ``tas.run``, and its result on the terminal."""

from ..api import run
from ..options import RunOptions
from .ending import interruptible
from .show import print_run

__all__ = ["main"]


def main(options: RunOptions) -> None:
    print_run(run(options, guard=interruptible), quiet=options.quiet)
