"""Time as a cost: fitted to measurements of whole nets, and then a cost like any other.

``features`` says what a time may depend on, ``fit`` what it does, ``table`` keeps what was
measured, ``unit`` makes a unit of it, in which budgets are given. Nothing here has a clock.
"""

from .fit import Fitted, fitted
from .table import LatencyTable, Measurement
from .unit import Latency, errors

__all__ = ["Fitted", "Latency", "LatencyTable", "Measurement", "errors", "fitted"]
