"""The paper's search. ``algorithm.py`` reads like the paper."""

from .masked import MaskedSupernet
from .method import Paper
from .options import PaperOptions
from .supernet import Supernet

__all__ = ["MaskedSupernet", "Paper", "PaperOptions", "Supernet"]
