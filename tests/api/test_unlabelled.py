"""Pictures without labels: a trained net's answers stand for them, in every verb."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import tas
from any_nets import conv
from helpers import randomise_norms
from pictures_on_disk import digit
from tas.api import eval_run, load_data, search_run, train_run
from tas.api.unlabelled import with_classes
from tas.data import search_split
from tas.errors import InputError
from tas.options import RunOptions
from tas.training import TrainOptions, divergence, evaluate, seeded
from tas.training.pictures import unvaried_batches

SHORT: dict[str, Any] = {"epochs": 1, "precision": "fp32", "batch_size": 16}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 pictures at three depths, and files that are none."""
    root = tmp_path_factory.mktemp("photos")
    for i in range(40):
        where = root / ("", "a", "a/b")[i % 3]
        where.mkdir(exist_ok=True, parents=True)
        digit(i, mode="L").save(where / f"{i}.png")
    (root / "a" / "notes.txt").write_text("none")
    return root


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a net that knows the digits."""
    data = tas.data.load("digits", progress=False)
    with seeded(0):
        net = tas.nets.build("resnet20", data.classes, data.input)
    randomise_norms(net)
    out = tmp_path_factory.mktemp("teacher") / "model"
    return tas.save(net, out, transform=data.transform, classes=data.class_names)


@pytest.fixture(scope="module")
def done(photos: Path, teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> tas.Run:
    return tas.run(**asked(photos, teacher, tmp_path_factory.mktemp("runs") / "run"))


def asked(photos: Path, teacher: Path, out: Path) -> dict[str, Any]:
    weights = str(teacher / "model.safetensors")
    search = {"trials": 4, "search_epochs": 1, "budget": 0.5}
    return {"data": str(photos), "unlabelled": True, "teacher": weights, "out": str(out)} | (
        SHORT | search
    )


def test_pictures_are_taken_at_any_depth(photos: Path, tmp_path: Path) -> None:
    data = tas.data.load(photos, unlabelled=True, progress=False)
    assert (len(data.train), len(data.test), data.classes, data.labelled) == (32, 8, 0, False)
    assert not data.absent
    split = search_split(data, 0.75)
    assert (len(split.weights), len(split.logits)) == (24, 8)
    for part, one in (("train", 3), ("test", 2)):
        (tmp_path / part / "deep").mkdir(parents=True)
        for i in range(one):
            digit(i).save(tmp_path / part / "deep" / f"{i}.png")
    parts = tas.data.load(tmp_path, unlabelled=True, progress=False)
    assert (len(parts.train), len(parts.test), parts.notes) == (3, 2, ())
    assert not tas.data.load("digits", unlabelled=True).train.labels.any()


def test_a_run_tells_equal_answers_in_the_place_of_accuracy(done: tas.Run) -> None:
    whole, *others = done.result["rows"]
    assert (whole["agreement"], whole["distance"]) == (100.0, 0.0)
    assert [row["name"] for row in others] == ["equal widths, distilled", "searched, distilled"]
    for row in done.result["rows"]:
        assert "accuracy" not in row
    assert all(0 <= row["agreement"] <= 100 and row["distance"] > 0 for row in others)
    config = json.loads((done.path / "config.json").read_text())
    assert config["classes"] == [str(i) for i in range(10)]  # of the teacher's folder
    assert "Answers as the unpruned net does" in (done.path / "README.md").read_text()
    page = done.report().read_text()
    assert "equal (%)" in page
    assert "accuracy (%)" not in page
    tested = eval_run(run=str(done.path), precision="fp32")
    assert tested.figures["agreement"] == others[-1]["agreement"]
    assert tested.figures["loss"] == pytest.approx(others[-1]["distance"], rel=1e-4)


def test_an_interrupted_run_ends_as_one_that_was_not(
    done: tas.Run, photos: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    save = tas.RunDir.log

    def stopped(self: Any, line: Any) -> None:
        save(self, line)
        if line["phase"] == "student":
            raise KeyboardInterrupt

    monkeypatch.setattr(tas.RunDir, "log", stopped)
    with pytest.raises(KeyboardInterrupt):
        tas.run(**asked(photos, teacher, out))
    monkeypatch.setattr(tas.RunDir, "log", save)
    tas.run(**asked(photos, teacher, out))
    for name in ("model.safetensors", "config.json"):
        assert (out / name).read_bytes() == (done.path / name).read_bytes(), name


def test_search_and_train_alone(photos: Path, teacher: Path, tmp_path: Path) -> None:
    weights, data = str(teacher / "model.safetensors"), str(photos)
    given = {"data": data, "unlabelled": True, "budget": 0.5, "trials": 4, "weights": weights}
    found = search_run(out=str(tmp_path / "found"), **SHORT, **given)
    shape, start = (str(found.path / name) for name in ("shape.json", "model.safetensors"))
    trained = train_run(
        **SHORT, data=data, unlabelled=True, shape=shape, weights=start, teacher=weights,
        out=str(tmp_path / "trained"),
    )  # fmt: skip
    assert trained.result["rows"][-1]["name"].endswith("distilled")
    assert trained.result["rows"][-1]["agreement"] >= 0


def net(classes: int = 4) -> nn.Module:
    with seeded(0):
        return nn.Sequential(
            conv(1, 12), conv(12, 12), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, classes)
        )


def test_in_python_the_net_itself_says_its_classes(photos: Path) -> None:
    data = tas.data.load(photos, unlabelled=True, progress=False)
    whole, options = net(), replace(tas.recipes.quick().inheriting().search, trials=4)
    randomise_norms(whole)
    whole[-1].weight.data.mul_(10)  # answers that differ from picture to picture
    found = tas.search(whole, data, 0.6, options=options, progress=False, device="cpu")
    small = found.derive()
    nn.init.zeros_(small[-1].weight)
    how = TrainOptions(epochs=8, warmup_epochs=0, batch_size=16, lr=0.02, precision="fp32")
    before = tas.evaluate(small, data, teacher=whole, device="cpu", progress=False)
    trained = tas.train(small, data, teacher=whole, options=how, device="cpu", progress=False)
    assert trained.history.last["test_loss"] < before["loss"] / 2
    assert trained.accuracy != trained.accuracy
    assert trained.agreement == trained.history.last["test_agreement"]


def test_figures_are_those_of_the_teachers_answers() -> None:
    data = tas.data.load("digits", unlabelled=True)
    own, whole = net(), net()
    nn.init.normal_(own[-1].weight)
    batches = unvaried_batches(data, data.test, TrainOptions(batch_size=100), "cpu", None)
    told = evaluate(own, batches, teacher=whole, device="cpu", precision="fp32")
    pictures = torch.cat([x for x, _ in batches])
    with torch.no_grad():
        mine, theirs = own.eval()(pictures), whole.eval()(pictures)
    share = 100 * float((mine.argmax(1) == theirs.argmax(1)).double().mean())
    assert told["agreement"] == pytest.approx(share)
    assert told["loss"] == pytest.approx(float(divergence(mine, theirs)), rel=1e-4)


def test_weights_alone_tell_how_many_classes_they_know(photos: Path, tmp_path: Path) -> None:
    built = tas.nets.build("resnet20", classes=7, input=(1, 8, 8))
    path = tmp_path / "seven.safetensors"
    tas.weights.save_weights(built, path)
    options = RunOptions(data=str(photos), unlabelled=True, teacher=str(path))
    assert with_classes(options, load_data(options), "resnet20").classes == 7


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "--unlabelled: all there is to learn from.*--teacher or --weights or --pretrained"),
        ({"teacher": "a.pt", "preset": "paper"}, "--preset paper is a search by labels"),
        ({"teacher": "a.pt", "inherit": False}, "--inherit false is a search by labels"),
        ({"teacher": "a.pt", "kd_alpha": 0.5}, "--kd-alpha weighs labels"),
        ({"teacher": "a.pt", "data": "."}, "no pictures in '.*', at any depth"),
    ],
)
def test_mistakes(
    given: dict[str, Any],
    words: str,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=words):
        tas.run(**{"data": str(photos), "unlabelled": True, "out": str(tmp_path / "r"), **given})
    assert not (tmp_path / "r").exists()


def test_mistakes_in_python(photos: Path) -> None:
    data = tas.data.load(photos, unlabelled=True, progress=False)
    with pytest.raises(InputError, match="no labels: give a teacher"):
        tas.train(net(), data, progress=False)
    with pytest.raises(InputError, match="no labels: give a teacher"):
        tas.evaluate(net(), data, progress=False)
    with pytest.raises(InputError, match="no labels: give a trained net itself"):
        tas.search("resnet20", data, progress=False)
