"""Any text that a parser is given is a value or an ``InputError`` in one short line."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tas
from tas.checks import some_ratios
from tas.costs import parse_budget
from tas.data import Transform
from tas.data.classes import numbers
from tas.errors import InputError, one_line, quoted, shown
from tas.nets import ARCHITECTURES, is_named
from tas.nets.reference import parse_config
from tas.reading import parse_json, parse_yaml
from tas.records import _Result
from tas.runs import ModelConfig
from tas.typed import fitted

PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
ANY = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4)
    ),
    max_leaves=12,
)
SHAPE = tas.nets.full_shape("resnet20").to_dict()
TRANSFORM = Transform.of_size("rgb", (8, 8), (0.5,) * 3, (0.5,) * 3).to_dict()
BUDGETS = st.from_regex(r"-?[0-9]{0,400}(\\.[0-9]*)?(e-?[0-9]{1,4})?[kMGx]?", fullmatch=True)


def harmless(parse: Callable[[Any], Any], value: Any) -> None:
    try:
        parse(value)
    except InputError as error:
        text = str(error)
        assert text
        assert text.isprintable()
        assert len(text) <= 400


@settings(deadline=None, max_examples=60)
@given(st.text() | BUDGETS)
def test_texts(text: str) -> None:
    for parse in (
        lambda t: parse_budget(t, full=40_000_000),
        lambda t: parse_json(t, "x"),
        lambda t: parse_yaml(t, "x"),
        is_named,
    ):
        harmless(parse, text)
    assert one_line(text).isprintable()
    assert shown(quoted(text)).isprintable()


@settings(deadline=None, max_examples=60)
@given(ANY)
def test_values(value: Any) -> None:
    for parse in (
        tas.Shape.from_dict,
        Transform.from_dict,
        lambda v: parse_config(v, ARCHITECTURES, "x"),
        lambda v: ModelConfig._of(v, "x"),
        lambda v: fitted(v, _Result, "x"),
        lambda v: fitted(v, tuple[int, int, int], "x"),
        lambda v: some_ratios(fitted(v, list[float], "x")),
        lambda v: numbers(["a"], fitted(v, list[str], "x"), "x"),
        lambda v: parse_json(json.dumps(v), "x"),
    ):
        harmless(parse, value)


@settings(deadline=None, max_examples=60)
@given(st.data(), ANY)
def test_a_field_of_a_file_may_be_anything(data: st.DataObject, value: Any) -> None:
    for whole, parse in ((SHAPE, tas.Shape.from_dict), (TRANSFORM, Transform.from_dict)):
        harmless(parse, {**whole, data.draw(st.sampled_from(sorted(whole))): value})


@pytest.mark.parametrize("text", ["1e308G", "9" * 5000, "nan", "inf", "-0", "1e-400", "\x1b[31m"])
def test_budgets_that_once_were_not_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_budget(text, full=40_000_000)
