"""Finds out what may shrink in any net: one forward pass, and the channels that it follows."""

from .blocks import Run
from .cut import copied, cut, reordered
from .masks import Masks
from .shapes import cut_to, kept_atoms
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
