"""The private parts of Accelerate that ``accelerate_state`` needs, in one place."""

import re
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState

from tas.training import accelerate_state, accelerator


def test_accelerate_still_has_what_is_private_to_it() -> None:
    """Where this fails, ``tas/training/accelerate_state.py`` is to be written anew for this version
    of Accelerate, or ``pyproject.toml`` to exclude it."""
    Accelerator(cpu=True)
    for state in (PartialState, AcceleratorState, GradientState):
        assert isinstance(state._shared_state, dict)
        assert state().__dict__ is state._shared_state  # all objects share it
    told = {"distributed_type", "num_processes", "process_index", "device"}
    assert told <= PartialState._shared_state.keys()
    AcceleratorState._reset_state(reset_partial_state=False)
    assert not AcceleratorState._shared_state
    assert PartialState._shared_state
    AcceleratorState._reset_state(reset_partial_state=True)
    assert not PartialState._shared_state


def test_nothing_else_touches_it() -> None:
    package = Path(accelerate_state.__file__).parents[1]
    touching = re.compile(r"\b_(shared_state|reset_state)\b")
    found = {p.name for p in package.rglob("*.py") if touching.search(p.read_text("utf-8"))}
    assert found == {"accelerate_state.py"}


def test_the_version_has_an_upper_bound() -> None:
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8")
    assert re.search(r'"accelerate>=1\.\d+,<2"', project)


def test_what_was_set_up_before_stands_again() -> None:
    accelerate_state.forget()
    mine = Accelerator(cpu=True, mixed_precision="bf16", gradient_accumulation_steps=2)
    with accelerate_state.set_aside():
        assert accelerator("cpu", "fp32").mixed_precision == "no"
    assert mine.mixed_precision == "bf16"
    assert mine.gradient_accumulation_steps == 2
    accelerate_state.forget()
    with accelerate_state.set_aside():
        accelerator("cpu")
    assert not PartialState._shared_state  # nothing was, and nothing is


def test_alone_there_is_one_process(monkeypatch) -> None:
    accelerator("cpu")
    with accelerate_state.alone():
        assert accelerator("cpu").num_processes == 1
    shared = PartialState._shared_state
    monkeypatch.setitem(shared, "num_processes", 3)
    monkeypatch.setitem(shared, "process_index", 2)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)  # it stays as it is
    with accelerate_state.alone():
        inside = Accelerator(cpu=True)
        assert (inside.num_processes, inside.process_index) == (1, 0)
    assert (shared["num_processes"], shared["process_index"]) == (3, 2)
