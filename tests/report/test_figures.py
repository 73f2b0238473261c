"""The figures: what a picture shows is measured on its pixels.

A PNG of ours depends on its input alone, so that two inputs which mean the same must give the same
bytes, and two which do not must not.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tas.errors import InputError, ShapeError
from tas.report import Row, history_figure, shape_figure, tradeoff_figure
from tas.report import shape as shapes

BLUE, SKY, PALE = (0, 114, 178), (86, 180, 233), (214, 214, 214)
BUDGET = {"unit": "macs", "value": 6e6, "ratio": 0.6}


def shape(share: float = 1.0, depth: int = 4, stages: int = 2) -> dict[str, Any]:
    """A net of two convolutions a block and four blocks a stage, of which ``depth`` are kept."""
    widths = {"stem": int(20 * share)}
    for stage in range(stages):
        for block in range(4):
            for conv in (1, 2):
                widths[f"stages.{stage}.{block}.conv{conv}"] = int(20 * share)
    depths = {f"stages.{stage}": depth for stage in range(stages)}
    return {"net": "tiny", "widths": widths, "depths": depths, "macs": None}


def pixels(path: Path, *colors: tuple[int, int, int]) -> int:
    """How many pixels have one of the colours."""
    image = np.asarray(Image.open(path).convert("RGB"))
    return int(sum((image == color).all(-1).sum() for color in colors))


# -------------------------------------------------------------------------------------- shapes


def draw_shape(folder: Path, found: dict[str, Any]) -> Path:
    path = folder / "shape.png"
    shape_figure(found, shape(), path)
    return path


def test_the_unpruned_net_covers_itself(tmp_path: Path) -> None:
    path = draw_shape(tmp_path, shape())
    assert pixels(path, BLUE, SKY) > 100_000
    assert pixels(path, PALE) < 0.01 * pixels(path, BLUE, SKY)


def test_half_the_widths_are_half_the_area(tmp_path: Path) -> None:
    whole = pixels(draw_shape(tmp_path, shape()), BLUE, SKY)
    path = draw_shape(tmp_path, shape(share=0.5))
    assert pixels(path, BLUE, SKY) == pytest.approx(whole / 2, rel=0.05)
    assert pixels(path, PALE) == pytest.approx(whole / 2, rel=0.05)


def test_a_cut_block_is_hollow_and_its_width_does_not_matter(tmp_path: Path) -> None:
    whole = pixels(draw_shape(tmp_path, shape()), BLUE, SKY)
    cut = shape(depth=1)
    path = draw_shape(tmp_path, cut)
    assert pixels(path, BLUE, SKY) == pytest.approx(whole * (1 + 2 + 2) / (1 + 8 + 8), rel=0.05)
    drawn = path.read_bytes()
    without = {key: c for key, c in cut["widths"].items() if key.split(".")[2:3] in ([], ["0"])}
    assert len(without) == 5
    assert draw_shape(tmp_path, {**cut, "widths": without}).read_bytes() == drawn


def test_what_was_not_searched_is_as_it_was(tmp_path: Path) -> None:
    everything = draw_shape(tmp_path, shape()).read_bytes()
    nothing = draw_shape(tmp_path, {"net": "tiny", "widths": {}, "depths": {}}).read_bytes()
    assert nothing == everything


def test_a_net_of_any_names_and_wider_layers_can_be_drawn(tmp_path: Path) -> None:
    names = ("features.0", "features.1.conv.0", "layer1.0.conv1", "head")
    full = {"net": "mine", "widths": dict.fromkeys(names, 8), "depths": {}, "macs": 2e6}
    found = {**full, "widths": dict.fromkeys(names, 12), "macs": 3e6}
    shape_figure(found, full, tmp_path / "mine.png")
    assert pixels(tmp_path / "mine.png", BLUE, SKY) > 100_000


def test_a_shape_of_another_net_is_refused(tmp_path: Path) -> None:
    foreign = {"net": "tiny", "widths": {"layer1.0.conv1": 4}, "depths": {}}
    with pytest.raises(ShapeError, match=r"layer1\.0\.conv1.*'tiny'"):
        shape_figure(foreign, shape(), tmp_path / "shape.png")


# ------------------------------------------------------------------------------------- history


def log(*phases: str, epochs: int = 3) -> list[dict[str, Any]]:
    lines = []
    for phase in phases:
        for epoch in range(1, epochs + 1):
            line = {"phase": phase, "epoch": epoch, "loss": 2 / epoch, "accuracy": 50.0 + epoch}
            if phase == "search":
                cost = 1e7 / epoch
                line |= {"expected_cost": cost, "likely_cost": cost, "tau": 1.0, "entropy": 1.0}
            else:
                line["test_accuracy"] = 50.0
            lines.append(line)
    return lines


def draw_log(folder: Path, lines: list[dict[str, Any]], **options: Any) -> bytes:
    history_figure(lines, folder / "history.png", **options)
    return (folder / "history.png").read_bytes()


def test_of_an_epoch_logged_twice_the_later_line_counts(tmp_path: Path) -> None:
    lines = log("teacher", "student")
    stale = {**lines[1], "loss": 100.0}
    assert draw_log(tmp_path, [lines[0], stale, *lines[1:]]) == draw_log(tmp_path, lines)
    assert draw_log(tmp_path, [*lines, stale]) != draw_log(tmp_path, lines)


def test_what_is_null_is_as_if_it_were_missing(tmp_path: Path) -> None:
    lines = log("teacher")
    with_null = [{**line, "tau": None, "test_accuracy": None} for line in lines]
    without = [{k: v for k, v in line.items() if k != "test_accuracy"} for line in lines]
    assert draw_log(tmp_path, with_null) == draw_log(tmp_path, without)


def test_a_search_has_panels_of_its_own_and_shows_the_budget(tmp_path: Path) -> None:
    def height(lines: list[dict[str, Any]]) -> int:
        draw_log(tmp_path, lines)
        return Image.open(tmp_path / "history.png").height

    assert height(log("teacher")) < height(log("search"))
    assert draw_log(tmp_path, log("search"), budget=BUDGET) != draw_log(tmp_path, log("search"))


def test_a_phase_of_one_epoch_can_be_seen(tmp_path: Path) -> None:
    draw_log(tmp_path, log("student", epochs=1))
    one = pixels(tmp_path / "history.png", BLUE)
    draw_log(tmp_path, [{"phase": "student", "epoch": 1}])
    assert one > pixels(tmp_path / "history.png", BLUE) + 300


def test_probes_share_one_entry_of_the_legend(tmp_path: Path) -> None:
    probes = draw_log(tmp_path, log("probe-01-of-02", "probe-02-of-02"))
    assert probes == draw_log(tmp_path, log("probe-1", "probe-of-quite-another-name"))
    assert probes != draw_log(tmp_path, log("first", "second"))


def test_an_empty_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="empty"):
        draw_log(tmp_path, [])


# ------------------------------------------------------------------------------------ tradeoff

ROWS: list[Row] = [
    {"name": "unpruned", "macs": 1e7, "params": 1e6, "accuracy": 92.0},
    {"name": "searched", "macs": 6e6, "params": 7e5, "accuracy": 91.0, "spread": 0.2},
]


def draw_rows(folder: Path, rows: list[Row], **options: Any) -> bytes:
    tradeoff_figure(rows, folder / "tradeoff.png", **options)
    return (folder / "tradeoff.png").read_bytes()


def test_a_net_without_accuracy_is_left_out(tmp_path: Path) -> None:
    unknown: Row = {"name": "later", "macs": 5e6, "params": 1.0, "accuracy": None}
    assert draw_rows(tmp_path, [*ROWS, unknown]) == draw_rows(tmp_path, ROWS)
    with pytest.raises(InputError, match="no net has an accuracy"):
        draw_rows(tmp_path, [unknown])


def test_only_a_budget_in_macs_stands_on_the_axis_of_macs(tmp_path: Path) -> None:
    plain = draw_rows(tmp_path, ROWS)
    assert draw_rows(tmp_path, ROWS, budgets=[BUDGET]) != plain
    assert draw_rows(tmp_path, ROWS, budgets=[{**BUDGET, "unit": "params"}]) == plain


# ---------------------------------------------------------------------------------- all figures


def test_drawing_needs_no_torch_and_leaves_no_global_state(tmp_path: Path) -> None:
    program = f"""
