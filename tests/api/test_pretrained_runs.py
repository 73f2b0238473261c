"""Runs from weights that do not know the classes yet: the teacher learns them from there."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import tas
from pictures_on_disk import folder
from tas import nets
from tas.api import train_run
from tas.cli.main import main
from tas.errors import InputError
from tas.weights import save_weights

SHORT = {"search_epochs": 1, "trials": 4, "precision": "fp32", "batch_size": 128}


@pytest.fixture(scope="module")
def of_half(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A net that knows the digits 0 to 4, as a file of weights alone."""
    data = tas.data.load("digits")
    few = [part.take((part.labels < 5).nonzero().flatten()) for part in (data.train, data.test)]
    half = replace(data, class_names=data.class_names[:5], train=few[0], test=few[1])
    options = replace(tas.recipes.quick().teacher, epochs=6, warmup_epochs=1, precision="fp32")
    trained = tas.train("resnet20", half, options=options, progress=False)
    path = tmp_path_factory.mktemp("half") / "half.safetensors"
    save_weights(trained.net, path)
    return path


def test_a_teacher_of_other_classes_learns_these(
    of_half: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All but the classifier is taken, which is said; an epoch from there beats one afresh."""
    out, scratch = str(tmp_path / "run"), str(tmp_path / "scratch")
    done = tas.run(weights=str(of_half), epochs=1, baseline=False, out=out, **SHORT)
    said = capsys.readouterr().err
    assert "but the classifier's are taken: 'classifier' has 5 classes there, 10 here" in said
    assert [row["name"] for row in done.result["rows"]] == ["unpruned", "searched, distilled"]
    assert (done.path / "teacher.safetensors").is_file()
    afresh = train_run(net="resnet20", epochs=1, precision="fp32", batch_size=128, out=scratch)
    assert done.result["rows"][0]["accuracy"] > afresh.result["rows"][-1]["accuracy"] + 10
    assert tas.run(weights=str(of_half), epochs=1, baseline=False, out=out, **SHORT).finished


def test_a_training_of_its_own_starts_there_too(of_half: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "run")
    how = {"epochs": 1, "lr": 1e-8, "weight_decay": 0.0, "batch_size": 128, "precision": "fp32"}
    done = train_run(net="resnet20", weights=str(of_half), out=out, **how)
    theirs, ours = load_file(of_half), load_file(done.path / "model.safetensors")
    for name, value in theirs.items():
        if not name.startswith("classifier") and "running" not in name and "num_b" not in name:
            assert torch.allclose(value, ours[name], atol=1e-5), name


def test_who_does_not_train_a_teacher_refuses_other_classes(of_half: Path, tmp_path: Path) -> None:
    for verb, option in (("search", "--weights"), ("run", "--teacher"), ("eval", "--weights")):
        with pytest.raises(SystemExit) as ended:
            main([verb, "--net", "resnet20", option, str(of_half)])
        assert ended.value.code == 2


def test_pretrained_weights_are_the_start_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures are normalised as they were for these weights, and a model says so."""
    name = "torchvision:squeezenet1_1"
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    theirs = nets.build(name, 1000, (3, 64, 64))
    checkpoints = tmp_path / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    torch.save(theirs.state_dict(), checkpoints / "squeezenet1_1-b8a52dc0.pth")
    data = str(folder(tmp_path / "data", each=6, size=(48, 48)))
    how = {"net": name, "data": data, "pretrained": True, "epochs": 1, **SHORT}
    done = tas.run(out=str(tmp_path / "run"), baseline=False, **how)
    assert tas.nets.read_shape(done.path / "shape.json").classes == 3
    assert "0.485" in (done.path / "config.json").read_text()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"net": "resnet20"}, "'resnet20' has no pretrained weights"),
        ({"net": "timm:test_resnet", "weights": "a.pt"}, "--weights and --pretrained are both"),
        ({"model": nn.Linear(4, 2)}, "--pretrained and model are both"),
    ],
)
def test_mistakes_of_a_run(given: dict[str, object], words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        tas.run(pretrained=True, out=str(tmp_path / "r"), **given)  # type: ignore[arg-type]
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"net": "resnet20", "weights": "a.pt"}, "--weights and --pretrained both say what"),
        ({"shape": "C010-ResNet20"}, "--pretrained is for a whole net"),
    ],
)
def test_mistakes_of_a_training(given: dict[str, str], words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        train_run(pretrained=True, out=str(tmp_path / "r"), **given)  # type: ignore[arg-type]
    assert not (tmp_path / "r").exists()
