"""Nets are timed on what they take: tokens, named tensors, lists of pictures."""

from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import tas
from any_nets import ANY, Mixer, Sound, ids
from tas.costs.latency import LatencyTable
from tas.errors import InputError
from tas.exports.fold import folded
from tas.exports.plain import onnx_bytes
from tas.exports.tensors import as_many, tensors_in
from tas.forward import Example, floats
from tas.recipes import quick
from tas.timing import Command, OpenVino, timed
from tas.training import seeded


def made(name: str) -> tuple[nn.Module, Example]:
    make, batch, forward = ANY[name]
    with seeded(0):
        return make().eval(), Example.of(batch, forward)


@pytest.mark.parametrize("runtime", ["torch", "onnxruntime", "openvino"])
@pytest.mark.parametrize("name", [name for name in ANY if not name.startswith("boxes")])
def test_every_runtime_runs_what_a_net_takes(name: str, runtime: str) -> None:
    if runtime != "torch":
        pytest.importorskip(runtime)
        pytest.importorskip("onnx")
    net, example = made(name)
    how: Any = {"runtime": runtime, "forward": example.forward, "seconds": 0.01}
    assert tas.latency(net, example.batch, **how).ms > 0


@pytest.mark.parametrize("name", [name for name in ANY if not name.startswith("boxes")])
def test_a_file_that_is_timed_answers_like_the_net(name: str) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    net, example = made(name)
    given = as_many(example, 2)
    session = onnxruntime.InferenceSession(onnx_bytes(net, given))
    arrays = {key: x.numpy() for key, x in tensors_in(given).items()}
    found = session.run(None, {end.name: arrays[end.name] for end in session.get_inputs()})
    with torch.no_grad():
        wanted = floats(given(net))
    assert len(found) == len(wanted)
    for mine, whole in zip(found, wanted, strict=True):
        assert torch.allclose(torch.from_numpy(mine), whole, atol=1e-4)


