"""``tas search``: the shape within a budget, and the weights that its net inherits."""

from ..api import search_run
from ..options import SearchRunOptions
from .ending import interruptible
from .show import print_run

__all__ = ["main"]


def main(options: SearchRunOptions) -> None:
    print_run(search_run(options, guard=interruptible), quiet=options.quiet)
