"""An INT8 file is ONNX Runtime's own, says what it loses, and is whole or not there."""

import re
import shutil
from importlib import import_module
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

import tas
from helpers import randomise_norms
from pictures_on_disk import digit, folder
from tas import nets, sums
from tas.api import Exported
from tas.api.opening import unpruned
from tas.cli.main import main
from tas.data import Images, Transform, some_pictures
from tas.data.transform import as_image
from tas.errors import InputError
from tas.models import ModelFolder
from tas.weights import save_weights

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

DIGITS = tuple(map(str, range(10)))
TRANSFORM = Transform.of_size("grey", (8, 8), (0.3,), (0.4,))


def told_apart(net: nn.Module) -> nn.Module:
    """A net whose answers differ from picture to picture."""
    randomise_norms(net)
    pixels = torch.stack([TRANSFORM.pixels(digit(i)) for i in range(20)])
    with torch.no_grad():
        scores = net.eval()(TRANSFORM.normalise(pixels))
        net.classifier.weight /= scores.std(0)[:, None]
        net.classifier.bias -= scores.mean(0) / scores.std(0)
    return net


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run for the digits leaves, of a net that was cut from another."""
    torch.manual_seed(0)
    full = nets.full_shape("resnet20", 10, (1, 8, 8))
    net = told_apart(nets.build(full.replace(depths={f"stages.{s}": 1 for s in range(3)})))
    facts = {"data": "digits"}
    path = tmp_path_factory.mktemp("int8") / "run"
    tas.save(net, path, transform=TRANSFORM, classes=DIGITS, provenance=facts)
    save_weights(told_apart(nets.build(full)), path / "teacher.safetensors")
    config = {"verb": "run", "data": "digits", "net": "resnet20"}
    (path / "config.yaml").write_text(yaml.safe_dump(config))
    return path


@pytest.fixture(scope="module")
def done(run: Path) -> Exported:
    """The INT8 file, which takes bytes and gives probabilities."""
    out = run.parent / "mine.onnx"
    return tas.export(run, out, preprocess=True, softmax=True, int8=True)


def test_it_is_quantised_and_answers_as_before(run: Path, done: Exported) -> None:
    graph = onnx.load(done.path).graph
    convs = [node for node in graph.node if node.op_type == "Conv"]
    quantised = {out for n in graph.node if n.op_type == "DequantizeLinear" for out in n.output}
    assert all({*node.input} <= quantised for node in convs)
    scales = [t for t in graph.initializer if t.name.endswith("scale")]
    assert any(t.dims and t.dims[0] > 1 for t in scales), "one scale per channel"
    pictures = [digit(i) for i in range(60)]
    ours, theirs = tas.predict(run, pictures), tas.predict(done.path, pictures)
    # Of a net without training many answers are close to one another.
    assert sum(a.label == b.label for a, b in zip(ours, theirs, strict=True)) >= 45
    assert all(0 < guess.probability <= 1 for guess in theirs)
    assert len({guess.probability for guess in theirs}) > 50, "probabilities are not rounded"


def test_the_table_has_the_unpruned_net_and_the_accuracies_of_the_files(
    run: Path, done: Exported
) -> None:
    assert done.int8 is not None
    names = [row.name for row in done.int8.rows]
    assert names == ["unpruned, float32", "unpruned, INT8", "pruned, float32", "pruned, INT8"]
    assert all(0 < row.ms < row.ms_batch for row in done.int8.rows)
    assert [row.equal for row in done.int8.rows][::2] == [1.0, 1.0]
    assert done.int8.rows[3].megabytes < 0.6 * done.int8.rows[2].megabytes
    data = tas.data.load("digits", transform=TRANSFORM)
    tested = tas.evaluate(tas.load(run), data, precision="fp32", progress=False)
    float32, quantised = done.int8.rows[2:]
    assert float32.accuracy == pytest.approx(tested["accuracy"])
    assert done.int8.lost == pytest.approx(float32.accuracy - quantised.accuracy)
    test = some_pictures(data.test, TRANSFORM, 1_000)
    guesses = tas.predict(done.path, [as_image(pixels) for pixels in test.pixels])
    right = [int(g.label) == int(n) for g, n in zip(guesses, test.labels, strict=True)]
    assert quantised.accuracy == pytest.approx(100 * sum(right) / len(right))


def test_a_damaged_teacher_is_told_and_not_left_out(run: Path, tmp_path: Path) -> None:
    path = shutil.copytree(run, tmp_path / "run")
    sums.seal(path, ["teacher.safetensors"])
    folder = ModelFolder.of(path)
    assert unpruned(folder) is not None
    for spoil in (lambda file: file.write_bytes(b"?"), Path.unlink):
        spoil(path / "teacher.safetensors")
        with pytest.raises(tas.InputError, match=r"teacher\.safetensors' is (damaged|missing)"):
            unpruned(folder)


def test_the_command_prints_the_table(
    run: Path, done: Exported, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    room = import_module("tas.cli.export")
    monkeypatch.setattr(room, "export_model", lambda options: done)
    main(["export", str(run), "--int8"])
    out = capsys.readouterr().out
    assert re.search(r" pruned, INT8 +\d+\.\d\d +\d+\.\d\d", out)
    assert re.search(r"INT8 changes the accuracy by [+-]\d+\.\d\d points", out)
    assert "calibrated on 240 training pictures of digits" in out


def test_without_data_it_is_calibrated_on_a_folder(tmp_path: Path) -> None:
    pictures = folder(tmp_path / "pictures", each=9)
    (pictures / "train" / "broken.png").write_bytes(b"nothing")
    net = told_apart(nets.build("resnet20", 10, (1, 8, 8)))
    how = {"transform": TRANSFORM, "classes": DIGITS, "int8": True}
    with pytest.raises(InputError, match=r"--int8 needs some training pictures .* --calibrate"):
        tas.export(net, tmp_path / "a.onnx", **how)
    done = tas.export(net, tmp_path / "a.onnx", calibrate=pictures, **how)
    assert done.int8 is not None
    assert [row.name for row in done.int8.rows] == ["float32", "INT8"]
    assert [row.accuracy for row in done.int8.rows] == [None, None]
    assert done.int8.lost is None
    assert done.int8.calibrated_on == f"54 pictures of {pictures}"


def test_what_is_lost_is_said(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    black = torch.zeros(8, 1, 8, 8, dtype=torch.uint8)
    data = tas.data.load("digits", transform=TRANSFORM)
    net = tas.load(run)
    with torch.no_grad():  # the test pictures have the classes that it gives
        labels = net(TRANSFORM.normalise(data.test.pixels)).argmax(1)
    room = import_module("tas.api.export_pictures")
    test = Images(data.test.pixels, labels)
    monkeypatch.setattr(room.ExportPictures, "to_calibrate", lambda *_: (black, "black pictures"))
    monkeypatch.setattr(room.ExportPictures, "to_test", lambda self: test)
    done = tas.export(net, tmp_path / "a.onnx", data=data, int8=True)
    assert done.int8 is not None
    assert done.int8.rows[0].accuracy == 100
    assert done.int8.lost > 1
    assert re.match(r"INT8 loses \d+\.\d\d points of accuracy", done.int8.warning)


class Odd(nn.Module):
    """A net of operators that are in no quantiser's list."""

    def forward(self, x):  # type: ignore[no-untyped-def]
        return x.flatten(1)[:, :10].sin().abs()


