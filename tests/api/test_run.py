"""``tas.run`` in Python does what ``tas run`` does."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import tas
from tas import nets
from tas.cli.main import main
from tas.errors import InputError
from tas.options import RunOptions

SHORT: dict[str, Any] = {
    "epochs": 1,
    "search_epochs": 1,
    "trials": 4,
    "precision": "fp32",
    "batch_size": 256,
    "subset": 20,
}
FLAGS = [word for k, v in SHORT.items() for word in (f"--{k.replace('_', '-')}", str(v))]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tas.Run:
    return tas.run(out=str(tmp_path_factory.mktemp("runs") / "python"), **SHORT)


def test_it_is_what_the_command_does(done: tas.Run, tmp_path: Path) -> None:
    """The same files with the same content, but for times and the path."""
    main(["run", *FLAGS, "--out", str(tmp_path / "command")])
    for name in ("shape.json", "config.json", "config.yaml", "model.safetensors"):
        assert (done.path / name).read_bytes() == (tmp_path / "command" / name).read_bytes()
    ours, theirs = (
        json.loads((p / "result.json").read_text()) for p in (done.path, tmp_path / "command")
    )
    for result in (ours, theirs):
        del result["seconds_total"], result["times"]
        for row in result["rows"]:
            del row["seconds"]
    assert ours == theirs


def test_the_same_call_reads_what_is_there_and_the_command_too(
    done: tas.Run, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (done.path / "model.safetensors").stat().st_mtime_ns
    again = tas.run(RunOptions(out=str(done.path), **SHORT))
    assert again.finished
    assert again.result == done.result
    main(["run", *FLAGS, "--out", str(done.path)])
    assert "searched, distilled" in capsys.readouterr().out
    assert (done.path / "model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(InputError, match="with --search-epochs 1, not 2"):
        tas.run(out=str(done.path), **{**SHORT, "search_epochs": 2})


def test_a_guard_surrounds_the_work_alone(tmp_path: Path) -> None:
    seen: list[bool] = []

    @contextmanager
    def guard(run: tas.Run) -> Iterator[None]:
        seen.append((run.path / "config.yaml").exists())
        raise KeyboardInterrupt
        yield

    with pytest.raises(KeyboardInterrupt):
        tas.run(out=str(tmp_path / "run"), guard=guard, **SHORT)
    assert seen == [True]


class Own(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 16, 3, padding=1)
        self.norm = nn.BatchNorm2d(16)
        self.second = nn.Conv2d(16, 24, 3, padding=1)
        self.head = nn.Linear(24, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.second(torch.relu(self.norm(self.first(x)))))
        return self.head(x.mean((2, 3)))  # type: ignore[no-any-return]


def test_a_net_of_ones_own_is_the_teacher(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = Own()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    done = tas.run(model=net, budget=0.5, out=str(tmp_path / "run"), **SHORT)
    rows = done.result["rows"]
    assert rows[0]["name"] == "unpruned, as given"
    assert rows[2]["macs"] <= 0.5 * rows[0]["macs"]
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())
    assert done.result["net"].endswith("test_run.Own")


def test_without_equal_widths_at_the_budget_the_result_says_so(tmp_path: Path) -> None:
    """Depth alone, in a net that was traced: there is no width to thin."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), *(Residual() for _ in range(3)), Head())
    done = tas.run(model=net, budget=0.7, what="depth", out=str(tmp_path / "run"), **SHORT)
    assert [row["name"] for row in done.result["rows"]] == [
        "unpruned, as given",
        "searched, distilled",
    ]
    assert any("equal widths" in note for note in done.result["notes"])


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(16, 16, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.relu(self.conv(x))


class Head(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x.mean((2, 3)))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"epoch": 1}, "unknown option 'epoch': did you mean 'epochs'?"),
        ({"model": nets.build("resnet20"), "weights": "w.pt"}, "--weights and model are both"),
        ({"model": Own(), "inherit": False}, "--inherit false"),
        ({"budget": "lots"}, "'lots' is not a budget"),
        ({"probes": 4}, "--probes does not apply to the search from trained weights"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as caught:
        tas.run(out=str(tmp_path / "run"), **options)
    assert words in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_what_nobody_counts_is_said_in_the_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Spectral(Own):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x + 0 * torch.fft.rfft2(x).abs().mean())

    torch.manual_seed(0)
    done = tas.run(model=Spectral(), budget=0.5, out=str(tmp_path / "run"), **SHORT)
    assert any(note.startswith("not counted: '_fft_r2c'") for note in done.result["notes"])
    assert "note: not counted: '_fft_r2c'" in capsys.readouterr().err
    sys.modules["spectral_test_net"] = type(sys)("spectral_test_net")
    sys.modules["spectral_test_net"].make = Spectral  # type: ignore[attr-defined]
    main(["macs", "spectral_test_net:make", "--classes", "10", "--input", "[1,8,8]"])
    assert "note: not counted: '_fft_r2c'" in capsys.readouterr().out
    main(["doctor", "--net", "spectral_test_net:make", "--classes", "10", "--input", "[1,8,8]"])
    assert "note: not counted: '_fft_r2c'" in capsys.readouterr().out
