"""An exported file gives what PyTorch gives, says what it is, or is not there at all."""

import json
import math
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import tas
from helpers import randomise_norms
from pictures_on_disk import digit
from tas import nets
from tas.api import Exported
from tas.cli.main import main
from tas.data import Transform
from tas.errors import InputError
from tas.exports import Form, OnnxNet

onnxruntime = pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")

DIGITS = tuple(map(str, range(10)))
ROOT = Path(__file__).parents[2]
TRANSFORM = Transform.of_size("grey", (8, 8), (0.3,), (0.4,))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a small net for the digits."""
    torch.manual_seed(0)
    shape = nets.full_shape("resnet20", 10, (1, 8, 8))
    shape = shape.replace(depths={f"stages.{s}": 1 for s in range(3)})
    net = nets.build(shape)
    randomise_norms(net)
    pixels = torch.stack([TRANSFORM.pixels(digit(i)) for i in range(20)])
    with torch.no_grad():  # answers that differ
        scores = net.eval()(TRANSFORM.normalise(pixels))
        net.classifier.weight /= scores.std(0)[:, None]
        net.classifier.bias -= scores.mean(0) / scores.std(0)
    path = tmp_path_factory.mktemp("export") / "model"
    facts = {"data": "digits"}
    return tas.save(net, path, transform=TRANSFORM, classes=DIGITS, provenance=facts)


@pytest.fixture(scope="module")
def served(model: Path) -> Exported:
    """An ONNX file that takes bytes and gives probabilities."""
    return tas.export(model, model.parent / "mine.onnx", preprocess=True, softmax=True)


def test_it_is_checked_on_the_models_own_pictures(served: Exported) -> None:
    assert served.checked_on == "test pictures of digits"
    assert served.difference.pictures == 180
    assert served.difference.largest < 1e-5
    assert served.difference.equal == 1.0
    assert served.folded == served.norms == 7


def test_an_exported_file_predicts_what_its_model_does(model: Path, served: Exported) -> None:
    pictures = [digit(i, (8 + i % 3, 8), "RGB") for i in range(20)]
    ours = tas.predict(model, pictures, top=10, precision="fp32")
    theirs = tas.predict(served.path, pictures, top=10, batch_size=7)
    assert len({guess.label for guess in ours}) > 1
    for one, other in zip(ours, theirs, strict=True):
        assert one.label == other.label
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)


def test_it_says_what_it_is(model: Path, served: Exported) -> None:
    session = onnxruntime.InferenceSession(str(served.path))
    (given,), (gives,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.type, given.shape) == (
        "pictures",
        "tensor(uint8)",
        ["batch", 1, 8, 8],
    )
    assert (gives.name, gives.shape) == ("probabilities", ["batch", 10])
    about = json.loads(session.get_modelmeta().custom_metadata_map["tas"])
    assert about["classes"] == list(DIGITS)
    assert Transform.from_dict(about["transform"]) == TRANSFORM
    assert about["provenance"]["data"] == "digits"
    operators = {node.op_type for node in onnx.load(served.path).graph.node}
    assert "Conv" in operators
    assert "BatchNormalization" not in operators


def test_it_names_no_file_of_the_machine(served: Exported) -> None:
    content = served.path.read_bytes()
    assert b".py" not in content
    assert str(ROOT).encode() not in content


BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchvision", "tas"):
            raise ImportError(name + " is blocked")
sys.meta_path.insert(0, Blocked())
"""


def without_torch(program: str, folder: Path, *words: str) -> list[tuple[str, float]]:
    """Classes and probabilities that a program prints where torch and tas cannot be imported."""
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED + program, *words],
        cwd=folder,
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    return [(label, float(probability)) for label, probability in lines]


def script_of_the_readme() -> str:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    return next(block for block in blocks if "onnxruntime" in block)


def test_the_script_of_the_readme_gives_the_same_answers(
    model: Path, served: Exported, tmp_path: Path
) -> None:
    for index in range(3):
        digit(index, (8 + index, 8)).save(served.path.parent / "picture.png")
        (guess,) = tas.predict(model, served.path.parent / "picture.png", precision="fp32")
        ((label, probability),) = without_torch(script_of_the_readme(), served.path.parent)
        assert label == guess.label
        assert probability == pytest.approx(guess.probability, abs=1e-5)


@pytest.mark.parametrize(
    "transform",
    [
        TRANSFORM,
        Transform.of_size("rgb", (96, 112), (0.3,) * 3, (0.3,) * 3),
        Transform("rgb", (64, 64), (64, 64), "bicubic", (0.3,) * 3, (0.3,) * 3, "zoom"),
        Transform("grey", (20, 24), (30, 30), "bilinear", (0.3,), (0.3,), "shift"),
    ],
    ids=["small", "large", "whole", "shifted centre"],
)
def test_the_example_prepares_pictures_to_the_bit(transform: Transform, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(transform.input), 3))
    how = {"transform": transform, "classes": ("a", "b", "c")}
    path = tas.export(net, tmp_path / "a.onnx", preprocess=True, softmax=True, **how).path
    pictures = [tmp_path / f"{index}.png" for index in range(5)]
    for index, each in enumerate(pictures):
        digit(index, (100 + 90 * index, 310 - 50 * index), "RGB").save(each)
    ours = tas.predict(net, pictures, precision="fp32", **how)
    example = (ROOT / "examples" / "run_onnx.py").read_text(encoding="utf-8")
    theirs = without_torch(example, tmp_path, str(path), *map(str, pictures))
    for guess, (label, probability) in zip(ours, theirs, strict=True):
        assert label == guess.label
        assert probability == pytest.approx(guess.probability, abs=1e-5)


