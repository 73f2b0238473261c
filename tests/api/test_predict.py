"""Predictions are what the test said: the same pictures, prepared the same, answered the same."""

import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import tas
from pictures_on_disk import digit, folder
from tas import nets
from tas.api import eval_run, train_run
from tas.data import Transform, chosen_pictures
from tas.errors import InputError

CLASSES = ("nought", "one", "two")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder of pictures, and the run of a net that was trained on it."""
    home = tmp_path_factory.mktemp("trained")
    data = folder(home / "data", each=12, size=(24, 20), suffix="jpg")
    how: dict[str, Any] = {"epochs": 2, "warmup_epochs": 0, "batch_size": 8, "image_size": 16}
    return data, train_run(data=str(data), net="resnet20", out=str(home / "run"), **how).path


@pytest.mark.parametrize("batch_size", [5, 256])
def test_predictions_on_the_test_folder_have_the_accuracy_of_the_test(
    trained: tuple[Path, Path], batch_size: int
) -> None:
    data, run = trained
    tested = eval_run(run=str(run), batch_size=batch_size)
    found = tas.predict(run, data / "test", batch_size=batch_size)
    right = [Path(guess.picture).parent.name == guess.label for guess in found]
    assert len(right) == tested.figures["pictures"] == 36
    assert 100 * sum(right) / len(right) == tested.figures["accuracy"]


def test_pictures_reach_the_net_bit_for_bit_as_in_the_test(trained: tuple[Path, Path]) -> None:
    data, run = trained
    loaded = tas.data.load(str(data), transform=tas.load(run).transform, class_names=CLASSES)
    net = nets.build("resnet20", 3, (3, 16, 16))
    seen: list[torch.Tensor] = []
    net.register_forward_pre_hook(lambda _, given: seen.append(given[0].clone()))
    how: dict[str, Any] = {"batch_size": 256, "device": "cpu", "precision": "fp32"}
    tas.evaluate(net, loaded, **how)
    tested = seen[-1]
    tas.predict(net, data / "test", transform=loaded.transform, classes=CLASSES, **how)
    assert torch.equal(seen[-1], tested)


def test_the_most_probable_come_first(trained: tuple[Path, Path]) -> None:
    data, run = trained
    picture = str(data / "test" / "one" / "0.jpg")
    (found,) = tas.predict(run, picture, top=5, precision="fp32")
    net = tas.load(run)
    with torch.inference_mode():
        scores = net(net.transform.normalise(net.transform.read(picture))[None])[0].softmax(0)
    assert sorted(found.classes) == sorted(CLASSES)
    assert found.probabilities == pytest.approx(sorted(scores.tolist(), reverse=True))
    assert found.label == CLASSES[int(scores.argmax())]


def test_a_picture_that_cannot_be_read_leaves_the_others(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    data, run = trained
    (tmp_path / "broken.png").write_bytes(b"no picture")
    (tmp_path / "empty").mkdir()
    good = data / "test" / "one" / "0.jpg"
    given = [good, tmp_path / "broken.png", tmp_path / "gone.png", tmp_path / "empty", digit(3)]
    found = tas.predict(run, given)
    errors = ["", "not a picture", "no such file", "a folder without pictures", ""]
    assert [guess.error for guess in found] == errors
    assert [bool(guess.label) for guess in found] == [not error for error in errors]


def test_pictures_are_found_in_order(tmp_path: Path) -> None:
    for name in ("b/2.png", "b/10.PNG", "a.png", "b/c/x.jpg", "b/.hidden.png", "b/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "empty").mkdir()

    def names(*given: str) -> list[str]:
        found = chosen_pictures([tmp_path / each for each in given])
        return [os.path.relpath(str(path), tmp_path) for path in found]

    assert names("b") == ["b/10.PNG", "b/2.png", "b/c/x.jpg"]
    assert names("*.png", "b/notes.txt", "a.png") == ["a.png", "b/notes.txt", "a.png"]
    assert names("**/*.png") == ["a.png", "b/2.png"]
    assert names("empty", "*.gif") == ["empty", "*.gif"]
    os.symlink(tmp_path / "b", tmp_path / "b" / "loop")
    os.symlink("nowhere", tmp_path / "b" / "nowhere")  # a link to itself
    assert names("b") == ["b/10.PNG", "b/2.png", "b/c/x.jpg"]
    image = Image.new("L", (8, 8))
    assert chosen_pictures([image]) == [image]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({}, "does not say what happens to a picture"),
        ({"transform": True}, "does not name its classes"),
        ({"transform": True, "classes": ("a", "b")}, r"gives \[3\] for a picture, and 2 classes"),
        ({"transform": True, "classes": CLASSES, "top": 0}, "--top 0: must be at least 1"),
        ({"transform": True, "classes": CLASSES, "batch_size": 0}, "--batch-size 0"),
        ({"transform": True, "classes": CLASSES, "workers": -1}, "--workers -1"),
        ({"transform": True, "classes": CLASSES, "device": "tpu"}, "unknown device 'tpu'"),
    ],
)
def test_what_cannot_be_used_is_said(how: dict[str, Any], message: str) -> None:
    if "transform" in how:
        how = {**how, "transform": Transform.of_size("rgb", (8, 8), (0.5,) * 3, (0.5,) * 3)}
    with pytest.raises(InputError, match=message):
        tas.predict(nets.build("resnet20", 3, (3, 8, 8)), digit(0), **how)


def test_the_code_of_a_model_card_runs(
    trained: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained[1]
    monkeypatch.chdir(run)
    digit(1).save("picture.png")
    code = re.findall(r"```python\n(.*?)```", (run / "README.md").read_text(), re.DOTALL)[0]
    exec(compile(code, "README.md", "exec"), {})
    (run / "picture.png").unlink()
    assert re.match(r"picture.png (nought|one|two) 0\.\d+", capsys.readouterr().out)


def test_the_code_of_the_readme_runs(
    trained: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    code = next(block for block in blocks if 'tas.load("runs/mine")' in block)
    shutil.copytree(trained[1], tmp_path / "runs" / "mine")
    (tmp_path / "photos").mkdir()
    digit(1).save(tmp_path / "photos" / "1.png")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    assert re.match(r"photos/1.png (nought|one|two) 0\.\d+", capsys.readouterr().out)