def test_a_file_of_tokens_is_timed(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    net, example = made("tokens and a mask")
    (path := tmp_path / "net.onnx").write_bytes(onnx_bytes(net, as_many(example, 1)))
    took = tas.api.measure(what=str(path), runtime="onnxruntime", seconds=0.01)
    assert took.times[0].ms > 0


class Apart(nn.Module):
    """The exporter by traces has no way for it, and the other one has."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.diff(x, prepend=x[:, :1] - 1)


def test_an_exporter_that_fails_keeps_its_graphs_to_itself(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """It prints them past Python."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    took = tas.latency(Apart(), torch.rand(2, 4), runtime="onnxruntime", seconds=0.01)
    assert took.ms > 0
    found = capfd.readouterr()
    assert (found.out, found.err) == ("", "")


def test_boxes_that_are_chosen_from_a_list_of_pictures() -> None:
    net, example = made("boxes")
    assert tas.latency(net, example.batch, seconds=0.01).ms > 0


def test_so_many_examples_are_those_of_the_batch_over_and_over() -> None:
    tokens = as_many({"ids": ids(), "scale": 2.0}, 5).batch
    assert torch.equal(tokens["ids"], ids()[[0, 1, 0, 1, 0]])
    assert tokens["scale"] == 2.0
    pictures = as_many([torch.rand(3, 4, 4), torch.rand(3, 6, 4)], 3).batch
    assert [list(x.shape) for x in pictures] == [[3, 4, 4], [3, 6, 4], [3, 4, 4]]
    alike = as_many(torch.zeros(1, 3, 4, 4), 2).batch
    assert alike.shape == (2, 3, 4, 4)
    assert alike.std() > 0.5  # noise
    assert as_many(torch.ones(2, 3, dtype=torch.float64), 2).batch.dtype == torch.float32
    apart = (torch.zeros(2, 3), torch.zeros(4))
    assert [list(x.shape) for x in as_many(apart, 1).batch] == [[2, 3], [4]]
    with pytest.raises(InputError, match=r"batch_size 2: .* cannot be told"):
        as_many(apart, 2)


def test_a_batch_that_the_net_does_not_take_is_said() -> None:
    with pytest.raises(InputError, match=r"does not run on the example \(\['word'\] \[2, 7\]\)"):
        tas.latency(Mixer(), {"word": ids()}, seconds=0.01)


def test_norms_are_folded_whatever_a_net_takes() -> None:
    net, example = made("sound")
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean.normal_()  # type: ignore[union-attr]
    small = folded(net, example)
    assert (small.folded, small.norms) == (1, 1)
    with torch.no_grad():
        assert torch.allclose(example(small.net), example(net), atol=1e-5)


def test_a_command_is_given_a_net_of_tokens(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    kept = tmp_path / "kept.onnx"
    device = Command(f"cp {{onnx}} '{kept}'; echo 7 ms", batch_size=3)
    assert device.timer(Mixer().eval(), Example(ids()))() == pytest.approx(0.007)
    sizes = onnx.load(kept).graph.input[0].type.tensor_type.shape.dim
    assert [size.dim_value for size in sizes] == [3, 7]


# A search by time

FEW = replace(quick().inheriting().search, trials=8, precision="fp32")  # type: ignore[type-var]


@dataclass(frozen=True)
class Counting:
    """A microsecond for every parameter; it keeps what nets were given."""

    given: list[Any]
    name: str = "a fake"
    fewest: int = 1
    most: int = 1

    def facts(self) -> dict[str, Any]:
        return {"runtime": self.name, "versions": {}}

    def timer(self, net: nn.Module, example: Any) -> Any:
        self.given.append(example)
        example(net)
        return lambda: sum(p.numel() for p in net.parameters()) / 1e6

    def ready(self, net: nn.Module, example: Any) -> Any:
        return partial(self.timer, net, example)

    def running(self) -> Any:
        return nullcontext()


def search(net: nn.Module, batches: Any, how: Any, **more: Any) -> tas.Found:
    options: Any = {"unit": "ms", "options": FEW, "progress": False, "device": "cpu", **more}
    return tas.search(net, batches=batches, budget=0.8, latency=how, round_to=1, **options)


def called(net: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    found: Tensor = net(batch["ids"])[1][0]
    return found


@pytest.mark.parametrize("forward", [None, called])
def test_a_budget_of_milliseconds_for_nets_of_tokens(forward: Any) -> None:
    given: list[Any] = []
    found = search(Mixer(), [{"ids": ids()}] * 8, Counting(given), forward=forward)
    assert {tuple(example.batch["ids"].shape) for example in given} == {(1, 7)}
    small, whole = (sum(p.numel() for p in net.parameters()) for net in (found.derive(), Mixer()))
    assert 0.6 < small / whole <= 0.8


def test_targets_are_not_what_is_timed() -> None:
    given: list[Any] = []
    search(Sound(), [(torch.randn(4, 1, 64), torch.zeros(4))] * 8, Counting(given))
    assert {tuple(example.batch.shape) for example in given} == {(1, 1, 64)}


def test_a_table_is_of_what_the_net_was_given(tmp_path: Path) -> None:
    search(Mixer(), [ids()] * 8, Counting([]), out=tmp_path / "run")
    table = next((tmp_path / "run").glob("latency*"))
    assert "[1, 7]" in str(LatencyTable.read(table).facts["example"])
    other = ids()[:, :5]
    with pytest.raises(InputError, match=r"holds times on .*\[1, 7\].*takes .*\[1, 5\]"):
        search(Mixer(), [other] * 8, table)


def test_openvino_computes_what_onnx_runtime_does() -> None:
    pytest.importorskip("openvino")
    pytest.importorskip("onnx")
    net, example = made("tokens and a mask")
    assert timed([OpenVino().timer(net, example)], seconds=0.01)[0].ms > 0
