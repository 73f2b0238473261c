"""What a user does wrong is answered with one line that quotes it, and exit status 2."""

import re
from dataclasses import asdict
from pathlib import Path

import pytest

from tas.api.session import NOT_OF_THE_RUN
from tas.cli.main import main
from tas.nets import build, full_shape
from tas.options import RunOptions
from tas.runs import RunDir
from tas.weights import save_weights


def mistake(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The error line of a command that must fail."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    lines = [line for line in err.splitlines() if not line.startswith("note: ")]
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    return lines[0]


@pytest.mark.parametrize(
    ("command", "pattern"),
    [
        ("serch", "unknown verb 'serch': did you mean 'search'"),
        ("run --bugdet 3", "unknown option '--bugdet': did you mean --budget"),
        ("run --epochs abc", "--epochs 'abc': give a whole number"),
        ("run --epochs 0", "--epochs 0: must be at least 1"),
        ("run --lr -1", "--lr -1.0: must be above 0"),
        ("run --what widht", "--what 'widht': did you mean 'width'"),
        ("run --preset cifr", "--preset 'cifr': did you mean 'cifar'"),
        ("run --precision fp64", "did you mean 'fp32'. choose from auto, fp32, bf16$"),
        ("run --ratios 0.5", r"--ratios '0.5': give a list such as \[0.5, 1.0\]"),
        ("run --ratios [0.5,-1]", r"the width ratios \[0.5, -1.0\]"),
        ("run --seed -7", "--seed -7: give a whole number from 0 to 4294967295;.* where it is -1"),
        ("run --seed 99999999999999999999", "--seed 99999999999999999999: give a whole number"),
        ("split --seed 99999999999", "--seed 99999999999: give a whole number"),
        ("run --padding -1", "--padding -1: give 0 pixels or more"),
        ("search --jitter -1", "--jitter -1.0: give 0 or more"),
        ("train --net resnet20 --workers -1", "--workers -1: give 0 or more"),
        ("run --net torch.nn:ReLU", "the net 'torch.nn:ReLU' has no parameters to train"),
        ("run --device gpu", "unknown device 'gpu'.*choose from auto, cpu, cuda"),
        ("run --config=", "--config holds '', not options: give a YAML file"),
        ("run --config none.yaml", "File does not exist: '.*none.yaml'"),
        ("run --net resnet2O", "unknown net 'resnet2O': did you mean 'resnet20'"),
        ("run --data cifr10", "unknown data set 'cifr10': did you mean 'cifar10'"),
        ("run --data=", "--data is empty"),
        ("run --data ./none", "'./none' does not exist"),
        ("run --budget 0", "budget '0' is not above 0.*22.4M"),
        ("run --budget -1", "budget '-1' is not above 0"),
        ("run --budget 1.5", "budget '1.5' is a ratio above 1"),
        ("run --budget 22X", "'22X' is not a budget: give a ratio"),
        ("run --budget 0.001", r"'0.001' .* can have 49.6k macs to 2.5M macs, a ratio"),
        ("search --budget 9G", "budget '9G'.*a ratio of 0.020 to 2.247"),
        ("search --tau-start 3", "--tau-start does not apply to the search of --preset quick"),
        ("search --preset paper --accumulate 2", "--accumulate does not apply to the search of"),
        ("search --subset 1", "--subset 1: a search needs at least 2 pictures of every class"),
        ("search --subset 9 --split s.json", "--split and --subset cannot be combined"),
        ("train --net resnet20 --ema 1", "--ema 1.0: must be at least 0 and less than 1"),
        ("train --net resnet20 --accumulate 0", "--accumulate 0: must be at least 1"),
        ("search --bilevel false", "--bilevel does not apply to the search of --preset quick"),
        ("run --preset paper --probes 4", "--probes does not apply to the search of"),
        ("run --probes 4", "--probes does not apply.* from trained weights.*give --inherit false$"),
        ("search --trials 4", "--trials does not apply.* fresh weights.*give trained --weights"),
        ("run --inherit false --trials 4", "--trials does not apply.*leave out --inherit false as"),
        ("run --search-epochs 0", "--search-epochs 0: must be at least 1"),
        ("run --ratios []", "--ratios is empty"),
        ("search --split=", "--split is empty"),
        ("run --trials 0", "--trials 0: must be at least 1"),
        ("search --split none.json", "cannot read the split file 'none.json'"),
        ("train", "either --net resnet20 or --shape"),
        ("train --net resnet20 --shape C010-ResNet20", "either --net resnet20 or --shape"),
        ("train --shape C010-ResNet21", "unknown net, shape or shape file 'C010-ResNet21'"),
        ("train --shape none.json", "cannot read the shape file 'none.json'"),
        ("train --shape C010-ResNet20 --inherit", "--inherit needs a trained net to inherit from"),
        (
            "train --net resnet20 --inherit --weights a.pt",
            "--inherit and --weights both say what to start from",
        ),
        ("train --net resnet20 --teacher none.pt", "'none.pt': no such file"),
        ("train --net traced_nets:Mixed", r"the net does not run on images of \[1, 8, 8\]"),
        ("train --net torch.nn:Flatten", r"the net returns \[1, 64\] for one picture.*10 classes"),
        ("doctor --net torchvision:resnet19", "unknown net 'resnet19': did you mean 'resnet1"),
        ("doctor --net none:make", "cannot import the net 'none:make'.*package.module:function"),
        ("doctor --net traced_nets:Mixed --only [bloks]", "no module 'bloks'.*mean 'blocks"),
        ("doctor --net traced_nets:Mixed --input [1,8,8]", r"run on images of \[1, 8, 8\].*3 chan"),
        ("run --net traced_nets:Mixed --residual free", "always searched with --residual tied"),
        ("run --net traced_nets:Mixed", r"does not run on images of \[1, 8, 8\]"),
        ("run --net your_net:make --inherit false", "--inherit false is for built-in ResNets"),
        ("run --net resnet20 --ignore [stem]", "--ignore and --only are for traced"),
        (
            "search --preset paper --weights a.pt",
            "--weights: the paper's search of resnet20 starts from fresh weights.*--preset quick",
        ),
        ("search --weights a.pt", "'a.pt': no such file"),
        ("run --weights a.pt --teacher b.pt", "--teacher and --weights are both weights"),
        ("eval", "a run directory, or one of --net and --shape"),
        ("eval none", "'none' does not exist"),
        ("macs", "tas macs needs one more word: a net's name"),
        ("macs resnet20 --input [3,32]", r"--input \[3, 32\]: give \[channels, height, width\]"),
        ("macs resnet20 --input []", r"--input \[\]: give \[channels, height, width\]"),
        ("doctor --net resnet20 --classes 0", "--classes 0: give 1 or more"),
        (
            "macs traced_nets:Mixed --input [1,8,8]",
            r"does not run on images of \[1, 8, 8\]: .*3 channels",
        ),
        (
            f"macs resnet20 --classes {10**30}",
            f"the net resnet20: 'classes' is {10**30}, not a whole number from 1 to 1,048,576",
        ),
        ("macs resnet20 --input [3,900000000,9]", r"'input\[1\]' is 900000000, not a whole number"),
        ("shapes C010-ResNet2O", "did you mean 'C010-ResNet20'"),
        ("split --fraction 2", "fraction 2.0"),
        ("report none", "'none' holds no run"),
    ],
)  # fmt: skip
def test_it_is_quoted_and_helped(
    command: str, pattern: str, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert re.search(pattern, mistake(capsys, *command.split()))
    assert list(tmp_path.iterdir()) == []  # nothing was begun


def test_config_files(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("bugdet: 0.5\n")
    assert "in the config file: unknown option 'bugdet': did you mean 'budget'" in mistake(
        capsys, "run", "--config", str(path)
    )
    path.write_text("net: !!python/object/apply:os.getcwd []\n")
    mistake(capsys, "run", "--config", str(path))


@pytest.mark.parametrize(
    ("content", "pattern"),
    [
        (b"net: \xff\xfe\n", r"run.yaml' is not a config file: it is not text in UTF-8"),
        (
            b"epochs: " + b"9" * 5000,
            r"run.yaml' is not YAML that can be used: a number of 5000 digits",
        ),
        (b"", "--config holds '', not options: give a YAML file"),
        (b"- net\n- 1", "--config holds '- net - 1', not options: give a YAML file"),
        (b"net: null", "--net null: leave it out, or give a value"),
        (b"what: null", "--what null: leave it out, or give a value"),
    ],
    ids=range(6),
)
def test_config_files_that_cannot_be_read(
    content: bytes, pattern: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(content)
    assert re.search(pattern, mistake(capsys, "run", "--config", str(path)))


def test_a_shape_that_does_not_fit(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "shape.json"
    shape = full_shape("resnet20")
    shape.replace(depths={**shape.depths, "stages.1": 7}).save(path)
    assert "keeps 7 blocks of 'stages.1', but resnet20 has 3" in mistake(capsys, "macs", str(path))
    path.write_text("{")
    assert "is not JSON" in mistake(capsys, "macs", str(path))


def test_weights_of_another_net(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    weights = tmp_path / "teacher.safetensors"
    for net, words in (
        (build("resnet32", 10, (1, 8, 8)), "of another net: this one has no 'stages.0.3"),
        (build("resnet20", 100, (1, 8, 8)), "of a net with 100 classes, not 10"),
    ):
        save_weights(net, weights)
        for command in (["run"], ["train", "--shape", "C010-ResNet20"]):
            error = mistake(
                capsys, *command, "--teacher", str(weights), "--out", str(tmp_path / "r")
            )
            assert words in error
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("result", ["", "[]", "{}", '{"rows": 3}', '{"rows": [{"name": 1}]}'])
def test_a_damaged_result(result: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    config = {"verb": "run"} | asdict(RunOptions())
    RunDir.open(tmp_path, {k: v for k, v in config.items() if k not in NOT_OF_THE_RUN})
    (tmp_path / "result.json").write_text(result)
    error = mistake(capsys, "run", "--out", str(tmp_path))
    assert re.search(r"result.json' is damaged \(.*\): remove it, and the same command", error)
    assert (tmp_path / "result.json").read_text() == result


def test_out_directories(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "is a file" in mistake(capsys, "run", "--out", str(tmp_path / "file"))
    assert "holds other files ('file')" in mistake(capsys, "run", "--out", str(tmp_path))
    (tmp_path / "file").unlink()
    begun = RunDir.open(tmp_path, {"verb": "run"} | asdict(RunOptions(budget="0.5")))
    begun.log({"phase": "teacher", "epoch": 1})
    error = mistake(capsys, "run", "--out", str(tmp_path))
    assert "holds a run with --budget 0.5, not 0.55" in error
    error = mistake(capsys, "run", "--budget", "0.50", "--lr", "0.1", "--out", str(tmp_path))
    assert "holds a run without --lr, not with 0.1" in error
