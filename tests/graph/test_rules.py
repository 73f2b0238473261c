"""The table of rules: what is in it, how arguments are found, what becomes of the rest."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import flop_registry

from tas.costs import operators
from tas.errors import InputError
from tas.graph import Call, Plane, Tracer
from tas.graph.rules import apply_rule, table

aten = torch.ops.aten


def traced(func: Any, *tensors: Tensor, dims: tuple[int, ...] = (1,)) -> tuple[Any, Tracer]:
    """What a function gives for tensors with channels along dimensions, and the trace of it."""
    tracer = Tracer(nn.Module(), apply_rule)
    start = 1
    for tensor in tensors:
        planes = []
        for dim in dims:
            planes.append(Plane(dim, torch.arange(start, start + tensor.shape[dim])))
            start += tensor.shape[dim]
        tracer.carry(tensor, planes)
    with torch.no_grad(), tracer:
        return func(*tensors), tracer


# They multiply n log n times, which no sizes multiply to: a count names them.
NOT_COUNTED = {"_fft_r2c", "_fft_c2r", "_fft_c2c"}


@pytest.mark.parametrize("name", sorted(table._RULES.keys() - NOT_COUNTED))
def test_what_has_a_rule_is_counted_or_known_to_be_free(name: str) -> None:
    packet = getattr(aten, name)
    func = getattr(packet, packet.overloads()[0])
    assert packet in flop_registry or name in operators._COUNTED or operators.is_free(func)


def test_arguments_are_found_by_place_by_name_and_by_default() -> None:
    x = torch.zeros(2, 3)
    by_place = Call(aten.topk.default, (x, 2, 0), {}, None)
    assert (by_place["k"], by_place["dim"], by_place["largest"]) == (2, 0, True)
    by_name = Call(aten.var.correction, (x,), {"correction": 0, "keepdim": True}, (x, [x]))
    assert (by_name["dim"], by_name["correction"], by_name["keepdim"]) == (None, 0, True)
    assert by_name.get("k", 7) == 7
    assert (by_name.name, len(by_name.tensors), len(by_name.outs)) == ("var", 1, 2)
    with pytest.raises(InputError, match="unknown argument of 'var' 'dims': did you mean 'dim'"):
        by_name["dims"]


WINDOWS: list[tuple[Any, int]] = [
    (lambda x: nn.functional.adaptive_avg_pool2d(x, 2), 2),
    (lambda x: nn.functional.max_pool2d(x, 2), 2),
    (lambda x: nn.functional.pad(x, (1, 1, 1, 1), "reflect"), 2),
    (lambda x: nn.functional.pad(x, (1, 1), "replicate"), 1),
    (lambda x: nn.functional.avg_pool3d(x, 2), 3),
]


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize(("window", "over"), WINDOWS)
def test_windows_lock_what_they_slide_along(window: Any, over: int, batched: bool) -> None:
    x = torch.rand(*([3] if batched else []), 5, *(4, 6, 4)[:over])
    for dim in range(x.dim()):
        out, tracer = traced(window, x, dims=(dim,))
        kept = dim < x.dim() - over
        assert [p.dim for p in tracer.planes(out)] == ([dim] if kept else [])
        assert bool(tracer.notes.locks) is not kept


def test_a_rule_that_does_not_fit_a_call_locks_what_it_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def failing(tracer: Tracer, call: Call) -> None:
        tracer.note_cost(5)
        raise IndexError("dimension out of range")

    monkeypatch.setitem(table._RULES, "roll", failing)
    out, tracer = traced(lambda x: x.roll(1, 0), torch.rand(2, 3))
    assert tracer.planes(out) == ()
    assert [why for _, why in tracer.notes.locks] == [
        "a use of the operator 'roll' that has no rule"
    ]
    assert tracer.notes.costs == []


def test_rules_of_pytorchs_operators_are_not_for_others_of_the_same_name() -> None:
    @torch.library.custom_op("tas_tests::roll", mutates_args=())
    def roll(x: Tensor) -> Tensor:
        return x.flip(0)

    _, tracer = traced(roll, torch.rand(2, 3))
    assert [why for _, why in tracer.notes.locks] == ["no rule for the operator 'tas_tests::roll'"]


def test_a_bias_of_channels_that_a_product_does_not_make_locks_them() -> None:
    def added(bias: Tensor) -> Tensor:
        return torch.addmm(bias, torch.rand(2, 4), torch.rand(4, 3))

    _, tracer = traced(added, torch.rand(3), dims=(0,))
    assert [why for _, why in tracer.notes.locks] == ["its bias"]
