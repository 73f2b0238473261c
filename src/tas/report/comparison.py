"""Several runs on one page."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..records import read_result
from ..typed import checked
from ..whole import write_whole
from .page import drawn, template
from .tables import SHARES, Row, cells, share_of
from .tradeoff import tradeoff_figure

__all__ = ["compare"]

# Of two teachers alike but for their time one is enough.
COMPARED = ("macs", "params", "accuracy", "agreement", "distance", "spread", "runs")


@checked
def compare(run_dirs: Sequence[str | Path], out: str | Path) -> Path:
    """Write one page with the nets of several runs: a table, and accuracy against multiply-adds.

    >>> import tas
    >>> from tas.report import compare
    >>> for name in ("one", "two"):
    ...     directory = tas.RunDir.open(name, {"net": "resnet20"})
    ...     row = {"name": "searched", "macs": 1e6, "params": 1e5, "accuracy": 90.0}
    ...     directory.finish({"rows": [row]})
    >>> compare(["one", "two"], "both.html").name
    'both.html'

    A net that several runs have, such as their teacher, stands there once. Percentages are of the
    first net.

    Raises:
        InputError: a folder holds no finished run, or the page cannot be written.
    """
    rows: list[Row] = []
    notes = []
    for run_dir in map(Path, run_dirs):
        file = run_dir / "result.json"
        if not file.is_file():
            raise InputError(f"'{run_dir}' holds no finished run: it has no result.json")
        result = read_result(file)
        rows += [row for row in _named(result, run_dir) if row not in rows]
        notes.append(_about(result, run_dir))
    if not rows:
        raise InputError("none of these runs has a net to compare")
    pictures = []
    if share := share_of(rows):
        says = f"Points: {SHARES[share]} against MACs of every net."
        draw = partial(tradeoff_figure, rows)
        pictures.append(drawn("tradeoff", "Accuracy and cost", says, draw))
    page = template().render(
        title=f"{len(notes)} runs",
        finished=True,
        table=cells(rows),
        facts=[],
        pictures=pictures,
        notes=notes,
        details={},
        parts=[],
        config=None,
    )
    path = Path(out)
    try:
        write_whole(path, page)
    except OSError as error:
        raise InputError(f"--out {path} cannot be written: {error.strerror}") from None
    return path


def _named(result: dict[str, Any], run_dir: Path) -> list[Row]:
    """The rows of a run; those of its own nets bear its name, and none tells how long it took."""
    rows: list[Any] = []
    for row in result.get("rows", []):
        if {"macs", "params"} <= row.keys():
            own = not row["name"].startswith("unpruned")
            name = f"{run_dir.name}: {row['name']}" if own else row["name"]
            rows.append({key: row[key] for key in COMPARED if key in row} | {"name": name})
    return rows


def _about(result: dict[str, Any], run_dir: Path) -> str:
    net, data = result.get("net", "a net"), result.get("data", "data that are not named")
    seed = f", seed {result['seed']}" if "seed" in result else ""
    return f"{run_dir}: {net} on {data}{seed}"
