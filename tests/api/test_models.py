"""What is saved with a model is used ever after: its transform, its classes; and no code is run."""

import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image, ImageOps

import tas
from pictures_on_disk import folder
from tas import nets
from tas.api import eval_run, load_data, train_run
from tas.cli.main import main
from tas.data import Transform
from tas.errors import InputError
from tas.runs import ModelConfig
from tas.weights import save_weights

SHORT: dict[str, Any] = {
    "net": "resnet20",
    "epochs": 2,
    "warmup_epochs": 0,
    "batch_size": 8,
    "precision": "fp32",
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder of pictures, and the run of a net that was trained on it."""
    home = tmp_path_factory.mktemp("trained")
    data = folder(home / "data", each=6, size=(12, 12))
    run = train_run(data=str(data), out=str(home / "run"), **SHORT)
    return data, run.path


def darker(source: Path, target: Path, renamed: dict[str, str] | None = None) -> Path:
    """The same pictures, darker and larger, classes under other names."""
    shutil.copytree(source, target)
    for path in target.rglob("*.png"):
        image = Image.open(path).resize((24, 24)).point(lambda v: v // 3)
        image.save(path)
    for old, new in (renamed or {}).items():
        for part in ("train", "test"):
            (target / part / old).rename(target / part / new)
    return target


def test_other_pictures_are_shown_as_those_it_was_trained_on(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    """Neither their size nor their colours change what the net is shown."""
    data, run = trained
    config = ModelConfig.beside(run)
    assert config is not None
    saved = Transform.from_dict(config.transform)
    assert config.classes == ("nought", "one", "two")
    assert config.shape is not None
    assert config.shape.input == saved.input == (3, 12, 12)
    other = darker(data, tmp_path / "other")
    weights = str(run / "model.safetensors")
    how = {"data_dir": None, "download": False, "workers": 0, "in_memory": None, "image_size": None}
    seen = load_data(SimpleNamespace(data=str(other), weights=weights, device="cpu", **how))
    assert seen.transform == saved
    assert load_data(SimpleNamespace(data=str(other), device="cpu", **how)).transform != saved


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_test_says_what_the_run_said(trained: tuple[Path, Path], in_memory: bool) -> None:
    run = trained[1]
    result = json.loads((run / "result.json").read_text())
    tested = eval_run(run=str(run), in_memory=in_memory, precision="fp32")
    assert tested.figures["accuracy"] == result["rows"][-1]["accuracy"]


def test_classes_in_another_order_are_mapped_by_name(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    data, run = trained
    some = tmp_path / "some"
    shutil.copytree(data, some)
    shutil.rmtree(some / "train" / "nought")
    shutil.rmtree(some / "test" / "nought")  # what was class 1 would be class 0
    tested = eval_run(run=str(run), data=str(some), precision="fp32")
    assert tested.figures["pictures"] == 12
    net = tas.load(run / "shape.json", run / "model.safetensors").eval()
    right = 0
    transform = Transform.from_dict(ModelConfig.beside(run).transform)  # type: ignore[union-attr]
    for label, name in ((1, "one"), (2, "two")):
        for path in sorted((data / "test" / name).iterdir()):
            with torch.inference_mode():
                right += int(net(transform.normalise(transform.read(path))[None]).argmax()) == label
    assert tested.figures["accuracy"] == pytest.approx(100 * right / 12)


def test_classes_that_the_model_does_not_know_are_refused(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    data, run = trained
    other = darker(data, tmp_path / "other", {"two": "three"})
    with pytest.raises(InputError, match="'three', which the model does not know"):
        eval_run(run=str(run), data=str(other))
    with pytest.raises(InputError, match="'three', which the model does not know"):
        train_run(data=str(other), teacher=str(run / "model.safetensors"), **SHORT)


def test_a_net_is_not_trained_on_classes_without_pictures(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    data, run = trained
    some = tmp_path / "some"
    shutil.copytree(data, some)
    shutil.rmtree(some / "train" / "two")
    with pytest.raises(InputError, match="no training pictures of 'two'"):
        train_run(data=str(some), weights=str(run / "model.safetensors"), **SHORT)


def test_a_default_that_is_given_is_meant(trained: tuple[Path, Path]) -> None:
    """``--data digits`` of a run on other pictures: the digits have other classes."""
    with pytest.raises(InputError, match="which the model does not know"):
        eval_run(run=str(trained[1]), data="digits")


def test_a_run_goes_on_with_the_transform_that_it_began_with(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    data = trained[0]
    copy, again = tmp_path / "data", tmp_path / "run"
    shutil.copytree(data, copy)
    options = {**SHORT, "data": str(copy), "out": str(again)}
    train_run(**options)
    (again / "result.json").unlink()
    before = (again / "config.json").read_text()
    for path in (copy / "train").rglob("*.png"):
        ImageOps.invert(Image.open(path).convert("RGB")).save(path)
    train_run(**options)
    assert (again / "config.json").read_text() == before


def test_models_that_were_trained_otherwise_are_not_mixed(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    data, run = trained
    other = tmp_path / "other"
    train_run(data=str(darker(data, tmp_path / "dark")), out=str(other), **SHORT)
    both = {"weights": str(run / "model.safetensors"), "teacher": str(other / "model.safetensors")}
    with pytest.raises(InputError, match="different transforms of pictures"):
        train_run(data=str(data), **SHORT, **both)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "tas-model/9"}', "\x00"])
def test_a_damaged_config_is_said_in_one_line(
    trained: tuple[Path, Path], tmp_path: Path, text: str
) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained[1], run)
    (run / "config.json").write_text(text)
    with pytest.raises(InputError) as caught:
        eval_run(run=str(run))
    assert "config.json" in str(caught.value)
    assert "\n" not in str(caught.value)


EVIL = """
from pathlib import Path
Path("ran").touch()
def make(classes=10):
    from tas.nets import build
    Path("called").touch()
    return build("resnet20", classes)
"""


def test_no_file_has_code_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A shape may name a function, but only the caller can have it called."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil_module.py").write_text(EVIL)
    shape = nets.full_shape("resnet20").replace(net="evil_module:make", widths={}, depths={})
    shape.save("shape.json")
    save_weights(nets.build("resnet20"), tmp_path / "model.safetensors")
    (tmp_path / "config.yaml").write_text("verb: train\ndata: digits\n")
    weights = ["--weights", "model.safetensors"]
    (tmp_path / "photos").mkdir()
    for name in "abcd":
        Image.new("RGB", (8, 8)).save(tmp_path / "photos" / f"{name}.png")
    unlabelled = ["--data", "photos", "--unlabelled", "--teacher", "model.safetensors"]
    for command in (
        ["macs", "shape.json"],
        ["train", "--shape", "shape.json"],
        ["train", "--shape", "shape.json", *weights],
        ["train", "--shape", "shape.json", "--teacher", "model.safetensors", "--inherit"],
        ["train", "--shape", "shape.json", *unlabelled],
        ["eval", "--shape", "shape.json", *weights],
        ["eval", "."],
        ["doctor", "--net", "shape.json"],
    ):
        with pytest.raises(SystemExit) as caught:
            main(command)
        assert caught.value.code == 2
        assert "--net evil_module:make" in capsys.readouterr().err
    with pytest.raises(InputError, match="trust='evil_module:make'"):
        tas.load("shape.json", "model.safetensors")
    with pytest.raises(InputError, match="trust='evil_module:make'"):
        nets.build(tas.Shape.load("shape.json"))
    assert not (tmp_path / "ran").exists()
    assert "evil_module" not in sys.modules
    main(["macs", "shape.json", "--net", "evil_module:make"])
    assert "40,813,184 multiply-adds" in capsys.readouterr().out
    assert (tmp_path / "called").exists()
    monkeypatch.setattr("tas.nets.named._trusted", set())
    with pytest.raises(InputError, match="trust='evil_module:make'"):
        nets.build(tas.Shape.load("shape.json"))
    assert tas.load("shape.json", "model.safetensors", trust="evil_module:make")
