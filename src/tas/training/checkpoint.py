"""A checkpoint per epoch: the states of what is trained, and the history up to there as JSON.

``<folder>/epoch-0007`` appears whole by a rename; only then is the last but one before it removed.
Its files are known again by ``SHA256SUMS``: one that is damaged is passed over, and the training
goes on from the one before. What is read back are tensors (``weights_only=True``) and JSON, never
code. Nothing in it depends on the number of processes, so that a training may go on with another:
gradients are averages over the global batch, and all that is random follows from the seed and the
epoch.
"""

import errno
import json
import logging
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator

from .. import sums
from ..errors import InputError, first_line
from ..reading import read_json
from ..typed import record
from ..whole import PARTIAL, flush

__all__ = ["Plan", "Stateful", "latest", "load", "save", "tidy"]

FORMAT = "tas-checkpoint/1"
PROGRESS = "progress.json"
STATES = "states.pt"
KEPT = 2  # the newest may be damaged

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """What must not change between a run and its continuation."""

    phase: str
    epochs: int
    steps_per_epoch: int
    seed: int


@dataclass(frozen=True)
class _Held(Plan):
    """What ``progress.json`` holds: the plan, and a line for each epoch done."""

    history: list[dict[str, Any]]


class Stateful(Protocol):
    """A module, an optimizer."""

    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any: ...


def save(
    accelerator: Accelerator,
    folder: Path,
    plan: Plan,
    history: list[dict[str, Any]],
    parts: Mapping[str, Stateful],
) -> None:
    """Write the checkpoint of the last epoch of ``history``; called by all processes.

    Raises:
        OSError: it cannot be written; what was there before still is.
    """
    if accelerator.is_main_process:
        partial = folder / f"{PARTIAL}{os.getpid()}"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            _write(partial, plan, history, parts)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        own = folder / f"epoch-{len(history):04}"
        if own.exists():  # damaged, or it would be there to go on from
            shutil.rmtree(own)
        partial.rename(own)  # not flushed: were it lost, the one before would be there
        tidy(folder)
    accelerator.wait_for_everyone()


def tidy(folder: Path) -> None:
    """Remove all but the newest checkpoints, and what is left of those that were being removed."""
    for old in _numbered(folder)[:-KEPT]:
        shutil.rmtree(old)


def _write(
    folder: Path, plan: Plan, history: list[dict[str, Any]], parts: Mapping[str, Stateful]
) -> None:
    states = {name: part.state_dict() for name, part in parts.items()}
    try:
        torch.save(states, folder / STATES)
    except RuntimeError as error:  # so PyTorch says that the disk is full
        reason = "PyTorch could not write all of it"
        raise OSError(errno.EIO, reason, str(folder / STATES)) from error
    progress = {"format": FORMAT, **vars(plan), "history": history}
    (folder / PROGRESS).write_text(json.dumps(progress))
    for name in (STATES, PROGRESS):
        flush(folder / name)
    sums.seal(folder, (STATES, PROGRESS))  # flushes the folder as well


def latest(folder: Path) -> Path | None:
    """The newest whole checkpoint of a phase, if it has one; those that are damaged are named.

    Raises:
        InputError: all that there are are damaged.
    """
    numbered = _numbered(folder)
    for checkpoint in reversed(numbered):
        known = sums.listed(checkpoint)
        if known is None and (checkpoint / PROGRESS).is_file():
            _log.warning("the checkpoint '%s' %s", checkpoint, sums.UNLISTED)
            return checkpoint
        faults = sums.faults(checkpoint)
        if known and not faults:
            return checkpoint
        what = ", ".join(f"'{name}' {why}" for name, why in faults.items()) or "it is not whole"
        if checkpoint == numbered[0]:
            raise InputError(
                f"the checkpoint '{checkpoint}' is damaged ({what}), and there is none before it: "
                "remove it to start this phase again, or choose another --out"
            )
        _log.warning(
            "the checkpoint '%s' is damaged (%s): going on from the one before", checkpoint, what
        )
    return None


def load(checkpoint: Path, plan: Plan, parts: Mapping[str, Stateful]) -> list[dict[str, Any]]:
    """Restore the states of ``parts``; the history of the epochs done.

    Raises:
        InputError: the checkpoint cannot be read, or belongs to another training.
    """
    try:
        content = read_json(checkpoint / PROGRESS, "manifest of a checkpoint")
        held = record(_Held, content, f"'{checkpoint / PROGRESS}'", extra=True)
    except InputError as error:
        raise _unreadable(checkpoint, error) from None
    for name, wanted in vars(plan).items():
        if getattr(held, name) != wanted:
            raise InputError(
                f"the checkpoint '{checkpoint}' was written with {name.replace('_', ' ')} "
                f"{getattr(held, name)}, not {wanted}: choose another --out, or continue with the "
                "same options"
            )
    try:
        states = torch.load(checkpoint / STATES, map_location="cpu", weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(states[name])
    except Exception as error:  # whatever pickle and load_state_dict may raise
        raise _unreadable(checkpoint, error) from None
    return held.history


def _unreadable(checkpoint: Path, error: Exception) -> InputError:
    return InputError(
        f"the checkpoint '{checkpoint}' is damaged or of another net ({first_line(error)}): "
        "remove it to start this phase again, or choose another --out"
    )


def _numbered(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    found = [p for p in folder.iterdir() if re.fullmatch(r"epoch-\d+", p.name)]
    return sorted(found, key=_number)


def _number(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("epoch-"))
