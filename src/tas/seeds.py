"""Seeds: the whole numbers that every generator here takes, scikit-learn's among them."""

from numbers import Integral
from typing import Any

from .errors import InputError, quoted

__all__ = ["SEEDS", "check_seed"]

SEEDS = 2**32  # how many there are, from 0 on; one that is made of another stays below it


def check_seed(seed: Any) -> None:
    """Raise ``InputError`` unless a seed is a whole number from 0 to 2**32 - 1."""
    whole = isinstance(seed, Integral) and not isinstance(seed, bool)
    if not whole or not 0 <= seed < SEEDS:
        raise InputError(
            f"--seed {quoted(seed)}: give a whole number from 0 to {SEEDS - 1}; "
            "the command draws one where it is -1"
        )