import sys
import tas.report
assert not {{"torch", "matplotlib"}} & sys.modules.keys()
import matplotlib
matplotlib.rcParams["axes.facecolor"] = "black"
settings = matplotlib.rcParams.keys() - {{"backend"}}  # reading that one chooses one
before = [matplotlib.rcParams[name] for name in settings]
tas.report.tradeoff_figure({ROWS!r}, {str(tmp_path / "dark.png")!r})
assert not {{"torch", "matplotlib.pyplot"}} & sys.modules.keys()
assert [matplotlib.rcParams[name] for name in settings] == before
"""
    subprocess.run([sys.executable, "-c", program], check=True)
    # Nor do a user's settings reach into a figure.
    assert (tmp_path / "dark.png").read_bytes() == draw_rows(tmp_path, ROWS)


def test_a_stage_may_be_a_part_of_a_container(tmp_path: Path) -> None:
    widths = {"features.0": 8, "features.1.conv": 8, "features.2.conv": 8, "features.3.conv": 8}
    full = {"net": "any", "widths": widths, "depths": {"features[1:4]": 3}}
    kept = {key: width for key, width in widths.items() if not key.startswith("features.3.")}
    found = {"net": "any", "widths": kept, "depths": {"features[1:4]": 2}}
    bars = shapes._bars(found, full)
    assert [(bar.stage, bar.block, bar.cut) for bar in bars] == [
        ("features", None, False),
        ("features[1:4]", "1", False),
        ("features[1:4]", "2", False),
        ("features[1:4]", "3", True),
    ]
    shape_figure(found, full, tmp_path / "shape.png")
