"""Milliseconds in a result: columns where they were measured, words where a net is not faster."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tas.api import times
from tas.errors import InputError
from tas.report import markdown, time_cells, time_notes, timed_rows, tradeoff_figure
from tas.timing import Time
from tas.timing.runtimes import has_onnx

ROWS = [
    {"name": "unpruned", "macs": 4e7, "params": 3e5, "accuracy": 92.0},
    {"name": "searched", "macs": 2e7, "params": 2e5, "accuracy": 91.0},
]


def result(ratio: float, uncertain: float = 0.01, fails: bool = False) -> dict[str, Any]:
    """A result whose times are made up."""

    def in_sessions(runtime: Any, opened: Any, seconds: float, sessions: int) -> list[Time]:
        assert opened(0) == ["unpruned", "searched"]
        return [Time(0.01, 0.1), Time(0.01 * ratio, 0.1, ratio, uncertain)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tas.timing.sessions.in_sessions", in_sessions)
        patch.setattr(times, "has_onnx", lambda: True)
        patch.setattr(times, "runtime_named", lambda name: _Named(name, fails))
        nets = {str(row["name"]): _Net(row["name"]) for row in ROWS}
        return {"rows": ROWS, "times": times.times_of(nets, (3, 8, 8))}


class _Net(nn.Linear):
    def __init__(self, name: Any) -> None:
        super().__init__(1, 1)
        self.name = name


class _Named:
    def __init__(self, name: str, fails: bool) -> None:
        self.fails = fails and name == "onnxruntime"

    def ready(self, net: _Net, example: Tensor) -> Any:
        if self.fails:
            raise InputError("no way for the operator 'x'")
        return lambda: net.name


def test_a_column_for_every_runtime() -> None:
    header, body = time_cells(timed_rows(result(0.5)))
    assert header == ["net", "ms, PyTorch", "ms, ONNX"]
    assert body == [["unpruned", "10", "10"], ["searched", "5", "5"]]
    assert "| ms, ONNX |" in markdown(timed_rows(result(0.5)))
    assert "ms," not in markdown(timed_rows({"rows": ROWS}))


@pytest.mark.parametrize("ratio", [1.2, 1.0, 0.995])
def test_a_net_that_is_not_faster_is_told(ratio: float) -> None:
    assert any("is not faster than 'unpruned'" in note for note in time_notes(result(ratio)))


def test_a_net_that_is_faster_is_not_talked_about() -> None:
    assert len(time_notes(result(0.6))) == 1


def test_a_machine_that_is_too_busy_tells_nothing() -> None:
    notes = time_notes(result(0.6, uncertain=0.3))
    assert any("cannot be told" in note for note in notes)


def test_a_runtime_that_has_no_way_for_a_net_is_told() -> None:
    found = result(0.5, fails=True)
    assert "No time in ONNX Runtime: no way for the operator 'x'." in time_notes(found)
    assert list(found["times"]["ms"]) == ["torch"]


def test_the_trade_off_has_an_axis_of_time(tmp_path: Path) -> None:
    plain, timed = tmp_path / "plain.png", tmp_path / "timed.png"
    tradeoff_figure(ROWS, plain)  # type: ignore[arg-type]
    tradeoff_figure(timed_rows(result(0.5)), timed)
    assert plain.read_bytes() != timed.read_bytes()


def test_real_nets_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(times, "has_onnx", has_onnx)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    found = times.times_of({"whole": net, "same": net}, (3, 8, 8))
    assert list(found["ms"]) == (["torch", "onnxruntime"] if has_onnx() else ["torch"])
    assert all(ms.keys() == {"whole", "same"} for ms in found["ms"].values())
    assert torch.get_num_threads() >= 1
