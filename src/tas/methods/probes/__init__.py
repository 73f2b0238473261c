"""The search from fresh weights, by short trainings of a few shapes."""

from .method import POOL, Probes
from .options import ProbeOptions

__all__ = ["POOL", "ProbeOptions", "Probes"]
