"""``tas train``: a net or a shape, on labels alone or with a teacher."""

from ..api import train_run
from ..options import TrainRunOptions
from .ending import interruptible
from .show import print_run

__all__ = ["main"]


def main(options: TrainRunOptions) -> None:
    print_run(train_run(options, guard=interruptible), quiet=options.quiet)
