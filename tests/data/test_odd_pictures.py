"""Pictures as they are: of many bits, under odd names, behind links."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tas
from tas.data.pictures import as_bytes, coloured
from tas.report import html

RAMP = np.linspace(0, 1, 64).reshape(8, 8)


@pytest.mark.parametrize(
    "values",
    [
        (RAMP * 65535).astype(np.uint16),
        (RAMP * 65535).astype(np.int32),
        (RAMP * 255).astype(np.int32),
        RAMP.astype(np.float32),
        (RAMP * 255).astype(np.float32),
    ],
    ids=["16 bits", "32 bits", "32 bits of 8", "floats to 1", "floats to 255"],
)
def test_many_bits_are_scaled_by_their_range(values: np.ndarray) -> None:
    pixels = np.asarray(coloured(Image.fromarray(values), "grey"))
    assert np.abs(pixels - RAMP * 255).max() <= 1.5
    dark = np.asarray(coloured(Image.fromarray((values // 4).astype(values.dtype)), "grey"))
    assert dark.max() < 255 or values.max() <= 255


@pytest.mark.parametrize("values", [[2.0**31], [1e9, 0.0], [-1.0], [float("nan")], [float("inf")]])
def test_what_has_no_range_is_refused(values: list[float]) -> None:
    for mode in ("F", "I", "I;16"):
        with pytest.raises(ValueError, match="of no range that is known"):
            as_bytes(np.array(values), mode)


def folder(root: Path) -> Path:
    for part in ("train", "test"):
        for number, name in enumerate(("a", "b")):
            (root / part / name).mkdir(parents=True)
            for i in range(12):
                Image.new("L", (8, 8), 20 * i + number).save(root / part / name / f"{i}.png")
    return root


def test_loops_hidden_folders_and_lost_links_do_not_stop_loading(tmp_path: Path) -> None:
    root = folder(tmp_path)
    (root / "train" / "__MACOSX").mkdir()
    (root / "train" / ".hidden").mkdir()
    (root / "train" / "loop").symlink_to(root / "train" / "loop")
    (root / "train" / "a" / "loop.png").symlink_to(root / "train" / "a" / "loop.png")
    (root / "train" / "a" / "lost.png").symlink_to(root / "nowhere.png")
    data = tas.data.load(root, progress=False)
    assert data.class_names == ("a", "b")
    assert "left out: 2: " in data.notes[0]
    assert "lost.png" in data.notes[0]


def test_a_broken_picture_of_any_name_is_counted_and_the_report_is_written(tmp_path: Path) -> None:
    root = folder(tmp_path / "pictures")
    name = os.fsencode(root / "train" / "a") + b"/\xff\x1b[31m.png"
    try:
        Path(os.fsdecode(name)).write_bytes(b"no picture")
    except OSError:
        pytest.skip("this file system has no such names")
    data = tas.data.load(root, progress=False)
    assert "\\udcff\\x1b[31m.png (not a picture)" in data.notes[0]
    run = tas.RunDir.open(tmp_path / "run", {"data": os.fsdecode(name)})
    run.log({"phase": "train", "epoch": 1, "loss": 1.0})
    run.finish({"rows": [], "notes": [os.fsdecode(name), *data.notes]})
    page = html(run.path).read_text(encoding="utf-8")
    assert "\\udcff" in page
    assert "\x1b" not in page
