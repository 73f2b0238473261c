"""Finds out what may shrink in any net: one forward pass, and the channels that it follows."""

from .cut import copied, cut, cut_to, kept_atoms, reordered
from .masks import Masks
from .runs import Run
from .structure import Locked, Structure, Width, analyse

__all__ = [
    "Locked",
    "Masks",
    "Run",
    "Structure",
    "Width",
    "analyse",
    "copied",
    "cut",
    "cut_to",
    "kept_atoms",
    "reordered",
]
