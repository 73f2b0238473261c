"""A checkpoint per epoch: the states of what is trained, and the history up to there as JSON.

``<folder>/epoch-0007`` appears whole by a rename; only then is its predecessor removed. What is
read back are tensors (``weights_only=True``) and JSON, never code. Nothing in it depends on the
number of processes, so that a training may go on with another: gradients are averages over the
global batch, and all that is random follows from the seed and the epoch.
"""

import errno
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator

from ..errors import InputError, first_line
from ..reading import read_json
from ..typed import record

__all__ = ["Plan", "Stateful", "latest", "load", "save"]

FORMAT = "tas-checkpoint/1"
MANIFEST = "progress.json"
STATES = "states.pt"


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
        partial = folder / "partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        states = {name: part.state_dict() for name, part in parts.items()}
        try:
            torch.save(states, partial / STATES)
        except RuntimeError as error:  # so PyTorch says that the disk is full
            reason = "PyTorch could not write all of it"
            raise OSError(errno.EIO, reason, str(partial / STATES)) from error
        manifest = {"format": FORMAT, **vars(plan), "history": history}
        (partial / MANIFEST).write_text(json.dumps(manifest))
        before = _numbered(folder)
        partial.rename(folder / f"epoch-{len(history):04}")
        for old in before:
            shutil.rmtree(old)
    accelerator.wait_for_everyone()


def latest(folder: Path) -> Path | None:
    """The newest complete checkpoint of a phase, if it has one."""
    return max(_numbered(folder), key=_number, default=None)


def load(checkpoint: Path, plan: Plan, parts: Mapping[str, Stateful]) -> list[dict[str, Any]]:
    """Restore the states of ``parts``; the history of the epochs done.

    Raises:
        InputError: the checkpoint cannot be read, or belongs to another training.
    """
    try:
        content = read_json(checkpoint / MANIFEST, "manifest of a checkpoint")
        held = record(_Held, content, f"'{checkpoint / MANIFEST}'", extra=True)
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
    return [p for p in folder.iterdir() if re.fullmatch(r"epoch-\d+", p.name)]


def _number(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("epoch-"))
