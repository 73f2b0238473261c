"""The directory of one run: its configuration, log, shape, weights, checkpoints and result.

``config.yaml`` says whose directory it is: the same command continues there, any other is refused,
and so is the same one while it runs. Files appear whole or not at all, by a rename, and are known
again by ``SHA256SUMS``: of a run that goes on what it was begun with, of a finished one everything.
``result.json`` comes last, and says that a run is finished. Of several processes the first alone
writes.
"""

import errno
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout
from torch import nn

from .. import processes, sums
from ..errors import InputError, first_line
from ..reading import read_yaml
from ..records import log_line, read_log, read_result
from ..shape import Shape
from ..weights import save_weights
from ..whole import sweep, write_whole
from .fresh import fresh, made_for, unwritable
from .model import NAME, ModelConfig
from .progress import say
from .same import check_same

__all__ = ["TABLE", "RunDir"]

CONFIG = "config.yaml"
LOG = "log.jsonl"
LOCK = ".lock"
TABLE = "latency.jsonl"  # of a budget of time
RESULT = "result.json"
# What is known again by its sum once the run is finished. A card may be edited, and the report is
# drawn again.
SEALED = (
    *(CONFIG, LOG, NAME, "model.safetensors", "shape.json"),
    *("teacher.safetensors", TABLE),
)
LOCK_WAIT_SECONDS = 8  # workers of a run that was killed hold its lock for a few seconds


