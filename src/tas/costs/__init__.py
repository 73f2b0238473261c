"""What nets cost: counted on the net, expected under probabilities, and budgets."""

from .budget import UNITS, parse_budget, readable
from .count import Count, count
from .operators import counter, free, operator_macs

__all__ = [
    "UNITS",
    "Count",
    "count",
    "counter",
    "free",
    "operator_macs",
    "parse_budget",
    "readable",
]
