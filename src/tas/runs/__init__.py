"""Runs: the directory of one, and how far it is."""

from .progress import PhaseProgress, say
from .rundir import RunDir

__all__ = ["PhaseProgress", "RunDir", "say"]
