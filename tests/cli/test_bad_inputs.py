"""Bad inputs of every verb: status 2, one short line that says what is wrong, nothing written.

``{}`` in a command stands for the folder of bad files that ``files`` makes.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tas.cli.main import main
from tas.nets import full_shape

LONG = "x" * 5_000
SHAPE = full_shape("resnet20").to_dict()
FILES: dict[str, bytes] = {
    "deep.json": b"[" * 100_000,
    "digits.json": b"9" * 5_000,
    "text.json": b"\xff\xfe\x00",
    "empty.json": b"",
    "list.json": b"[1, 2]",
    "cut.json": b'{"format": ',
    "other.json": b'{"format": "other/1"}',
    "control.json": b'{"format": "\\u001b[31m\\n"}',
    "big.json": json.dumps({"format": "x" * 5_000_000}).encode(),
    "widths.json": json.dumps(SHAPE | {"widths": [16]}).encode(),
    "zero.json": json.dumps(SHAPE | {"widths": {"stem": 0}}).encode(),
    "half.json": json.dumps(SHAPE | {"widths": {"stem": 1.5}}).encode(),
    "classes.json": json.dumps(SHAPE | {"classes": "ten"}).encode(),
    "extra.json": json.dumps(SHAPE | {"clases": 10}).encode(),
    "net.json": json.dumps(SHAPE | {"net": "resnet2O"}).encode(),
    "code.json": json.dumps(SHAPE | {"net": "os:abort"}).encode(),
    "input.json": json.dumps(SHAPE | {"input": [3, 10**9, 10**9]}).encode(),
    "nan.json": json.dumps(SHAPE | {"macs": float("nan")}).encode(),
    "cut.config": b"{",
    "list.config": b"[]",
    "word.config": b'{"dataset": 3}',
    "deep.config": b'{"a":' * 50_000,
    "bomb.yaml": b"a: &a [1, 1]\nb: &b [*a, *a]\nc: [*b, *b]\n",
    "date.yaml": b"seed: 2001-13-45\n",
    "deep.yaml": b"a: " + b"[" * 200 + b"]" * 200,
    "digits.yaml": b"epochs: " + b"9" * 5_000,
    "text.yaml": b"\x80",
    "nul.yaml": b'data: "a\\0b"\n',
    "list.yaml": b"[1, 2]",
    "word.yaml": b"budget",
    "option.yaml": b"bugdet: 0.5\n",
    "tag.yaml": b"net: !!python/object/apply:os.getcwd []\n",
    "kind.yaml": b"epochs: [1]\n",
    "colon.yaml": b"a: b: c\n",
    "big.yaml": b"#" * 2**21,
    "split.json": b'{"format": "tas-split/1", "data": "digits", "seed": 0, "fraction": 0.5}',
    "picture.png": b"no picture",
    "bad.safetensors": b"\x00" * 64,
    "long.safetensors": (2**62).to_bytes(8, "little") + b"{}",
    "bad.pt": b"\x80\x04cos\nsystem\n.",
    "broken_module.py": b"def (:\n",
    "raising_module.py": b"raise RuntimeError('first line\\nsecond')\n",
    "leaving_module.py": b"raise SystemExit(0)\n",
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of bad files, and of folders that are no runs and no models."""
    root = tmp_path_factory.mktemp("bad")
    for name, content in FILES.items():
        (root / name).write_bytes(content)
    (root / "empty").mkdir()
    for name, config in (
        ("model", b'{"format": "tas-model/1"}'),
        ("newer", b'{"format": "tas-model/9"}'),
    ):
        (root / name).mkdir()
        (root / name / "config.json").write_bytes(config)
        (root / name / "model.safetensors").write_bytes(b"\x00" * 64)
    for name in ("deep.json", "text.json", "list.json", "big.json"):
        (root / f"run-{name}").mkdir()
        (root / f"run-{name}" / "config.json").write_bytes(FILES[name])
        (root / f"run-{name}" / "result.json").write_bytes(FILES[name])
        (root / f"run-{name}" / "model.safetensors").write_bytes(b"")
    for name in ("bomb.yaml", "text.yaml", "word.yaml"):
        (root / f"run-{name}").mkdir()
        (root / f"run-{name}" / "config.yaml").write_bytes(FILES[name])
    (root / "one" / "only").mkdir(parents=True)
    (root / "one" / "only" / "a.png").write_bytes(b"no picture")
    return root


