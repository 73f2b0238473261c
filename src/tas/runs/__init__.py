"""Runs: the directory of one, and how far it is."""

from .model import ModelConfig
from .progress import PhaseProgress, say
from .rundir import RunDir

__all__ = ["ModelConfig", "PhaseProgress", "RunDir", "say"]
