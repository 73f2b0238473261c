"""The examples of docstrings: every public function and class has one, and all of them run.

An example holds all that it needs, imports included: it is what a user types or copies.
"""

import doctest
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import tas
from tas.costs import operators
from tas.graph import mirrors
from tas.graph.rules import table

HOW = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.REPORT_NDIFF
PUBLIC = (
    "tas",
    "tas.api",
    "tas.costs",
    "tas.costs.latency",
    "tas.data",
    "tas.graph",
    "tas.methods",
    "tas.nets",
    "tas.recipes",
    "tas.report",
    "tas.runs",
    "tas.spaces",
    "tas.timing",
    "tas.training",
)
# Results: nobody makes one, and the example of the function that returns it shows it.
SHOWN_BY = {
    "tas.Exported": "tas.export",
    "tas.Prediction": "tas.predict",
    "tas.training.Placing": "tas.training.settled",
    "tas.Found": "tas.search",
    "tas.Run": "tas.run",
    "tas.Trained": "tas.train",
    "tas.api.Measured": "tas.api.measure",
    "tas.api.Tabled": "tas.api.latency_table",
    "tas.api.Tested": "tas.api.eval_run",
    "tas.timing.Time": "tas.timing.timed",
    "tas.costs.latency.Fitted": "tas.costs.latency.fitted",
    "tas.data.Batches": "tas.data.batches",
    "tas.training.Where": "tas.training.where",
}


def modules() -> Iterator[ModuleType]:
    yield tas
    for found in pkgutil.walk_packages(tas.__path__, "tas."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


def documented(holder: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Everything with a docstring that a module or a class defines itself, and what is within."""
    yield name, holder
    module = holder.__name__ if isinstance(holder, ModuleType) else holder.__module__
    for own, value in vars(holder).items():
        value = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        if isinstance(value, property):
            yield f"{name}.{own}", value
        elif getattr(value, "__module__", None) == module:
            if inspect.isclass(value):
                yield from documented(value, f"{name}.{own}")
            elif callable(value):
                yield f"{name}.{own}", value


def examples() -> Iterator[doctest.DocTest]:
    parser, seen = doctest.DocTestParser(), set()
    for module in modules():
        for name, value in documented(module, module.__name__):
            text = inspect.cleandoc(value.__doc__ or "")
            if ">>>" in text and id(value) not in seen:
                seen.add(id(value))
                yield parser.get_doctest(text, {}, name, module.__file__, None)


def public() -> dict[str, Any]:
    """By the shortest of its names, everything that the public packages export."""
    found: dict[int, tuple[str, Any]] = {}
    for package in PUBLIC:
        module = importlib.import_module(package)
        for name in module.__all__:
            found.setdefault(id(value := getattr(module, name)), (f"{package}.{name}", value))
    return dict(found.values())


def needs_example(value: Any) -> bool:
    """Whether it is a function, or a class that a user may make: no exception, no protocol."""
    if inspect.isclass(value):
        return not issubclass(value, Exception) and not getattr(value, "_is_protocol", False)
    return inspect.isfunction(inspect.unwrap(value))


@pytest.mark.parametrize("example", [*examples()], ids=lambda example: example.name)
def test_an_example_runs(
    example: doctest.DocTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # What an example registers is forgotten.
    monkeypatch.setattr(operators, "_GIVEN", {})
    monkeypatch.setattr(table, "_OWN", {})
    monkeypatch.setattr(mirrors, "_OWN", {})
    said: list[str] = []
    doctest.DocTestRunner(verbose=False, optionflags=HOW).run(example, out=said.append)
    assert not said, "".join(said)


def test_all_that_is_public_has_an_example() -> None:
    everything = public()
    without = [
        name
        for name, value in everything.items()
        if needs_example(value) and ">>>" not in (value.__doc__ or "")
    ]
    assert sorted(without) == sorted(SHOWN_BY)


@pytest.mark.parametrize("name", SHOWN_BY)
def test_a_result_says_where_its_example_is(name: str) -> None:
    everything, maker = public(), SHOWN_BY[name]
    assert f"``{maker}``" in everything[name].__doc__
    assert ">>>" in everything[maker].__doc__
