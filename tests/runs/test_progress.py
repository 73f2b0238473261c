"""What a person sees of a phase: plain lines in a file, one live line on a terminal."""

import pytest
from rich.console import Console

from tas.runs.progress import PhaseProgress, readable_seconds
from tas.training import Classification, fit
from tiny_training import TinyBatches, tiny_net, tiny_options


def test_without_a_terminal_there_is_one_line_per_epoch(capsys):
    fit(Classification(tiny_net(), tiny_options()), TinyBatches(), phase="teacher")
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == 4
    assert lines[1].startswith("teacher  epoch 2/4  loss ")
    assert "accuracy" in lines[1]
    assert lines[-1].endswith("0:00 left")


def test_it_can_be_silent(capsys):
    fit(Classification(tiny_net(), tiny_options()), TinyBatches(), progress=False)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("width", [80, 120])
def test_a_terminal_shows_epoch_figures_and_time_left(monkeypatch, width):
    terminal = Console(force_terminal=True, width=width, record=True, color_system=None)
    monkeypatch.setattr("tas.runs.progress.Console", lambda stderr: terminal)
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr("tas.runs.progress.time.perf_counter", lambda: next(clock))
    with PhaseProgress("search", 4, 10, done=1) as bar:
        bar.batch(2, 5, {"loss": 1.25, "accuracy": 50.0, "tau": 2.5})
    text = terminal.export_text()
    assert "search" in text
    assert "epoch 2/4 0:50 left loss 1.250  accuracy 50.0 %" in text  # 10 s for 5 of 30 steps
    assert ("tau 2.50  batch 5/10" in text) == (width == 120)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (7.4, "0:07"), (725, "12:05"), (12_000, "3:20:00")]
)
def test_seconds_are_readable(seconds, text):
    assert readable_seconds(seconds) == text
