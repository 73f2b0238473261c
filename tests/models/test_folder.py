"""A model folder stands for itself: what was saved is loaded, on another day, by somebody else."""

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import tas
from helpers import images, random_shape, randomise_norms
from pictures_on_disk import folder
from tas import nets, spaces
from tas.api import eval_run, train_run
from tas.data import Transform
from tas.errors import InputError
from tas.inherit import Source
from tas.models import ModelFolder

CLASSES = ("nought", "one", "two")
TRANSFORM = Transform.of_size("rgb", (8, 8), (0.4,) * 3, (0.3,) * 3)


def make_net() -> nn.Module:
    """What a user's function returns."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 3),
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of a net that was trained on a folder of pictures."""
    home = tmp_path_factory.mktemp("run")
    data = folder(home / "data", each=6, size=(8, 8))
    how: dict[str, Any] = {"epochs": 1, "warmup_epochs": 0, "batch_size": 8, "precision": "fp32"}
    return train_run(data=str(data), net="resnet20", out=str(home / "run"), **how).path


def test_a_run_is_loaded_as_its_shape_and_weights_are(run: Path) -> None:
    net = tas.load(run)
    plain = tas.load(run / "shape.json", run / "model.safetensors").eval()
    assert not net.training
    assert net.classes == CLASSES
    assert isinstance(net.transform, Transform)
    x = images(2, 3, 8, 8)
    torch.testing.assert_close(net(x), plain(x), rtol=0, atol=0)


def test_what_is_attached_is_in_no_state_and_is_copied(run: Path, tmp_path: Path) -> None:
    net = tas.load(run)
    plain = tas.load(run / "shape.json", run / "model.safetensors")
    assert list(net.state_dict()) == list(plain.state_dict())
    assert dict(net.named_modules()).keys() == dict(plain.named_modules()).keys()
    torch.save(net, tmp_path / "net.pt")
    for again in (copy.deepcopy(net), torch.load(tmp_path / "net.pt", weights_only=False)):
        assert (again.transform, again.classes) == (net.transform, net.classes)


def test_a_run_says_where_it_comes_from(run: Path) -> None:
    content = json.loads((run / "config.json").read_text())
    result = json.loads((run / "result.json").read_text())
    facts = content["provenance"]
    assert content["net"] == "resnet20"
    assert facts["accuracy"] == result["rows"][-1]["accuracy"]
    assert (facts["macs"], facts["params"]) == (content["shape"]["macs"], 271_827)
    assert (facts["seed"], facts["epochs"], facts["test_pictures"]) == (0, 1, 18)
    assert facts["versions"]["torch"] == torch.__version__
    assert facts["command"].startswith("tas train --data ")


def test_a_saved_net_is_loaded(tmp_path: Path) -> None:
    net = nets.build("C010-ResNet20", 3, (3, 8, 8)).eval()
    randomise_norms(net)
    path = tas.save(net, tmp_path / "a" / "model", transform=TRANSFORM, classes=CLASSES)
    again = tas.load(path)
    x = images(2, 3, 8, 8)
    torch.testing.assert_close(again(x), net(x), rtol=0, atol=0)
    copied = tas.save(again, tmp_path / "copy")  # it knows its transform and classes
    assert (copied / "config.json").read_text() == (path / "config.json").read_text()
    tas.save(again, copied)  # a model is replaced
    tested = eval_run(run=str(copied), data=str(folder(tmp_path / "data")), precision="fp32")
    assert tested.figures["pictures"] == 12


def test_a_net_of_ones_own_is_loaded_with_its_maker(tmp_path: Path) -> None:
    net = make_net().eval()
    tas.save(net, tmp_path / "whole", transform=TRANSFORM, classes=CLASSES)
    space = spaces.trace(net, torch.zeros(1, 3, 8, 8))
    shape = random_shape(space, 1)
    small = Source.of(space, net).derive(shape).eval()
    tas.save(small, tmp_path / "small", transform=TRANSFORM, classes=CLASSES, shape=shape)
    x = images(2, 3, 8, 8)
    for name, saved in (("whole", net), ("small", small)):
        again = tas.load(tmp_path / name, make=make_net)
        torch.testing.assert_close(again(x), saved(x), rtol=0, atol=0)
        with pytest.raises(InputError, match=r"give what makes it, unpruned, by tas\.load"):
            tas.load(tmp_path / name)


