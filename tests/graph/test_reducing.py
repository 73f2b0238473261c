"""A rule of a reduction = brute force: what it carries, taking some channels commutes with."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tas.graph import Plane, Tracer
from tas.graph.rules import apply_rule
from tas.graph.rules.reducing import reduce
from tas.graph.rules.table import _RULES

REDUCING = sorted(name for name, rule in _RULES.items() if rule is reduce)
SIZES = (3, 5, 4)
# What the schemas call other than a dimension: each a number that would do for one, too.
OTHERS: dict[str, Any] = {
    "k": 2, "ord": 1, "p": 1, "correction": 1, "unbiased": False, "keepdim": True, "stable": True,
    "descending": True, "largest": False, "sorted": True, "half_to_float": False,
}  # fmt: skip
DIMS = (0, 1, 2, -1, -2)


def overloads(name: str) -> Iterator[Any]:
    packet = getattr(torch.ops.aten, name)
    for overload in (getattr(packet, each) for each in packet.overloads()):
        kinds = [str(argument.type) for argument in overload._schema.arguments]
        tensors = kinds[0] == "Tensor" and "Tensor" not in kinds[1:]
        if tensors and "Dimname" not in str(overload._schema) and "dtype" not in str(overload):
            yield overload


def calls(overload: Any) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Arguments behind the tensor: every dimension there is, by place and by name, and none."""
    arguments = overload._schema.arguments[1:]
    dim = next((a for a in arguments if a.name == "dim"), None)
    several = dim is not None and "List" in str(dim.type)
    choices: list[Any] = [[d] for d in DIMS] + [[0, 2]] if several else list(DIMS)
    if several and overload.overloadpacket.__name__ not in ("any", "all", "logsumexp"):
        choices.append([])  # all; to these it means none, or nothing
    if dim is None or dim.has_default_value() or "Optional" in str(dim.type):
        choices.append(None)
    for choice in choices:
        by_name = {a.name: OTHERS[a.name] for a in arguments if a.name in OTHERS}
        if choice is not None:
            by_name["dim"] = choice
        elif dim is not None and not dim.has_default_value():
            by_name["dim"] = None
        for bare in (False, True):
            given = {
                a.name: by_name[a.name]
                for a in arguments
                if a.name in by_name and not (bare and a.name != "dim" and a.has_default_value())
            }
            places = []
            for argument in arguments:  # as many by their place as can be
                if argument.kwarg_only or argument.name not in given:
                    break
                places.append(given.pop(argument.name))
            yield tuple(places), given


@torch.no_grad()
@pytest.mark.parametrize("name", REDUCING)
def test_what_is_carried_and_locked(name: str) -> None:
    tried = 0
    for overload in overloads(name):
        for places, named in calls(overload):
            for dim in range(len(SIZES)):
                check(overload, dim, places, named)
                tried += 1
    assert tried >= len(SIZES)


def check(overload: Any, dim: int, places: tuple[Any, ...], named: dict[str, Any]) -> None:
    x = torch.rand(SIZES, generator=torch.Generator().manual_seed(0))
    what = f"{overload}(x with channels along {dim}, *{places}, **{named})"
    tracer = Tracer(nn.Module(), apply_rule)
    labels = torch.arange(1, SIZES[dim] + 1)
    tracer.carry(x, [Plane(dim, labels)])
    with tracer:
        whole = as_list(overload(x, *places, **named))
    locked = any(len(labels) for labels, _ in tracer.notes.locks)
    some = torch.tensor([0, 2])
    small = as_list(overload(x.index_select(dim, some), *places, **named))
    for one, few in zip(whole, small, strict=True):
        (plane,) = tracer.planes(one) or (None,)
        if plane is not None:
            assert torch.equal(plane.labels, labels), what
            torch.testing.assert_close(one.index_select(plane.dim, some), few, msg=what)
    carried = all(tracer.planes(one) for one in whole)
    assert locked != carried, what
    apart = any(commutes(whole, small, at, some) for at in range(len(SIZES)))
    assert carried or not apart, f"{what} is locked without need"


def commutes(whole: list[Tensor], small: list[Tensor], dim: int, some: Tensor) -> bool:
    return all(
        dim < one.dim()
        and len(some) < one.shape[dim]
        and torch.equal(one.index_select(dim, some), few)
        for one, few in zip(whole, small, strict=True)
    )


def as_list(out: Any) -> list[Tensor]:
    return [out] if isinstance(out, Tensor) else list(out)
