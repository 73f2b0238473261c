"""The second part of the page of models: it stands behind the first, and says what was found."""

from pathlib import Path

import table

GOOD = {
    "kind": "video",
    "macs": 5_000_000_000,
    "widths": 12,
    "depths": 4,
    "lowest": 0.05,
    "ratio": 0.494,
    "exact": True,
    "difference": 2e-15,
    "trains": True,
    "loads": True,
    "onnx": "",
    "seconds": 2.7,
    "why": "",
}


def test_it_is_replaced_and_what_stands_before_it_stays(tmp_path: Path) -> None:
    page = tmp_path / "models.md"
    page.write_text("# First\n\n| a |\n")
    for found in ({"one": GOOD}, {"one": GOOD, "two": {"error": "no | way"}}):
        table.put(page, table.written(found))
    text = page.read_text()
    assert text.startswith("# First\n\n| a |\n\n# Any task\n")
    assert text.count("# Any task") == text.count("| one | video | 5.00 |") == 1
    assert "| two | | no / way |" in text


def test_what_fails_or_was_not_tried_is_not_counted_as_good() -> None:
    bad = [{"exact": False}, {"difference": 0.1}, {"loads": False}, {"trains": False}]
    found = {"good": GOOD, "untried": {**GOOD, "onnx": None}}
    found |= {str(number): {**GOOD, **change} for number, change in enumerate(bad)}
    found["far"] = {**GOOD, "ratio": 0.7, "lowest": 0.7}
    text = table.written(found, ["later"])
    assert "Of 7 nets of other tasks and other libraries 6 can be had at half" in text
    assert "2 of these pass every check" in text
    assert "and 1 that as well, of 1 that were tried" in text
    assert "Not measured yet: later." in text
