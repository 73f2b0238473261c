"""OpenVINO computes in the precision that its times are told for."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from tas.errors import InputError
from tas.timing import OpenVino, timed

NET = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2)).eval()
EXAMPLE = torch.zeros(1, 1, 8, 8)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a made-up OpenVINO was asked for. It has no bf16, and takes fp32 instead."""
    how: dict[str, Any] = {}

    def compiled(model: bytes, device: str, given: dict[str, Any]) -> Any:
        how.update(given)
        return SimpleNamespace(
            get_property=lambda name: SimpleNamespace(to_string=lambda: "f32"),
            create_infer_request=lambda: SimpleNamespace(infer=lambda given: None),
            inputs=[SimpleNamespace(any_name="input")],
        )

    core = SimpleNamespace(read_model=lambda model: model, compile_model=compiled)
    monkeypatch.setitem(sys.modules, "openvino", SimpleNamespace(Core=lambda: core))
    monkeypatch.setattr("tas.timing.runtimes.known", lambda packages, extra: None)
    monkeypatch.setattr("tas.timing.runtimes.onnx_bytes", lambda net, batch: b"")
    return how


def test_it_is_told_the_precision(asked: dict[str, Any]) -> None:
    """By itself it takes bf16 where that is fast."""
    OpenVino(threads=2).timer(NET, EXAMPLE)
    assert asked["INFERENCE_PRECISION_HINT"] == "f32"
    assert asked["INFERENCE_NUM_THREADS"] == 2


def test_a_precision_that_it_does_not_have_is_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="bf16: OpenVINO does not compute in it here"):
        OpenVino(precision="bf16").timer(NET, EXAMPLE)


def test_what_is_installed() -> None:
    pytest.importorskip("openvino")
    pytest.importorskip("onnx")
    assert timed([OpenVino().timer(NET, EXAMPLE)], seconds=0.05)[0].ms > 0
