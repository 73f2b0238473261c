"""Every core operator of PyTorch is of one kind: it has a rule, is pointwise, a view, or locks."""

from typing import Any

import pytest
import torch

from tas.graph.rules import table
from tas.graph.rules.moving import move
from tas.graph.rules.pointwise import element_by_element, unknown


def core() -> dict[str, list[Any]]:
    """By name, the overloads that PyTorch calls core."""
    found: dict[str, list[Any]] = {}
    for full in torch._C._dispatch_get_all_op_names():
        namespace, _, name = full.partition("::")
        plain, _, overload = name.partition(".")
        if namespace != "aten":
            continue
        packet = getattr(torch.ops.aten, plain, None)
        func = getattr(packet, overload or "default", None)
        if func is not None and torch.Tag.core in func.tags:
            found.setdefault(plain, []).append(func)
    return found


def kinds(func: Any) -> list[str]:
    name = func.overloadpacket.__name__
    found = [
        kind for kind, names in (("rule", table._RULES), ("locks", table._LOCKS)) if name in names
    ]
    if found:
        return found
    built_in = table._built_in(func)
    if built_in is element_by_element:
        return ["pointwise"]
    return ["view"] if built_in is move else []


def test_every_core_operator_is_of_one_kind() -> None:
    of = {name: {tuple(kinds(func)) for func in funcs} for name, funcs in core().items()}
    assert len(of) > 150
    assert {name: each for name, each in of.items() if {len(kind) for kind in each} != {1}} == {}


@pytest.mark.parametrize(
    "name", sorted(table._RULES | table._LOCKS | dict.fromkeys(table._POINTWISE))
)
def test_the_table_names_operators_that_there_are(name: str) -> None:
    assert hasattr(torch.ops.aten, name)


def test_no_operator_is_in_two_tables() -> None:
    assert not table._RULES.keys() & table._LOCKS.keys()
    assert not table._RULES.keys() & table._POINTWISE
    assert unknown not in table._RULES.values()
