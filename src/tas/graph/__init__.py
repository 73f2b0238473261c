"""Finds out what may shrink in any net: one forward pass, and the channels that it follows.

An operator of your own is searched once it has a rule (``rule``, and ``tas.costs.counter`` for what
it costs), a module of your own once ``mirror`` says which attributes repeat its sizes.
"""

from .cut import Cutter, copied, cut, cut_to, kept_atoms, kept_blocks, reordered
from .labels import Plane, Tracer
from .masks import Masks
from .mirrors import mirror
from .rules import Call, rule, rule_of
from .runs import Run
from .structure import Locked, Structure, Width, analyse

__all__ = [
    "Call",
    "Cutter",
    "Locked",
    "Masks",
    "Plane",
    "Run",
    "Structure",
    "Tracer",
    "Width",
    "analyse",
    "copied",
    "cut",
    "cut_to",
    "kept_atoms",
    "kept_blocks",
    "mirror",
    "reordered",
    "rule",
    "rule_of",
]
