"""Trackers of experiments, through Accelerate's: what the log of a run says, they are told as well.

A tracker never stops a run: where it fails, a warning is said and the run goes on without it.
"""

import json
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from accelerate import PartialState, tracking

from .. import processes
from ..errors import InputError, TasError, first_line, one_of
from ..reading import read_json
from ..runs import say
from ..whole import write_whole
from .accelerate_state import set_aside

__all__ = ["Trackers", "chosen_trackers"]

FOLDER = "trackers"  # in the directory of the run
PACKAGES = {"tensorboard": "'torch-tas[trackers]'", "wandb": "wandb", "mlflow": "mlflow"}
OF_THE_LOG = ("phase", "epoch", "epochs")


def chosen_trackers(text: str | None) -> list[str]:
    """The trackers that are asked for, by their names.

    >>> from tas.training.trackers import chosen_trackers
    >>> chosen_trackers(None)
    []

    Args:
        text: names, with commas between them.

    Raises:
        InputError: there is none of this name, or its package is not installed.
    """
    names = [name.strip() for name in text.split(",")] if text else []
    for name in names:
        if name not in PACKAGES:
            raise InputError(one_of("tracker", name, PACKAGES))
        # wandb leaves a folder of its own name where it ran, which is no package.
        if (spec := find_spec(name)) is None or spec.origin is None:
            raise InputError(f"--tracker {name} needs: pip install {PACKAGES[name]}")
    return list(dict.fromkeys(names))


class Trackers:
    """Those of one run; of several processes the first alone tells them anything.

    >>> from pathlib import Path
    >>> from tas.training.trackers import Trackers
    >>> with_none = Trackers([], Path("runs/mine"), {"net": "resnet20"})
    >>> with_none.log({"phase": "train", "epoch": 1, "loss": 2.3})

    Args:
        names: as ``chosen_trackers`` gives them.
        path: the directory of the run, where ``trackers`` holds what they were told, and
            TensorBoard's files.
        config: what the run was begun with.
    """

    def __init__(self, names: list[str], path: Path, config: Mapping[str, Any]) -> None:
        first = processes.is_first()
        self._all = {name: _Tracker(name, path, config) for name in names} if first else {}

    def log(self, line: Mapping[str, Any]) -> None:
        """A line of the log; what was told in an earlier part of the run is not told again."""
        phase, epoch = str(line.get("phase")), line.get("epoch")
        figures = {f"{phase}/{name}": v for name, v in line.items() if name not in OF_THE_LOG}
        if isinstance(epoch, int):
            self._each(lambda tracker: tracker.tell(phase, epoch, figures))

    def finish(self, rows: list[dict[str, Any]]) -> None:
        """The final figures, which are the rows of the result's table."""
        figures = {
            f"result/{row['name'].replace(',', '')}/{name}": value
            for row in rows
            for name, value in row.items()
        }
        self._each(lambda tracker: tracker.tell("result", 1, figures))
        self._each(lambda tracker: tracker.finish())

    def _each(self, do: Callable[["_Tracker"], None]) -> None:
        for name, tracker in list(self._all.items()):
            try:
                with set_aside():
                    PartialState(cpu=True)  # where there is none, their own messages would fail
                    do(tracker)
            except Exception as error:  # of a network, a disk, a service
                del self._all[name]
                say(f"warning: --tracker {name} failed and is left out: {first_line(error)}")


class _Tracker:
    """One of Accelerate's, which starts when it is first told anything."""

    def __init__(self, name: str, path: Path, config: Mapping[str, Any]) -> None:
        self._name, self._path, self._config = name, path, config
        self._record = path / FOLDER / f"{name}.json"
        self._started: Any = None
        self._known: dict[str, Any] = {}

    def tell(self, phase: str, epoch: int, figures: Mapping[str, Any]) -> None:
        """Figures of an epoch, once."""
        tracker = self._start()
        told = self._known["told"]
        if told.get(phase, 0) >= epoch:
            return
        numbers = {
            name: value
            for name, value in figures.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
        if self._name == "wandb":  # its steps only ever grow, and every phase begins with 1
            tracker.log({**numbers, f"{phase}/epoch": epoch})
        else:
            tracker.log(numbers, step=epoch)
        told[phase] = epoch
        self._keep()

    def finish(self) -> None:
        self._start().finish()

    def _start(self) -> Any:
        if self._started is not None:
            return self._started
        try:
            known = read_json(self._record)
            self._known = {"id": known["id"], "told": dict(known["told"])}
        except (TasError, OSError, LookupError, TypeError, ValueError):  # it is the first time
            self._known = {}
        began = not self._known
        self._started = self._made(self._known.get("id"))
        if began:
            flat = {name: v for name, v in self._config.items() if v is not None}
            plain = {n: v if isinstance(v, bool | int | float) else str(v) for n, v in flat.items()}
            self._started.store_init_configuration(plain)
            self._known = {"id": self._id(), "told": {}}
            self._keep()
        return self._started

    def _made(self, known: str | None) -> Any:
        """A tracker that goes on in the run of an earlier one, if there was one."""
        name = self._path.name
        if self._name == "tensorboard":
            kind, words = tracking.TensorBoardTracker, {"run_name": self._name}
            words["logging_dir"] = str(self._path / FOLDER)
        elif self._name == "wandb":
            kind, words = tracking.WandBTracker, {"run_name": "tas", "name": name}
            words |= {"id": known, "resume": "allow"} if known else {}
        else:
            kind, words = tracking.MLflowTracker, {"experiment_name": "tas", "run_name": name}
            words |= {"run_id": known} if known else {}
        # It is asked in the first process alone, whatever Accelerate knows of the others.
        made: Any = type(kind.__name__, (kind,), {"main_process_only": False})(**words)
        if hasattr(made, "start"):  # earlier ones start when they are made
            made.start()
        return made

    def _id(self) -> str | None:
        """What a service calls this run."""
        if self._name == "wandb":
            return str(self._started.tracker.id)
        return str(self._started.tracker.info.run_id) if self._name == "mlflow" else None

    def _keep(self) -> None:
        self._record.parent.mkdir(exist_ok=True)
        write_whole(self._record, json.dumps(self._known) + "\n")
