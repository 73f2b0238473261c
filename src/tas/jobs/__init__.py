"""The jobs of the library: search, train, evaluate. The command line is made of these."""

from .searches import POOL, Found, equal_widths, search, search_space
from .trainings import Trained, evaluate, train

__all__ = [
    "POOL",
    "Found",
    "Trained",
    "equal_widths",
    "evaluate",
    "search",
    "search_space",
    "train",
]
