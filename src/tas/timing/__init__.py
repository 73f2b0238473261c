"""How long nets take: runtimes that run them, and one way to time several of them.

The rooms below count; this one measures. It stands above ``exports``, whose files some runtimes
run, and below all that searches: a search is given prices, never a clock. What was measured is
kept by ``costs.latency``, which makes a cost of it.
"""

from .layers import layer_times
from .own import Command, OwnDevice
from .rounds import Time, timed
from .runtimes import RUNTIMES, OnnxRuntime, OpenVino, Runtime, Torch, runtime_named

__all__ = [
    "RUNTIMES",
    "Command",
    "OnnxRuntime",
    "OpenVino",
    "OwnDevice",
    "Runtime",
    "Time",
    "Torch",
    "layer_times",
    "runtime_named",
    "timed",
]
