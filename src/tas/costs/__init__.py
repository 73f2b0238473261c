"""What nets cost: counted on the net, expected under probabilities, and budgets."""

from .budget import (
    MACS,
    PARAMS,
    UNITS,
    Budget,
    Counted,
    Unit,
    budget_text,
    given_budgets,
    parse_budget,
    readable,
    unit_named,
)
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
    "budget_text",
    "count",
    "counter",
    "free",
    "given_budgets",
    "operator_macs",
    "parse_budget",
    "readable",
    "unit_named",
]
