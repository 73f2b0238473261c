"""The examples in docstrings run, and what they register is forgotten."""

import doctest
import importlib

import pytest

from tas.costs import operators
from tas.graph import mirrors
from tas.graph.rules import table


@pytest.mark.parametrize(
    "module",
    ["costs.count", "costs.operators", "graph.mirrors", "graph.noise", "graph.rules.table"],
)
def test_examples(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operators, "_GIVEN", {})
    monkeypatch.setattr(table, "_OWN", {})
    monkeypatch.setattr(mirrors, "_OWN", {})
    found = doctest.testmod(importlib.import_module(f"tas.{module}"))
    assert found.attempted
    assert not found.failed
