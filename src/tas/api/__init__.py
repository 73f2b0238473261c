"""The jobs of the library: search, train, evaluate. The command line is made of these."""

from ..methods.baseline import equal_widths
from ..methods.probes.train import POOL
from ..training.pictures import check_net
from .search import Found, search
from .spaces import search_space
from .train import Trained, evaluate, train

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
