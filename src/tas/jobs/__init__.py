"""The jobs of the library: search, train, evaluate. The command line is made of these."""

from .common import check_net
from .equal import equal_widths
from .probes import POOL
from .searches import Found, search
from .spaces import search_space
from .trainings import Trained, evaluate, train

__all__ = [
    "POOL",
    "Found",
    "Trained",
    "check_net",
    "equal_widths",
    "evaluate",
    "search",
    "search_space",
    "train",
]