def test_no_operator_is_known(tmp_path: Path) -> None:
    how = {"transform": TRANSFORM, "classes": DIGITS, "int8": True, "data": "digits"}
    with pytest.raises(InputError, match="a way for none of the net's operators"):
        tas.export(Odd(), tmp_path / "a.onnx", **how)
    assert list(tmp_path.iterdir()) == []


def test_a_quantiser_that_fails_is_one_line_and_no_file(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from onnxruntime import quantization

    def fails(*given: object, **how: object) -> None:
        raise RuntimeError("no kernel\nfor this")

    monkeypatch.setattr(quantization, "quantize_static", fails)
    before = sorted(p.name for p in run.iterdir())
    with pytest.raises(InputError, match="quantiser cannot quantise the net: no kernel") as caught:
        tas.export(run, int8=True)
    assert "\n" not in str(caught.value)
    assert sorted(p.name for p in run.iterdir()) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--int8 --to torch-export", "--int8 is for --to onnx"),
        ("--calibrate photos", "--calibrate photos is for --int8: give both"),
        ("--int8 --calibrate none", "--calibrate none: no such file, give a folder of pictures"),
    ],
)
def test_mistakes_are_one_line(
    run: Path, words: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["export", str(run), *words.split()])
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not list(run.glob("*.onnx"))
