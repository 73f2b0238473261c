"""``tas predict`` on the command line: a line for each picture, whatever its name is."""

import io
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import tas
from pictures_on_disk import digit, folder
from tas import nets
from tas.cli.main import main
from tas.data import Transform

CLASSES = ("nought", "one", "t\x1b[31mwo\n")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    transform = Transform.of_size("rgb", (8, 8), (0.5,) * 3, (0.3,) * 3)
    net = nets.build("resnet20", 3, (3, 8, 8))
    path = tmp_path_factory.mktemp("predict") / "model"
    return tas.save(net, path, transform=transform, classes=CLASSES)


def lines(capsys: pytest.CaptureFixture[str], *words: object) -> list[str]:
    main(["predict", *map(str, words), "--device", "cpu", "--precision", "fp32"])
    return capsys.readouterr().out.splitlines()


def test_a_line_for_each_picture(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = folder(tmp_path / "data", each=2)
    found = lines(capsys, model, pictures, "--batch-size", "5")
    assert [line.split("\t")[0] for line in found] == sorted(map(str, pictures.rglob("*.png")))
    top = [json.loads(line) for line in lines(capsys, model, pictures, "--json", "--top", "3")]
    for line, told in zip(found, top, strict=True):
        name, label, probability = line.split("\t")
        best = told["classes"][0]
        assert (told["picture"], len(told["classes"])) == (name, 3)
        assert label == best["class"].replace("\x1b", "\\x1b").replace("\n", "\\n")
        assert float(probability) == pytest.approx(best["probability"], abs=1e-4)


def test_names_do_nothing_to_a_terminal(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = tmp_path / "a\x1b[2J\n\t\u202eb.png"
    digit(0).save(evil)
    (tmp_path / "c\x07.png").touch()
    with pytest.raises(SystemExit) as caught:
        main(["predict", str(model), str(evil), str(tmp_path / "c\x07.png"), "--top", "3"])
    assert caught.value.code == 1
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 1
    assert "a\\x1b[2J\\n\\t\\u202eb.png\t" in said.out
    assert "c\\x07.png (not a picture)" in said.err
    assert not {"\x1b", "\x07", "\u202e"} & set(said.out + said.err)


def test_names_from_standard_input(
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    digit(0).save(tmp_path / "a b.png")
    given = io.BytesIO(f"{tmp_path / 'a b.png'}\n\n".encode())
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=given))
    assert len(lines(capsys, model, "-")) == 1
    with pytest.raises(SystemExit) as caught:  # it is empty now
        main(["predict", str(model), "-"])
    assert caught.value.code == 2
    assert "standard input names none" in capsys.readouterr().err


def test_a_reader_that_leaves_ends_it_quietly(model: Path, tmp_path: Path) -> None:
    pictures = folder(tmp_path / "data", each=20)
    words = [sys.executable, "-m", "tas", "predict", str(model), str(pictures)]
    process = subprocess.Popen(
        [*words, "--batch-size", "1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 141


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none", "a.png"], "'none' does not exist"),
        (["{model}"], "tas predict needs one more word: files, folders"),
        (["{model}", "a.png", "--top", "x"], "--top 'x': give a whole number"),
        (["{model}", "a.png", "--net", "mine:make"], "is a model of resnet20, not of --net"),
    ],
)
def test_mistakes_are_one_line(
    model: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["predict", *(word.format(model=model) for word in words)])
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert message in said
    assert said.count("\n") == 1
