"""What nets cost: counted on the net, expected under probabilities, and budgets."""

from .budget import MACS, PARAMS, UNITS, Budget, Counted, Unit, parse_budget, readable, unit_named
from .count import Count, count
from .expected import ExpectedCost
from .operators import counter, free, operator_macs

__all__ = [
    "MACS",
    "PARAMS",
    "UNITS",
    "Budget",
    "Count",
    "Counted",
    "ExpectedCost",
    "Unit",
    "count",
    "counter",
    "free",
    "operator_macs",
    "parse_budget",
    "readable",
    "unit_named",
]
