"""The second part of ``docs/models.md``."""

import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = ["HEADING", "put", "written"]

HEADING = "# Any task"
HALF = 0.5  # of the multiply-adds
SAME = 1e-4  # of answers: some nets make numbers in float32
PACKAGES = (
    *("torch", "torchvision", "transformers", "ultralytics", "segmentation-models-pytorch"),
    *("onnx", "onnxruntime"),
)


def written(found: dict[str, dict[str, Any]], missing: Sequence[str] = ()) -> str:
    """The part, in Markdown.

    Args:
        found: by a net's name what ``checks.checked`` found, or an ``error``.
        missing: names of nets that were not measured.
    """
    good = [entry for entry in found.values() if "error" not in entry]
    whole = [
        entry
        for entry in good
        if all(entry[check] for check in ("exact", "loads", "trains"))
        and entry["difference"] < SAME
        and entry["ratio"] <= HALF
    ]
    head = HEAD.format(
        nets=len(found),
        half=sum(entry["lowest"] <= HALF for entry in good),
        whole=len(whole),
        exported=sum(entry["onnx"] == "" for entry in whole),
        tried=sum(entry["onnx"] is not None for entry in whole),
    )
    page = [HEADING, "", head, "", *TABLE]
    page += [line(name, entry) for name, entry in found.items()]
    if missing:
        page += ["", f"Not measured yet: {', '.join(missing)}."]
    locked = {name: e["why"] for name, e in found.items() if e.get("why")}
    if locked:
        page += ["", "The reason that keeps most channels:", "", "| net | because |", "|---|---|"]
        page += [f"| {name} | {tidy(why)} |" for name, why in locked.items()]
    failed = {name: e["onnx"] for name, e in found.items() if e.get("onnx")}
    if failed:
        page += ["", "What ONNX says:", "", "| net | |", "|---|---|"]
        page += [f"| {name} | {tidy(why)} |" for name, why in failed.items()]
    return "\n".join([*page, "", f"Versions: {versions()}."]) + "\n"


def line(name: str, entry: dict[str, Any]) -> str:
    """A net's line of the table."""
    if "error" in entry:
        return f"| {name} | | {tidy(entry['error'])} | | | | | | | | | |"
    yes = {True: "yes", False: "**no**", None: "-"}
    cells = [
        entry["kind"],
        f"{entry['macs'] / 1e9:.2f}",
        f"{entry['widths']} + {entry['depths']}",
        f"{entry['lowest']:.2f}",
        f"{entry['ratio']:.3f}",
        yes[entry["exact"]],
        f"{entry['difference']:.0e}",
        yes[entry["trains"]],
        yes[entry["loads"]],
        yes[None if entry["onnx"] is None else not entry["onnx"]],
        f"{entry['seconds']:.0f}",
    ]
    return f"| {name} | {' | '.join(cells)} |"


def put(path: Path, section: str) -> None:
    """Replace the part of a page that begins at its heading, or add it."""
    page = path.read_text(encoding="utf-8") if path.is_file() else ""
    before = f"\n{page}".partition(f"\n{HEADING}\n")[0].strip()
    path.write_text(f"{before}\n\n{section}".lstrip(), encoding="utf-8")


def versions() -> str:
    found = [f"Python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package).partition('+')[0]}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def tidy(text: str) -> str:
    return text.replace("|", "/").replace("\n", " ")


HEAD = """Of {nets} nets of other tasks and other libraries {half} can be had at half of their \
multiply-adds or less; {whole} of these pass every check but the export to ONNX, and {exported} \
that as well, of {tried} that were tried.

Written by `benchmarks/any_task/run.py`; `benchmarks/any_task/zoo.py` has how each is made and \
called. Fresh weights, small pictures, and of detectors the scores and boxes before some are \
chosen. A random shape at 0.5 of the multiply-adds, or as near as it gets, is derived.

- **GMACs**: of the whole net, one example. **choices**: widths + depths. **from**: the smallest \
shape.
- **exact**: the space's count of multiply-adds and parameters is that of the derived net.
- **masked**: the largest difference between the derived net's answers and those of the whole one \
whose cut channels nobody reads, in standard deviations, in float64 (`raft_small`: float32).
- **trains**: a step of SGD in training mode. **loads**: saved, loaded into a fresh net, the same \
answers to the bit. **ONNX**: exported, run by ONNX Runtime, the same answers within a thousandth \
of their spread (or three times PyTorch's own rounding, where their mean is far larger than that); \
-: not tried.
- **seconds**: of one thread, from the net to the cut one."""
TABLE = (
    "| net | task | GMACs | choices | from | derived | exact | masked | trains | loads | ONNX "
    "| seconds |",
    "|---|---|---|---|---|---|---|---|---|---|---|---|",
)
