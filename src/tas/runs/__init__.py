"""Runs: the directory of one, and how far it is."""

from .model import ModelConfig
from .progress import PhaseProgress, say
from .rundir import RunDir
from .whole import write_whole

__all__ = ["ModelConfig", "PhaseProgress", "RunDir", "say", "write_whole"]
