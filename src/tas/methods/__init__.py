"""Methods: the ways to search, behind one protocol.

``trials`` is the default, ``probes`` searches from fresh weights, ``paper`` is the paper's.
"""

from .baseline import equal_widths, even_widths
from .found import Found
from .method import Method, MethodOptions, Problem
from .paper import PaperOptions
from .probes import ProbeOptions
from .trials import TrialOptions

__all__ = [
    "OPTIONS",
    "Found",
    "Method",
    "MethodOptions",
    "PaperOptions",
    "ProbeOptions",
    "Problem",
    "TrialOptions",
    "equal_widths",
    "even_widths",
]

OPTIONS = (TrialOptions, ProbeOptions, PaperOptions)  # the settings of every method
