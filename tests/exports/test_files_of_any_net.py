"""Nets of any task as files: named tensors in and out, any number of examples, as in PyTorch."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import tas
from any_nets import ANY, Detector, Mixer, UNet, ids
from tas.errors import InputError
from tas.exports.tensors import tensors_in
from tas.forward import Example, leaves
from tas.training import seeded


def made(name: str) -> tuple[nn.Module, Any, Any]:
    make, batch, forward = ANY[name]
    with seeded(0):
        return make().eval(), batch, forward


def run_program(path: Path, batch: Any) -> list[Tensor]:
    program = torch.export.load(path).module()
    return [x for _, x in leaves(program(*tensors_in(Example(batch)).values()))]


@pytest.mark.parametrize("name", [*ANY])
def test_a_program_answers_like_the_net(name: str, tmp_path: Path) -> None:
    net, batch, forward = made(name)
    written = tas.export(net, tmp_path / "net.pt2", example=batch, forward=forward)
    assert written.difference.largest < 1e-5
    with torch.no_grad():
        wanted = [x for _, x in leaves(Example.of(batch, forward)(net))]
    found = run_program(written.path, batch)
    assert len(found) == len(wanted)
    for mine, whole in zip(found, wanted, strict=True):
        assert torch.allclose(mine, whole, atol=1e-5)


def test_onnx_has_names_and_any_number_of_examples_and_of_tokens(tmp_path: Path) -> None:
    onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    net, batch, _ = made("tokens and a mask")
    longer = {name: torch.cat([x, x[:, :2]], 1) for name, x in batch.items()}
    written = tas.export(net, tmp_path / "net.onnx", example=batch, other=longer)
    assert written.checked_on == "the example and other, and 1 and 3 examples"
    graph = onnx.load(written.path).graph
    sizes = {
        end.name: [d.dim_param or d.dim_value for d in end.type.tensor_type.shape.dim]
        for end in (*graph.input, *graph.output)
    }
    assert sizes == {
        "ids": ["batch", "size_1"],
        "mask": ["batch", "size_1"],
        "output_0": ["batch", "size_1", 20],
        "1_0": ["batch", 3],
    }
    given = {"ids": torch.arange(20).view(5, 4), "mask": torch.ones(5, 4)}
    session = onnxruntime.InferenceSession(str(written.path))
    found = session.run(["1_0"], {name: x.numpy() for name, x in given.items()})[0]
    with torch.no_grad():
        assert torch.allclose(torch.from_numpy(found), net(**given)[1][0], atol=1e-5)


def test_what_forward_returns_is_what_the_file_gives(tmp_path: Path) -> None:
    net, batch, _ = made("named picture")
    for forward, count in ((lambda net, batch: net(**batch)["mask"], 1), (None, 2)):
        path = tas.export(net, tmp_path / "net.pt2", example=batch, forward=forward).path
        assert len(run_program(path, batch)) == count


class FourTogether(nn.Module):
    """Its code takes the number of examples for a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(x.reshape(12))
        return out


def test_a_number_of_examples_that_cannot_be_free_is_that_of_the_example(tmp_path: Path) -> None:
    net, x = FourTogether().eval(), torch.rand(4, 3)
    written = tas.export(net, tmp_path / "net.pt2", example=x)
    assert written.checked_on == "the example"
    assert torch.allclose(run_program(written.path, x)[0], net(x), atol=1e-6)


class Fixed(nn.Module):
    """Its code takes the number of tokens for a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(7, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(x.float())
        return out


class Deciding(nn.Module):
    """It keeps what is large, and does something else where that is much."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer(x)
        large = x[x > 0]
        return large * 2 if large.numel() > 5 else large


@pytest.mark.parametrize(
    ("net", "how", "said"),
    [
        (Mixer(), {"example": {"words": ids()}}, r"does not run on the example \(\['words'\]"),
        (Mixer(), {"example": ids(), "softmax": True}, "softmax= is of classifiers of pictures"),
        (Mixer(), {"example": ids(), "data": "digits"}, "data= is of classifiers of pictures"),
        (Mixer(), {"other": ids()}, "other= is for nets that are given by an example"),
        (Mixer(), {"example": ids(), "other": {"ids": ids()}}, "other= holds other tensors"),
        (Fixed(), {"example": ids(), "other": ids()[:, :5]}, "does not run on"),
        (Deciding(), {"example": torch.rand(3, 4)}, "return by forward= what comes before"),
        (Mixer().bfloat16(), {"example": ids()}, r"give net.float\(\)"),
        (Detector(), {"example": "a.png"}, "does not run on"),
        (UNet(), {"example": torch.rand(1, 3, 16, 16), "to": "tflite"}, "kind of file 'tflite'"),
    ],
)
def test_what_cannot_be_written_leaves_no_file(
    net: nn.Module,
    how: dict[str, Any],
    said: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    out = None if "to" in how else tmp_path / "net.pt2"
    with pytest.raises(InputError, match=said) as caught:
        tas.export(net.eval(), out, **how)
    assert "\n" not in str(caught.value)
    assert [*tmp_path.iterdir()] == []
    assert capfd.readouterr().err == ""