def test_a_program_runs_without_the_nets_code(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.pt2"
    main(["export", str(model), "--to", "torch-export", "--out", str(path), "--data", "digits"])
    assert "7 of 7 BatchNorms folded" in capsys.readouterr().out
    told = {"tas.json": ""}
    program = torch.export.load(path, extra_files=told).module()
    form = Form.of_text(told["tas.json"], "")
    assert (form.classes, form.preprocess) == (DIGITS, False)
    net = tas.load(model)
    for count in (1, 5):
        x = torch.randn(count, 1, 8, 8)
        torch.testing.assert_close(program(x), net(x), rtol=1e-4, atol=1e-4)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.pt2"]


class Odd(nn.Module):
    """A net that exporters have no way for."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        if self.how == "operator":
            x = torch.special.bessel_j0(x)
        if self.how == "batch":
            x = x.view(2, 64) if len(x) == 2 else x
        if self.how == "branch" and x.sum() > 1:
            x = x + 1
        return self.head(x)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("how", "name", "message"),
    [
        ("operator", "a.onnx", "torch.onnx cannot export the net.*'prims.bessel_j0"),
        ("batch", "a.pt2", "takes the number of pictures of a batch for a constant"),
        ("branch", "a.pt2", "torch.export cannot export the net: "),
    ],
)
def test_what_cannot_be_exported_is_one_line_and_no_file(
    tmp_path: Path, how: str, name: str, message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        tas.export(Odd(how), tmp_path / name, transform=TRANSFORM, classes=DIGITS)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


class Windows(nn.Module):
    """Attention of five dimensions, for which the exporter has no way but by its parts."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.head = nn.Linear(4, 24), nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = x.reshape(-1, 4, 4, 4)
        q, k, v = self.qkv(x).view(*x.shape[:3], 3, 2, 4).permute(3, 0, 1, 4, 2, 5)
        x = nn.functional.scaled_dot_product_attention(q, k, v).transpose(2, 3).flatten(3)
        return self.head(x.mean((1, 2)))  # type: ignore[no-any-return]


def test_an_operator_is_exported_by_its_parts_where_it_cannot_be_as_a_whole(tmp_path: Path) -> None:
    done = tas.export(Windows(), tmp_path / "a.onnx", transform=TRANSFORM, classes=DIGITS)
    assert done.difference.equal == 1


def test_a_file_that_differs_is_not_left(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = import_module("tas.api.export")
    whole = room.folded

    def wrong(net: nn.Module, input: tuple[int, ...]) -> Any:
        small = whole(net, input)
        with torch.no_grad():
            small.net.classifier.bias[3] += 0.5
        return small

    monkeypatch.setattr(room, "folded", wrong)
    (tmp_path / "a.pt2").write_text("of before")
    with pytest.raises(InputError, match=r"differs from PyTorch: '3' of picture \d+ has"):
        tas.export(model, tmp_path / "a.pt2")
    assert (tmp_path / "a.pt2").read_text() == "of before"
    assert len(list(tmp_path.iterdir())) == 1


def test_without_data_it_is_checked_on_random_pictures(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    done = tas.export(net, tmp_path / "a.pt2", transform=TRANSFORM, classes=DIGITS)
    assert done.checked_on.startswith("random pictures, for no data are known")
    gone = tas.save(
        net, tmp_path / "b", transform=TRANSFORM, classes=DIGITS, provenance={"data": "gone/away"}
    )
    done = tas.export(tas.load(gone, make=lambda: net), tmp_path / "b.pt2")
    assert done.difference.pictures == 64


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none"], "'none' does not exist"),
        (["{model}", "--to", "tflite"], "--to 'tflite': choose from onnx, torch-export"),
        (["{model}", "--out", "a.pt2"], "--out a.pt2: a file of --to onnx ends in .onnx"),
        (["{model}", "--out", "gone/a.onnx"], "a folder that is not there: choose another"),
        (["{model}", "--data", "gone/away"], "data folder 'gone/away' does not exist"),
        (["{model}", "--data", "cifar100"], "cifar100"),
    ],
)
def test_mistakes_are_one_line(
    model: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["export", *(word.format(model=model) for word in words)])
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert sorted(p.name for p in model.iterdir()) == [
        "README.md",
        "SHA256SUMS",
        "config.json",
        "model.safetensors",
        "shape.json",
    ]


def test_a_package_that_is_missing_is_named(
    model: Path, served: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"onnx and onnxscript .* pip install 'torch-tas\[onnx\]'"):
        tas.export(model)
    with pytest.raises(InputError, match=r"onnxruntime is needed .* pip install"):
        tas.predict(served.path, digit(0))


def test_files_of_others_are_refused(tmp_path: Path) -> None:
    helper = onnx.helper
    kind = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "graph",
        [helper.make_tensor_value_info("x", kind, [1])],
        [helper.make_tensor_value_info("y", kind, [1])],
    )
    opset = [helper.make_opsetid("", 18)]
    other = helper.make_model(graph, ir_version=9, opset_imports=opset)
    onnx.save(other, tmp_path / "other.onnx")
    with pytest.raises(InputError, match="does not say what its pictures go through"):
        OnnxNet(tmp_path / "other.onnx")
    (tmp_path / "broken.onnx").write_bytes(np.arange(99, dtype=np.uint8).tobytes())
    with pytest.raises(InputError, match="cannot be read as ONNX"):
        OnnxNet(tmp_path / "broken.onnx")
    with pytest.raises(InputError, match="no such file"):
        tas.predict(tmp_path / "gone.onnx", digit(0))
    with pytest.raises(InputError, match="'x' says that it is"):
        Form.of_text("{}", "x")
    with pytest.raises(InputError, match="it is of another version"):
        Form.of_text('{"format": "tas-export/2"}', "x")