def test_an_attribute_of_the_nets_own_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def make() -> nn.Module:
        net = make_net()
        net.classes = 3  # type: ignore[assignment]
        return net

    tas.save(make(), tmp_path / "model", transform=TRANSFORM, classes=CLASSES)
    assert tas.load(tmp_path / "model", make=make).classes == 3
    assert "has a 'classes' of its own" in capsys.readouterr().err


def test_a_run_of_an_earlier_version_is_loaded(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    earlier = tmp_path / "earlier"
    shutil.copytree(run, earlier)
    for name in ("config.json", "SHA256SUMS"):
        (earlier / name).unlink()
    net = tas.load(earlier)
    assert (net.transform, net.classes) == (None, None)
    said = capsys.readouterr().err
    assert "its transform and classes are not known" in said
    assert "has no SHA256SUMS" in said


def changed(**changes: Any) -> Any:
    """A ``config.json`` with some fields in their place."""

    def write(path: Path) -> None:
        content = json.loads((path / "config.json").read_text())
        (path / "config.json").write_text(json.dumps(content | changes))

    return write


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (shutil.rmtree, "does not exist: give the folder of a run"),
        (lambda path: (path / "model.safetensors").unlink(), "is not finished"),
        (lambda path: (path / "config.json").write_text("{"), "not JSON"),
        (changed(format="tas-model/2"), "written by a newer version of torch-tas"),
        (changed(format="other"), "its format is 'other', not 'tas-model/1'"),
        (changed(transform={}), "'colour' is missing"),
        (changed(classes=["a", "b"]), "names 2 classes, and its net has 3"),
        (changed(classes=["a", "a", "b"]), "the same name"),
        (changed(provenance=[]), "'provenance' is \\[\\], not names"),
        (changed(shape={}), "config.json': 'format' is None"),
        (lambda path: (path / "model.safetensors").write_bytes(b"x"), "cannot be read as weights"),
    ],
)
def test_a_damaged_folder_is_said_in_one_line(
    run: Path, tmp_path: Path, spoil: Any, message: str
) -> None:
    shutil.copytree(run, tmp_path / "run")
    spoil(tmp_path / "run")
    known = "(is damaged|is missing), says SHA256SUMS beside it|does not exist"
    for expected in (known, message):
        with pytest.raises(InputError, match=expected) as caught:
            tas.load(tmp_path / "run")
        assert "\n" not in str(caught.value)
        assert str(tmp_path / "run") in str(caught.value)
        (tmp_path / "run" / "SHA256SUMS").unlink(missing_ok=True)  # as an earlier version left it


def test_what_is_no_model_folder_is_said(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is no model folder: it has no model\.safetensors"):
        tas.load(tmp_path)
    with pytest.raises(InputError, match=r"shape.json' is a file: give the folder"):
        ModelFolder.of(run / "shape.json")
    with pytest.raises(InputError, match="a shape has no weights"):
        tas.load(tas.Shape.load(run / "shape.json"))
    with pytest.raises(InputError, match="leave them out"):
        tas.load(run, classes=3)


def test_nothing_else_is_overwritten(run: Path, tmp_path: Path) -> None:
    net = tas.load(run)
    with pytest.raises(InputError, match="holds a run, which is never overwritten"):
        tas.save(net, run)
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(InputError, match=r"holds other files \('README.md'\)"):
        tas.save(net, tmp_path)
    with pytest.raises(InputError, match="is a file"):
        tas.save(net, tmp_path / "README.md")
    assert [p.name for p in tmp_path.iterdir()] == ["README.md"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"classes": CLASSES}, "give the transform"),
        ({"transform": TRANSFORM}, "give the names of the classes"),
        ({"transform": TRANSFORM, "classes": ("a", "b")}, r"the net gives \[1, 3\] .* 2 classes"),
        ({"transform": TRANSFORM, "classes": ("a", "a", "b")}, "the same name"),
        (
            {"transform": TRANSFORM, "classes": CLASSES, "provenance": {"data": Path()}},
            "not ready for JSON",
        ),
    ],
)
def test_what_does_not_fit_is_not_saved(
    tmp_path: Path, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        tas.save(make_net(), tmp_path / "model", **given)
    assert not (tmp_path / "model").exists()
