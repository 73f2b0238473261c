"""A device of the user's own: what it says counts, and what goes wrong is one line."""

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import tas
from tas.errors import InputError
from tas.timing import Command, OwnDevice, timed

PYTHON = sys.executable


def net() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def test_the_command_is_given_the_net_and_its_last_number_counts(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    kept = tmp_path / "kept.onnx"
    device = Command(f"cp {{onnx}} '{kept}'; echo run 3 of net2: 7.5 ms")
    timer = device.timer(net(), torch.zeros(1, 3, 8, 8))
    assert timer() == pytest.approx(0.0075)
    import onnx

    assert next(node.op_type for node in onnx.load(kept).graph.node) == "Conv"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("echo 'no device' >&2; exit 3; {onnx}", "failed with status 3: no device"),
        ("true {onnx}", "printed '', no time"),
        ("echo done {onnx} | cut -c 1-4", "printed 'done', no time"),
        ("true {onnx}; echo -4", "printed '-4', no time"),
        ("true {onnx}; echo 1e999", "printed '1e999', no time"),
        ("true {onnx}; echo nan", "printed 'nan', no time"),
        ("sleep 30; echo {onnx}", "took more than 0.2 s"),
        ("(sleep 30; echo {onnx}) | cat", "took more than 0.2 s"),
    ],
)
def test_what_a_command_does_wrong_is_one_line(command: str, said: str, tmp_path: Path) -> None:
    device = Command(command, limit=0.2 if "sleep" in command else 60)
    with pytest.raises(InputError, match="--measure") as raised:
        device.of_file(tmp_path / "net.onnx")
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_command_says_where_the_net_goes() -> None:
    with pytest.raises(InputError, match=r"\{onnx\}"):
        Command("bench net.onnx")


def test_a_function_measures_modules() -> None:
    device = OwnDevice(lambda module: sum(p.numel() for p in module.parameters()) / 1000)
    assert timed([device.timer(net(), torch.zeros(1, 3, 8, 8))], fewest=1, most=1)[0].ms == 16


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf"), "soon"])
def test_a_function_that_gives_no_time_is_told_so(seconds: object) -> None:
    device = OwnDevice(lambda module: seconds)  # type: ignore[arg-type, return-value]
    with pytest.raises(InputError, match="measuring with"):
        device.timer(net(), torch.zeros(1, 3, 8, 8))()


def test_threads_are_as_they_were() -> None:
    before = torch.get_num_threads()
    tas.latency(net(), torch.zeros(1, 3, 8, 8), threads=before + 1, seconds=0.01)
    assert torch.get_num_threads() == before


def test_the_unpruned_net_stands_beside_a_smaller_one() -> None:
    took = tas.api.measure(what="C010-ResNet20", seconds=0.01, measure="echo {onnx} 5")
    assert took.names == ("resnet20, unpruned", "C010-ResNet20")
    assert [time.ms for time in took.times] == [5, 5]
    assert took.verdict.startswith("not faster")


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"runtime": "torch", "measure": "x {onnx}"}, "give one"),
        ({"threads": 0}, "--threads 0"),
        ({"runtime": "onnxruntime", "device": "cuda"}, "device of onnxruntime"),
        ({"runtime": "onnxruntime", "precision": "bf16"}, "precision of onnxruntime"),
        ({"what": "nothing.onnx"}, "no such file"),
        ({"seconds": 0.0}, "--seconds 0.0"),
    ],
)
def test_options_that_cannot_be_used(how: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        tas.api.measure(**{"what": "resnet20", **how})
