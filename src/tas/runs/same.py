"""Whether the run in a directory is the one that is asked for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError, flag

__all__ = ["check_same"]


def check_same(path: Path, recorded: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Refuse another run's directory, and name the first option that differs."""
    old, new = _flat(recorded), _flat(wanted)
    for name in [*new, *old]:
        if name in old and name in new and old[name] == new[name]:
            continue
        if old.get(name) is None:  # not there, or not given
            differs = f"without {flag(name)}, not with {new[name]}"
        elif new.get(name) is None:
            differs = f"with {flag(name)} {old[name]}, not without it"
        else:
            differs = f"with {flag(name)} {old[name]}, not {new[name]}"
        raise InputError(f"--out {path} holds a run {differs}: choose another --out")


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