class RunDir:
    """A run directory; made by ``RunDir.open``.

    >>> import tas
    >>> directory = tas.RunDir.open("runs/mine", {"net": "resnet20", "epochs": 1})
    >>> directory.log({"phase": "train", "epoch": 1, "loss": 2.3})
    >>> directory.save_model(tas.nets.build("resnet20"))
    >>> directory.model.name, directory.finished
    ('model.safetensors', False)

    Attributes:
        path: the directory.
        config: what the run was begun with.
        listeners: are told every line of the log, also those that stand there already.
    """

    def __init__(self, path: Path, config: dict[str, Any]) -> None:
        self.path = path
        self.config = config
        self.listeners: list[Callable[[Mapping[str, Any]], None]] = []
        self._identity: tuple[int, int] | None = None  # of the directory, once it is claimed
        self._opened: list[RunDir] = []  # its parts
        self._made: list[Path] = []  # folders that were not there before, and so nothing in them
        # One per directory and process, held for as long as any RunDir of it is.
        self._lock = FileLock(path / LOCK, timeout=LOCK_WAIT_SECONDS, is_singleton=True)

    @classmethod
    def open(cls, path: str | Path, config: Mapping[str, Any]) -> "RunDir":
        """Create a run directory, or continue the run of the same configuration in it.

        Args:
            config: option to value, possibly nested; what YAML can hold.

        Raises:
            InputError: it cannot be written, is in use, holds a run with other options, or other
                files.
        """
        path = Path(path)
        wanted: dict[str, Any] = json.loads(json.dumps(config, default=str))  # tuples, paths
        directory = cls(path, wanted)
        processes.by_first(directory._claim)
        return directory

    def part(self, name: str) -> "RunDir":
        """The directory of one of this run's budgets, within this one. It is finished when the run
        is: until then it can be written.

        >>> import tas
        >>> whole = tas.RunDir.open("runs/both", {"net": "resnet20", "budget": "0.3,0.5"})
        >>> whole.part("0.3").config
        {'net': 'resnet20', 'budget': '0.3', 'budgets': '0.3,0.5'}
        """
        own = {**self.config, "budget": name, "budgets": self.config["budget"]}
        part = RunDir.open(self.path / name, own)
        self._opened.append(part)
        processes.by_first(part._reopen)
        return part

    def _reopen(self) -> None:
        if processes.is_first() and self.finished:
            (self.path / RESULT).unlink()
            sums.unseal(self.path)

    @staticmethod
    def fresh(path: Path) -> Path:
        """A directory that is made now, for this run alone: of this name, or numbered behind it.

        >>> from pathlib import Path
        >>> from tas import RunDir
        >>> [RunDir.fresh(Path("runs/today")).name for _ in range(3)]
        ['today', 'today-2', 'today-3']

        Raises:
            InputError: it cannot be made.
        """
        return fresh(path)

    def _claim(self) -> None:
        path = self.path
        text = yaml.safe_dump(self.config, sort_keys=False)
        self._made = made_for(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._check_own(text)
            if processes.is_first():
                with suppress(NotImplementedError):  # a file system without locks
                    self._lock.acquire()
                self._identity = _identity(path)
                self._begin(text)
        except Timeout:
            raise InputError(
                f"--out {path} is in use by another process: wait for its end, or choose another"
            ) from None
        except (FileExistsError, NotADirectoryError):
            raise InputError(f"--out {path} is a file: choose a directory") from None
        except OSError as error:
            raise unwritable(path, error) from None

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Inside, a mistake that is found before anything was done leaves no directory behind."""
        try:
            yield
        except InputError:
            if self._made and processes.is_first():
                self._withdraw()
            raise

    def _withdraw(self) -> None:
        for part in self._opened:
            part._withdraw()
        own = {CONFIG, NAME, sums.NAME, LOCK}
        with suppress(OSError):
            if {found.name for found in self.path.iterdir()} <= own:
                for name in own:
                    (self.path / name).unlink(missing_ok=True)
                for made in self._made:
                    made.rmdir()

    def _check_own(self, text: str) -> None:
        """Refuse a directory that holds another run, or anything else."""
        # What has the sum of the recorded one is the same, even where that is damaged.
        if (sums.listed(self.path) or {}).get(CONFIG) == sums.digest_of(text):
            return
        recorded = self.recorded(self.path)
        names = sorted(p.name for p in self.path.iterdir() if not p.name.startswith("."))
        if recorded is None and names:
            raise InputError(
                f"--out {self.path} holds other files ('{names[0]}') and no run: "
                "choose an empty or a new directory"
            )
        # A command that failed before it had done anything does not keep the directory.
        if recorded is not None and (self.finished or self.log_lines or self._checkpoints()):
            check_same(self.path, recorded, self.config)

    def _begin(self, text: str) -> None:
        """Clean up after a run that was killed, mend one that was damaged since, and claim it."""
        for name in (*SEALED, RESULT, sums.NAME):
            if (self.path / name).is_dir():
                raise InputError(
                    f"'{self.path / name}' is a folder, and a file of the run has this name: "
                    "remove it, or choose another --out"
                )
        for folder in (self.path, self.path / "figures", *self.path.glob("checkpoint/*")):
            sweep(folder)
        if self.finished and sums.listed(self.path) is None:
            say(f"note: '{self.path}' {sums.UNLISTED}")
        if self.finished and (faults := self._faults()):
            self._mend(faults)
        if not self.finished and not sums.holds(self.path / CONFIG, text):
            sums.unseal(self.path)
            write_whole(self.path / CONFIG, text)

    def _mend(self, faults: Mapping[str, str]) -> None:
        """Take a finished run for one that is not, so that its files are made again."""
        what = ", ".join(f"'{name}' {why}" for name, why in faults.items())
        if TABLE in faults or not self._checkpoints():
            why = "times that were measured cannot be made again"
            if TABLE not in faults:
                why = "there is no checkpoint to make it again from"
            raise InputError(
                f"the run in '{self.path}' is no longer whole: {what}; {why}: choose another "
                f"--out, or, if you changed it, remove '{self.path / sums.NAME}'"
            )
        say(f"warning: in '{self.path}', {what}: made again from the checkpoints")
        (self.path / RESULT).unlink(missing_ok=True)
        sums.unseal(self.path)

    def _checkpoints(self) -> bool:
        places = (self.path, *self._parts())
        return any(any(place.glob("checkpoint/*/epoch-*")) for place in places)

    def _parts(self) -> list[Path]:
        """The directories of several budgets."""
        names = str(self.config.get("budget", "")).split(",")
        return [self.path / name for name in names] if len(names) > 1 else []

    def _faults(self) -> dict[str, str]:
        """Which files are no longer what they were when the run was finished, and why."""
        found = sums.faults(self.path)
        for part in self._parts():
            own = sums.faults(part) if (part / RESULT).exists() else {RESULT: "is missing"}
            found |= {f"{part.name}/{name}": why for name, why in own.items()}
        return found

    @staticmethod
    def recorded(path: str | Path) -> dict[str, Any] | None:
        """The configuration of the run in a directory, None if there is none.

        Raises:
            InputError: its ``config.yaml`` cannot be read.
        """
        file = Path(path) / CONFIG
        if not os.path.lexists(file):
            return None
        config = read_yaml(file, "configuration of a run")
        if not isinstance(config, dict):
            raise InputError(f"'{file}' is not the configuration of a run")
        return config

    @property
    def shape(self) -> Path:
        return self.path / "shape.json"

    @property
    def model(self) -> Path:
        return self.path / "model.safetensors"

    def checkpoint(self, phase: str) -> Path:
        """Where the checkpoints of a phase lie."""
        return self.path / "checkpoint" / phase

    @property
    def finished(self) -> bool:
        """Whether the result is there; such a run is read, never trained again."""
        return (self.path / RESULT).exists()

    @property
    def result(self) -> dict[str, Any]:
        """What ``finish`` wrote.

        Raises:
            InputError: ``result.json`` is damaged.
        """
        try:
            return read_result(self.path / RESULT)
        except InputError as error:
            raise self.damaged(error) from None

    def damaged(self, error: Exception) -> InputError:
        """What to say of a result that somebody or a full disk has spoilt."""
        return InputError(
            f"'{self.path / 'result.json'}' is damaged ({first_line(error)}): remove it, and the "
            "same command writes it again from the checkpoints"
        )

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write ``result.json``, the last act of a run.

        Raises:
            InputError: the run has a result already.
        """
        if processes.is_first() and self.finished:
            raise InputError(f"--out {self.path} holds a finished run: choose another --out")
        text = json.dumps(result, indent=2) + "\n"
        if self._writes():
            sums.seal(self.path, SEALED, {RESULT: text})
        self._write(RESULT, text)

    def log(self, line: Mapping[str, Any]) -> None:
        """Append a line to ``log.jsonl``."""
        if not self._writes():
            return
        with (self.path / LOG).open("a") as file:
            file.write(log_line(line))
        self._tell(line)

    @property
    def log_lines(self) -> list[dict[str, Any]]:
        """The lines of ``log.jsonl``; one that was cut off or is damaged is left out."""
        return read_log(self.path / LOG)[0]

    def keep_log(self, phase: str, lines: list[dict[str, Any]]) -> None:
        """Make these the lines of a phase, behind those of all others."""
        others = [line for line in self.log_lines if line.get("phase") != phase]
        self._write(LOG, "".join(log_line(line) for line in [*others, *lines]))
        for line in lines:
            self._tell(line)

    def _tell(self, line: Mapping[str, Any]) -> None:
        for listener in self.listeners:
            listener(line)

    def begin(self, config: ModelConfig) -> None:
        """Write ``config.json`` of a run that is not finished, which goes on from it.

        Raises:
            InputError: it was damaged, and pictures are prepared otherwise than they were.
        """
        processes.by_first(lambda: self._begin_with(config))

    def _begin_with(self, config: ModelConfig) -> None:
        if not processes.is_first():
            return
        why = sums.fault(self.path / NAME)
        if why and (sums.listed(self.path) or {})[NAME] != sums.digest_of(config.text()):
            raise InputError(
                f"'{self.path / NAME}' {why}, and pictures are prepared otherwise than when this "
                "run was begun: restore it, or choose another --out"
            )
        self.save_config(config)
        sums.seal(self.path, (CONFIG, NAME))

    def save_config(self, config: ModelConfig) -> None:
        """Write ``config.json``: what the weights of this directory need beside them."""
        if self._writes() and not sums.holds(self.path / NAME, config.text()):
            sums.unseal(self.path)
            write_whole(self.path / NAME, config.text())

    def save_card(self, text: str) -> None:
        """Write ``README.md``: what a reader must know of the model in this directory."""
        self._write("README.md", text)

    def save_model(self, model: nn.Module) -> None:
        """Write ``model.safetensors``."""
        self.save_weights(model, self.model.name)

    def save_weights(self, model: nn.Module, name: str) -> None:
        """Write the weights of a further net."""
        if self._writes():
            save_weights(model, self.path / name)

    def save_shape(self, shape: Shape) -> None:
        """Write ``shape.json``."""
        if self._writes():
            shape.save(self.shape)

    def _write(self, name: str, text: str) -> None:
        if self._writes():
            write_whole(self.path / name, text)

    def _writes(self) -> bool:
        """Whether this process is the one that writes; its directory is still the same then.

        Raises:
            FileNotFoundError: it is another one, of the same name.
        """
        if not processes.is_first():
            return False
        if self._identity is not None and _identity(self.path) != self._identity:
            raise FileNotFoundError(errno.ENOENT, "another directory", str(self.path))
        return True


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino
