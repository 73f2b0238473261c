"""The directory of one run: its configuration, log, shape, weights, checkpoints and result.

``config.yaml`` says whose directory it is: the same command continues there, any other is refused,
and so is the same one while it runs. Files appear whole or not at all, by a rename. Of several
processes the first alone writes.
"""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout
from torch import nn

from .. import processes
from ..errors import InputError, first_line
from ..reading import read_yaml
from ..records import read_log, read_result
from ..shape import Shape
from ..weights import save_weights
from .model import NAME, ModelConfig
from .whole import write_whole

__all__ = ["RunDir"]

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
    """

    def __init__(self, path: Path, config: dict[str, Any]) -> None:
        self.path = path
        self.config = config
        # One per directory and process, held for as long as any RunDir of it is.
        self._lock = FileLock(path / ".lock", timeout=LOCK_WAIT_SECONDS, is_singleton=True)

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

    def _claim(self) -> None:
        path, wanted = self.path, self.config
        try:
            path.mkdir(parents=True, exist_ok=True)
            recorded = self.recorded(path)
            if recorded is not None:
                _check_same(path, recorded, wanted)
            elif others := sorted(p.name for p in path.iterdir() if not p.name.startswith(".")):
                raise InputError(
                    f"--out {path} holds other files ('{others[0]}') and no run: "
                    "choose an empty or a new directory"
                )
            if processes.is_first():
                with suppress(NotImplementedError):  # a file system without locks
                    self._lock.acquire()
            _write(path / "config.yaml", yaml.safe_dump(wanted, sort_keys=False))
        except Timeout:
            raise InputError(
                f"--out {path} is in use by another process: wait for its end, or choose another"
            ) from None
        except (FileExistsError, NotADirectoryError):
            raise InputError(f"--out {path} is a file: choose a directory") from None
        except OSError as error:
            raise InputError(
                f"--out {path} cannot be written ({error.strerror}): choose another --out"
            ) from None

    @staticmethod
    def recorded(path: str | Path) -> dict[str, Any] | None:
        """The configuration of the run in a directory, None if there is none.

        Raises:
            InputError: its ``config.yaml`` cannot be read.
        """
        file = Path(path) / "config.yaml"
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
        return (self.path / "result.json").exists()

    @property
    def result(self) -> dict[str, Any]:
        """What ``finish`` wrote.

        Raises:
            InputError: ``result.json`` is damaged.
        """
        try:
            return read_result(self.path / "result.json")
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
        _write(self.path / "result.json", json.dumps(result, indent=2) + "\n")

    def log(self, line: Mapping[str, Any]) -> None:
        """Append a line to ``log.jsonl``."""
        if not processes.is_first():
            return
        with (self.path / "log.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")

    @property
    def log_lines(self) -> list[dict[str, Any]]:
        """The lines of ``log.jsonl``; one that was cut off or is damaged is left out."""
        return read_log(self.path / "log.jsonl")[0]

    def keep_log(self, phase: str, lines: list[dict[str, Any]]) -> None:
        """Make these the lines of a phase, behind those of all others."""
        others = [line for line in self.log_lines if line.get("phase") != phase]
        text = "".join(json.dumps(line) + "\n" for line in [*others, *lines])
        _write(self.path / "log.jsonl", text)

    def save_config(self, config: ModelConfig) -> None:
        """Write ``config.json``: what the weights of this directory need beside them."""
        _write(self.path / NAME, config.text())

    def save_card(self, text: str) -> None:
        """Write ``README.md``: what a reader must know of the model in this directory."""
        _write(self.path / "README.md", text)

    def save_model(self, model: nn.Module) -> None:
        """Write ``model.safetensors``."""
        self.save_weights(model, self.model.name)

    def save_weights(self, model: nn.Module, name: str) -> None:
        """Write the weights of a further net."""
        if processes.is_first():
            save_weights(model, self.path / name)

    def save_shape(self, shape: Shape) -> None:
        """Write ``shape.json``."""
        if processes.is_first():
            shape.save(self.shape)


def _write(path: Path, text: str) -> None:
    if processes.is_first():
        write_whole(path, text)


def _check_same(path: Path, recorded: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Refuse another run's directory, and name the first option that differs."""
    old, new = _flat(recorded), _flat(wanted)
    for name in [*new, *old]:
        if name in old and name in new and old[name] == new[name]:
            continue
        flag = "--" + name.replace("_", "-")
        if old.get(name) is None:  # not there, or not given
            differs = f"without {flag}, not with {new[name]}"
        elif new.get(name) is None:
            differs = f"with {flag} {old[name]}, not without it"
        else:
            differs = f"with {flag} {old[name]}, not {new[name]}"
        raise InputError(f"--out {path} holds a run {differs}: choose another --out")


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