SHAPE_FILES = [
    name for name in FILES if name.endswith((".json", ".config")) and "split" not in name
]
YAML_FILES = [name for name in FILES if name.endswith(".yaml")]
TRAINING = {  # of tas run, search and train
    "--epochs": ("0", "-1", "1.5", "many", "[]", "1e9", "1000000000000", "9" * 5000),
    "--batch-size": ("0", "-3", "x", "99999999999"),
    "--lr": ("0", "-1", "fast", "nan", "inf"),
    "--seed": ("-7", "1.5", "x", "99999999999999999999"),
    "--device": ("gpu", "cuda:99", "cuda:x", "meta"),
    "--precision": ("fp64", "16"),
    "--image-size": ("0", "-1", "1000000000", "big"),
    "--workers": ("-1", "x", "100000"),
    "--data": ("cifr10", "./none", "~nobody-here/x", LONG, "a\x1b[31m\nb", "a/../b"),
    "--momentum": ("2", "x"),
    "--jitter": ("-1", "x"),
    "--augment": ("perhaps",),
    "--preset": ("quik", "3"),
}
SEARCH = {  # of tas run and search
    "--budget": (
        "0",
        "-1",
        "1.5",
        "22X",
        "1e308G",
        "nan",
        "inf",
        "1e-400",
        "0.0001",
        "M",
        "9" * 400,
    ),
    "--ratios": ("0.5", "[]", "[0]", "[-1]", "[1e308]", "[nan]", "[a]", "[[1]]", "{}", "[true]"),
    "--unit": ("flops",),
    "--what": ("all",),
    "--residual": ("loose",),
    "--ignore": ("stem",),
    "--subset": ("1", "-1", "x"),
    "--split": ("none.json", "{}/split.json", "{}/deep.json", "{}/text.json", "{}/digits.json"),
    "--net": (
        "resnet2O",
        "timm:resnet5O",
        "torchvision:nothing",
        "broken_module:make",
        "raising_module:make",
        "leaving_module:make",
        "no_module:make",
        "os:getcwd",
        "builtins:int",
        ":",
        LONG,
    ),
    "--weights": ("none.pt", "{}/bad.safetensors", "{}/long.safetensors", "{}/bad.pt", "{}/empty"),
}


BOMB = "[&a [1, 1], &b [*a, *a], [*b, *b]]"  # nine times nine of it run for minutes
BOMBS = (BOMB, BOMB.replace("[1", "{a: [1").replace("1],", "1]},"), "[" * 2000, "{a: " * 2000)


