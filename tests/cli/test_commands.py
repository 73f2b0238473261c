"""The command line as a user meets it, end to end, on the digits and on a folder of images."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

from tas import nets
from tas.api.session import Run
from tas.cli.main import VERBS, main
from tas.costs.count import count
from tas.data import load
from tas.shape import Shape
from tas.weights import load_weights

FAST = ["--epochs", "1", "--search-epochs", "1", "--trials", "5", "--precision", "fp32"]


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    main(arguments)
    return capsys.readouterr().out


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on the digits."""
    out = tmp_path_factory.mktemp("runs") / "digits"
    main(["run", *FAST, "--batch-size", "256", "--out", str(out)])
    return out


def test_help_does_not_wait_for_torch() -> None:
    for arguments in (["--help"], *([verb, "--help"] for verb in VERBS)):
        program = (
            "import sys\nfrom tas.cli.main import main\n"
            f"try: main({arguments})\nexcept SystemExit as end: assert not end.code\n"
            "assert 'torch' not in sys.modules"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "examples:" in done.stdout


def test_macs(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(printed(capsys, "macs", "C010-ResNet56", "--json"))
    assert found == {"macs": 59_858_430, "params": 449_307, "unknown": {}}
    assert "40,813,184 multiply-adds" in printed(capsys, "macs", "resnet20")
    other = printed(
        capsys, "macs", "resnet20", "--classes", "100", "--input", "[3,32,32]", "--json"
    )
    assert json.loads(other) == {"macs": 40_818_944, "params": 278_132, "unknown": {}}


def test_shapes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    listing = printed(capsys, "shapes")
    assert all(name in listing for name in nets.published())
    path = tmp_path / "s.json"
    path.write_text(printed(capsys, "shapes", "C100-ResNet110"))
    assert Shape.load(path) == nets.read_shape("C100-ResNet110")


def test_split(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    text = printed(capsys, "split", "--seed", "3", "--out", str(path))
    assert "719 pictures to train weights, 719 to choose by" in text
    assert "already" in printed(capsys, "split", "--seed", "3", "--out", str(path))


def test_print_config_is_a_config(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["run", "--budget", "0.4", "--print_config"])
    assert not caught.value.code
    text = capsys.readouterr().out
    config = yaml.safe_load(text)
    assert (float(config["budget"]), config["net"]) == (0.4, "resnet20")
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(SystemExit):
        main(["run", "--config", str(path), "--print_config"])
    assert capsys.readouterr().out == text


def test_a_run_leaves_what_it_promises(finished: Path) -> None:
    names = {"config.yaml", "log.jsonl", "shape.json", "model.safetensors", "result.json"}
    assert names | {"report.html", "figures", "checkpoint"} <= {p.name for p in finished.iterdir()}
    shape = Shape.load(finished / "shape.json")
    result = json.loads((finished / "result.json").read_text())
    budget = result["budget"]["value"]
    counted = count(nets.build(shape), shape.input)
    assert counted.macs == shape.macs
    assert 0.99 * budget <= counted.macs <= budget
    unpruned, equal, searched = result["rows"]
    assert searched["macs"] == counted.macs
    assert 0.8 * budget < equal["macs"] <= budget < unpruned["macs"]
    assert budget == int(0.55 * unpruned["macs"])
    assert {"hardware", "versions", "seed", "notes"} <= result.keys()
    phases = [json.loads(line)["phase"] for line in (finished / "log.jsonl").open()]
    search = ["search", "search"]  # a generation, and the best of it on all examples
    finals = ["final-01-of-02", "final-02-of-02"]
    assert phases == ["teacher", *search, *finals, "equal", "student"]


def test_a_finished_run_is_shown_and_not_repeated(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {p: p.stat().st_mtime_ns for p in finished.glob("*.safetensors")}
    shown = printed(capsys, "run", *FAST, "--batch-size", "256", "--out", str(finished))
    assert "searched, distilled" in shown
    assert {p: p.stat().st_mtime_ns for p in finished.glob("*.safetensors")} == before


def test_eval_says_what_the_run_said(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tested = json.loads(printed(capsys, "eval", str(finished), "--json", "--precision", "fp32"))
    result = json.loads((finished / "result.json").read_text())
    assert tested["accuracy"] == pytest.approx(result["rows"][-1]["accuracy"], abs=0.3)
    assert tested["pictures"] == 359
    ratio = 100 * result["rows"][-1]["macs"] / result["rows"][0]["macs"]
    table = printed(capsys, "eval", str(finished), "--precision", "fp32")
    assert "unpruned" in table
    assert f" {ratio:.1f} " in table


def test_report_draws_again(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (finished / "report.html").unlink()
    assert printed(capsys, "report", str(finished)).strip() == str(finished / "report.html")
    assert "searched, distilled" in (finished / "report.html").read_text()


def test_search_then_train_on_a_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    digits = load("digits")
    for i in range(120):
        folder = tmp_path / "my pictures" / f"digit-{int(digits.train.labels[i]) % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(digits.train.pixels[i, 0].numpy()).save(folder / f"{i}.png")
    short = ["--epochs", "1", "--batch-size", "32"]
    data = ["--data", str(tmp_path / "my pictures"), "--image-size", "9", *short]
    found, trained = tmp_path / "found", tmp_path / "trained"
    main(["search", *data, "--what", "width", "--residual", "tied", "--out", str(found)])
    next_command = capsys.readouterr().err.splitlines()[-1].removeprefix("train it: tas ")
    shape = Shape.load(found / "shape.json")
    assert (shape.classes, shape.residual, shape.input) == (2, "tied", (1, 9, 9))
    main([*shlex.split(next_command), *short, "--out", str(tmp_path / "as told")])
    assert Shape.load(tmp_path / "as told" / "shape.json").macs == shape.macs
    with pytest.raises(SystemExit):
        main(["eval", str(found)])
    assert f"train its shape with `tas train --shape {found}" in capsys.readouterr().err
    assert set(shape.depths.values()) == {3}
    teacher = ["--teacher", str(tmp_path / "teacher" / "model.safetensors")]
    main(["train", *data, "--net", "resnet20", "--out", str(tmp_path / "teacher")])
    main(["train", *data, "--shape", str(found / "shape.json"), *teacher, "--out", str(trained)])
    assert Shape.load(trained / "shape.json").macs == shape.macs
    capsys.readouterr()
    assert json.loads(printed(capsys, "eval", str(trained), "--json"))["macs"] == shape.macs


@pytest.mark.parametrize("seed", ["-1"])
def test_ctrl_c_says_how_to_go_on_and_the_run_goes_on(
    seed: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    command = ["train", "--net", "resnet20", "--epochs", "3", "--batch-size", "256"]
    command += ["--seed", seed, "--out", str(out)]
    evaluations = 0

    def interrupted(self: object, batches: object) -> dict[str, float]:
        nonlocal evaluations
        evaluations += 1
        if evaluations == 2:
            raise KeyboardInterrupt
        return {"accuracy": 0.0, "loss": 0.0}

    monkeypatch.setattr("sys.argv", ["tas", *command])
    with monkeypatch.context() as patch:
        patch.setattr("tas.training.classification.Classification.evaluate", interrupted)
        with pytest.raises(SystemExit) as caught:
            main()
    assert caught.value.code == 130
    err = capsys.readouterr().err
    drawn = yaml.safe_load((out / "config.yaml").read_text())["seed"]
    assert f"--seed {drawn} --out {out}" in err.splitlines()[-1]
    main(command)
    lines = [json.loads(line) for line in (out / "log.jsonl").open()]
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert yaml.safe_load((out / "config.yaml").read_text())["seed"] == drawn
    assert lines[0]["test_accuracy"] == 0.0  # the first epoch was not run again


def test_a_diverged_run_says_what_to_lower(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(
            [
                "train",
                "--net",
                "resnet20",
                "--epochs",
                "2",
                "--lr",
                "1e30",
                "--out",
                str(tmp_path / "r"),
            ]
        )
    assert caught.value.code == 2
    assert "lower --lr (1e+30)" in capsys.readouterr().err


def test_a_seed_is_drawn_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tas.options import TrainRunOptions

    digits = load("digits")
    options = TrainRunOptions(net="resnet20", seed=-1, out=str(tmp_path / "r"))
    first = Run.open("train", options, "resnet20", digits)
    assert f"seed {first.seed}" in capsys.readouterr().err
    assert Run.open("train", options, "resnet20", digits).seed == first.seed


def test_inherited_weights_are_those_of_the_supernet(tmp_path: Path) -> None:
    out = tmp_path / "found"
    main(["search", "--preset", "paper", "--epochs", "1", "--batch-size", "256", "--out", str(out)])
    net = nets.build(Shape.load(out / "shape.json"))
    before = net.stem.conv.weight.clone()

    load_weights(net, out / "model.safetensors")
    assert not torch.equal(before, net.stem.conv.weight)


def test_doctor(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["doctor", "--net", "traced_nets:Attention", "--classes", "5", "--input", "[3,8,8]"]
    text = printed(capsys, *command)
    for words in ("mlp.1", "qkv", "invalid for input of size", "budgets from 0.", "to 1 ("):
        assert words in text
    found = json.loads(printed(capsys, *command, "--json"))
    assert [width["name"] for width in found["widths"]] == ["patch", "mlp.1"]
    assert all(0 < width["share"] < 1 for width in found["widths"])
    assert found["range"][0] < 0.9


def test_a_net_of_ones_own_from_start_to_end(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Trained, searched, cut and distilled; evaluated, counted and trained on by its shape."""
    examples = Path(__file__).parents[2] / "examples"
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.chdir(examples)
    name, out = "your_own_model:make_model", tmp_path / "run"
    main(["run", "--net", name, "--budget", "0.5", *FAST, "--batch-size", "256", "--out", str(out)])
    shape = Shape.load(out / "shape.json")
    assert shape.net == name
    full = count(nets.build(name, 10), (1, 8, 8)).macs
    assert 0.49 * full <= (shape.macs or 0) <= 0.5 * full
    assert count(nets.build(shape), (1, 8, 8)).macs == shape.macs
    assert "359 test pictures" in printed(capsys, "eval", str(out))
    assert f"{shape.macs:,} multiply-adds" in printed(capsys, "macs", str(out / "shape.json"))
    once = ["--epochs", "1", "--batch-size", "256", "--precision", "fp32"]
    trained = ["--shape", str(out / "shape.json"), "--weights", str(out / "model.safetensors")]
    main(["train", *trained, *once, "--out", str(tmp_path / "again")])
    paper = ["--preset", "paper", "--epochs", "1", "--batch-size", "512", "--precision", "fp32"]
    weights = ["--weights", str(out / "teacher.safetensors")]
    main(["search", "--net", name, *weights, *paper, "--out", str(tmp_path / "searched")])
    found = Shape.load(tmp_path / "searched" / "shape.json")
    load_weights(nets.build(found), tmp_path / "searched" / "model.safetensors")
    monkeypatch.undo()


def test_a_quiet_run_prints_its_table_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "--net", "resnet20", "--epochs", "1", "--batch-size", "256", "--quiet"]
    main([*command, "--out", str(tmp_path / "run")])
    said = capsys.readouterr()
    assert said.err == ""
    assert "resnet20, trained" in said.out
    assert "report:" not in said.out
    assert (tmp_path / "run" / "report.html").is_file()
    main([*command[:-1], "--out", str(tmp_path / "run")])  # how it is shown is not of the run
    assert "report:" in capsys.readouterr().out
