"""Runs: the directory of one, and how far it is."""

from .model import ModelConfig
from .progress import PhaseProgress, is_quiet, quiet, quietly, say
from .rundir import RunDir

__all__ = ["ModelConfig", "PhaseProgress", "RunDir", "is_quiet", "quiet", "quietly", "say"]