def table() -> list[tuple[list[str], str]]:
    """Every command, and a pattern of its line."""
    commands: list[tuple[list[str], str]] = []
    for option, values in {**TRAINING, **SEARCH}.items():
        for value in values:
            verb = "search" if len(commands) % 2 else "run"
            if option in ("--weights",):
                verb = "search"
            commands.append(([verb, f"{option}={value}"], ""))
    for i, option in enumerate(("--ratios", "--budget", "--epochs", "--ignore", "--data")):
        commands.append((["run", f"{option}={BOMBS[i % 4]}"], f"{option}.*cannot be used: "))
        commands.append((["doctor", "--input", BOMBS[(i + 1) % 4]], "--input.*cannot be used: "))
    for name in YAML_FILES:
        commands.append(
            (["run", "--config", f"{{}}/{name}"], r"config|alias|option|data|epochs|seed")
        )
    for name in SHAPE_FILES:
        verb = ["macs"] if len(commands) % 2 else ["train", "--shape"]
        commands.append(([*verb, f"{{}}/{name}"], ""))
    for name in ("none", "{}/empty", "{}/model", "{}/newer", "{}/picture.png", LONG, "a\nb"):
        for verb in (["eval"], ["report"], ["export"]):
            commands.append(([*verb, name], ""))
        commands.append((["predict", name, "x.png"], ""))
    for name in ("deep", "text", "list", "big"):
        if name != "big":  # a result may hold more than a report shows
            commands.append((["report", f"{{}}/run-{name}.json"], "result"))
        commands.append((["eval", f"{{}}/run-{name}.json"], "config"))
    for name in ("bomb", "text", "word"):
        commands.append((["run", "--out", f"{{}}/run-{name}.yaml"], "configuration of a run"))
    commands += [
        (["serch"], "did you mean 'search'"),
        (["run", "--bugdet", "1"], "did you mean --budget"),
        (["\x1b[31m"], r"unknown verb '\\x1b\[31m'"),
        (["run", "--data", "{}/one"], "one class|no picture|only one"),
        (["run", "--data", "{}/empty"], "no pictures"),
        (["run", "--data", "{}/picture.png"], "is not a folder"),
        (["train"], "say what to train"),
        (["train", "--net", "resnet20", "--teacher", "none.pt"], "no such file"),
        (["train", "--net", "resnet20", "--ema", "1"], "--ema"),
        (["train", "--net", "resnet20", "--accumulate", "0"], "--accumulate"),
        (["eval"], "say what to test"),
        (["eval", "--net", "resnet20"], "say what to test"),
        (["eval", "--net", "resnet20", "--weights", "{}/bad.pt"], "refused|cannot be read"),
        (["macs"], "needs one more word"),
        (["macs", "resnet20", "--classes", "0"], "--classes 0"),
        (["macs", "resnet20", "--input", "[3]"], r"--input \[3\]"),
        (["macs", "resnet20", "--input", "[3,1e9,9]"], "--input"),
        (["macs", "resnet20", "--input", "[3,900000000,9]"], "900000000"),
        (["macs", "resnet20", "--classes", "9" * 5000], "--classes"),
        (["doctor", "--net", "resnet2O"], "did you mean 'resnet20'"),
        (["doctor", "--net", "raising_module:make"], "first line"),
        (["doctor", "--ratios", "[2]"], "ratios"),
        (["doctor", "--round-to", "0"], "round_to 0"),
        (["shapes", "C010-ResNet2O"], "did you mean 'C010-ResNet20'"),
        (["shapes", LONG], "unknown published shape"),
        (["split", "--fraction", "2"], "fraction 2"),
        (["split", "--fraction", "nan"], "--fraction 'nan'"),
        (["split", "--subset", "1"], "--subset 1"),
        (["split", "--out", "{}/none/x.json"], "cannot write"),
        (["split", "--out", "{}/deep.json"], "JSON"),
        (["export", "{}/model", "--to", "tflite"], "--to 'tflite'"),
        (["predict", "{}/model"], "needs one more word"),
        (["latency", "resnet2O"], "resnet20"),
    ]
    return commands


TABLE = table()


def test_the_table_is_long() -> None:
    assert len(TABLE) >= 150


@pytest.mark.parametrize(("command", "pattern"), TABLE, ids=range(len(TABLE)))
def test_a_bad_input_is_one_short_line(
    command: list[str],
    pattern: str,
    files: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(files))
    before = sorted(files.rglob("*"))
    with pytest.raises(SystemExit) as caught:
        main([word.replace("{}/", f"{files}/") for word in command])
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = [each for each in err.splitlines() if not each.startswith(("note: ", "seed "))]
    assert line.startswith("error: ")
    assert line.isprintable()
    assert len(line) <= 350
    assert re.search(pattern, line)
    assert list(tmp_path.iterdir()) == []
    assert [
        p for p in sorted(files.rglob("*")) if p.name != "__pycache__" and p.suffix != ".pyc"
    ] == [p for p in before if p.name != "__pycache__" and p.suffix != ".pyc"]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("WORLD_SIZE", "x"),
        ("WORLD_SIZE", "0"),
        ("WORLD_SIZE", "-1"),
        ("WORLD_SIZE", ""),
        ("LOCAL_WORLD_SIZE", "0"),
        ("LOCAL_WORLD_SIZE", "x"),
    ],
)
def test_what_a_launcher_says_is_checked(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit) as caught:
        main(["split", "--out", "none/x.json"])
    assert caught.value.code == 2
    assert f"{variable}='{value}'" in capsys.readouterr().err


def test_without_a_home_the_data_folder_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def nobody(*_: object) -> Callable[..., object]:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", nobody)
    with pytest.raises(SystemExit) as caught:
        main(["run", "--data", "cifar10"])
    assert caught.value.code == 2
    assert "is not known here" in capsys.readouterr().err
