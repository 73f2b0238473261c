"""The table: a CSV file of which every line is one measured net, appended when it is done."""

import csv
import os
import platform
import subprocess
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["TABLE", "Key", "Row", "Rows", "environment"]

TABLE = Path(__file__).with_name("rows.csv")

# net, data, pictures, budget, method, seed, stage, rate
Key = tuple[str, str, int, float, str, int, str, float]


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        pictures: to train on.
        stage: ``untrained``: after cutting and compensation alone; ``tuned``: after fine-tuning;
            ``rate``: equal ratios that choose a rate, on held-out training pictures; ``steps``: no
            net, but the seconds that a teacher takes, foretold from a few steps.
        accuracy: percent of the test pictures, after the last epoch.
        macs_ratio, params_ratio: reached, of the teacher's.
        loss: untrained, on training pictures: what tells settings apart.
        search_seconds: to the net that is cut; teacher_seconds, tune_seconds: of the trainings.
        trials: of our search.
        note: whose shape it is: a setting of Torch-Pruning, or "equal widths" where our search
            found none better.
        error: why there is no net.
    """

    net: str
    data: str
    pictures: int
    budget: float
    method: str
    seed: int
    stage: str
    accuracy: float | None = None
    teacher_accuracy: float | None = None
    macs_ratio: float | None = None
    params_ratio: float | None = None
    loss: float | None = None
    search_seconds: float | None = None
    teacher_seconds: float | None = None
    tune_seconds: float | None = None
    epochs: int | None = None
    lr: float | None = None
    trials: int | None = None
    note: str = ""
    hardware: str = ""
    torch: str = ""
    tas: str = ""
    torch_pruning: str = ""
    error: str = ""

    @property
    def key(self) -> Key:
        rate = (self.lr or 0.0) if self.stage == "rate" else 0.0
        return (
            *(self.net, self.data, self.pictures, self.budget),
            *(self.method, self.seed, self.stage, rate),
        )

    @classmethod
    def read(cls, line: dict[str, str]) -> "Row":
        """From a line of the file, whose empty cells are not known."""
        values: dict[str, object] = {}
        for field in fields(cls):
            text = line.get(field.name) or ""
            if field.type is str:
                values[field.name] = text
            elif text:
                whole = field.type in (int, int | None)
                values[field.name] = int(text) if whole else float(text)
        return cls(**values)  # type: ignore[arg-type]


COLUMNS = [field.name for field in fields(Row)]


class Rows:
    """What has been measured, in a file that grows line by line."""

    def __init__(self, path: Path = TABLE) -> None:
        self.path = path
        self.known: dict[Key, Row] = {}
        if path.exists():
            with path.open(newline="", encoding="utf-8") as file:
                for line in csv.DictReader(file):
                    if line.get("error") is None:
                        continue  # cut short by a power failure, say: it is measured anew
                    row = Row.read(line)
                    self.known[row.key] = row  # a later one of the same key counts

    def __iter__(self) -> Iterator[Row]:
        return iter(self.known.values())

    def add(self, row: Row) -> None:
        """Append a row, whole."""
        new = not self.path.exists() or self.path.stat().st_size == 0
        with self.path.open("a+", newline="", encoding="utf-8") as file:
            if not new:
                file.seek(file.tell() - 1)
                if file.read(1) != "\n":  # a line that was cut short
                    file.write("\n")
            writer = csv.writer(file, lineterminator="\n")
            if new:
                writer.writerow(COLUMNS)
            writer.writerow([_cell(value) for value in astuple(row)])
            file.flush()
            os.fsync(file.fileno())
        self.known[row.key] = row

    def forget_errors(self) -> int:
        """Take the rows out that ended in an error, so that they are tried again."""
        kept = [row for row in self.known.values() if not row.error]
        gone = len(self.known) - len(kept)
        if gone:
            part = self.path.with_suffix(".part")
            part.unlink(missing_ok=True)
            rewritten = Rows(part)
            for row in kept:
                rewritten.add(row)
            part.replace(self.path)
            self.known = rewritten.known
        return gone


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else " ".join(str(value).split())


def environment(threads: int) -> dict[str, str]:
    """What was measured with: hardware and versions."""
    import torch

    from tas.version import __version__

    name = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((n.split(":")[1].strip() for n in lines if n.startswith("model name")), name)
    if torch.cuda.is_available():
        name = torch.cuda.get_device_name()
    try:
        theirs = version("torch-pruning")
    except PackageNotFoundError:
        theirs = ""
    here = Path(__file__).parent
    git = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=here, capture_output=True, text=True
    )
    commit = f" {git.stdout.strip()}" if git.returncode == 0 else ""
    return {
        "hardware": f"{name}, {threads} thread{'s' if threads > 1 else ''}",
        "torch": torch.__version__.partition("+")[0],
        "tas": f"{__version__}{commit}",
        "torch_pruning": theirs,
    }
