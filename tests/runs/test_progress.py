"""What a person sees of a phase: plain lines in a file, one live line on a terminal."""

import pytest
from rich.console import Console

from tas.runs.progress import PhaseProgress, readable_seconds
from tas.runs.stages import Stage, Stages, staged
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


def test_the_phases_of_a_job_say_which_stage_they_are_and_what_is_left_of_all(capsys):
    stages = [Stage("teacher", "teacher", 1.0), Stage("check", "0.3 check", 1.0)]
    with staged(stages):
        for phase in ("teacher", "final-01-of-02"):
            fit(Classification(tiny_net(), tiny_options()), TinyBatches(), phase=phase)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("1/2 teacher  epoch 1/4")
    assert lines[4].startswith("2/2 0.3 check 1 of 2  epoch 1/4")
    assert all(line.endswith(" in all") for line in lines)


def test_what_is_left_of_a_job_is_told_by_the_pace_of_what_was_done_here():
    now = [0.0]
    kinds = ("search", "check", "student", "search", "check", "student")
    job = Stages([Stage(kind, kind, 2.0) for kind in kinds], clock=lambda: now[0])
    assert job.left() is None
    job.enter("search", 0.5)  # half of it is there from an earlier run
    now[0] = 4.0
    job.reach("search", 1.0)
    assert job.left() == 4.0 * 10  # one unit took 4 seconds, and ten are left
    job.enter("final-02-of-02", 0.0)
    job.reach("final-02-of-02", 0.5)
    assert job.left() == pytest.approx(4.0 / 1.5 * 8.5)
    job.enter("search", 0.0)  # of the next budget
    assert job.title == "4/6 search"
