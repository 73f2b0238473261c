"""Files are known again: ``SHA256SUMS`` in a folder says what each of its files was when written.

The form is that of coreutils: ``sha256sum --check SHA256SUMS`` says the same. Run directories,
model folders and checkpoints have one, written last. Whoever reads a file that it lists finds out
whether that is what was written. A folder without one is of an earlier version, and is read as it
is.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .errors import InputError
from .whole import write_whole

__all__ = [
    "NAME",
    "UNLISTED",
    "check",
    "damage",
    "digest_of",
    "fault",
    "faults",
    "holds",
    "listed",
    "seal",
    "signed",
    "unseal",
    "unsigned",
]

NAME = "SHA256SUMS"
UNLISTED = f"has no {NAME}, as an earlier version left it: its files cannot be checked"
HEAD = "# torch-tas, files: "
LINE = r"([0-9a-f]{64})  ([^/\n]+)"
MOST_BYTES = 2**20  # of a list
AT_ONCE_BYTES = 2**20
FIELD = "sha256"  # of a line that has a sum of its own


def digest_of(content: bytes | str | Path) -> str:
    """SHA-256, in hexadecimal, of a text, of bytes, or of the file at a path."""
    if not isinstance(content, Path):
        return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()
    digest = hashlib.sha256()
    with content.open("rb") as file:
        while part := file.read(AT_ONCE_BYTES):
            digest.update(part)
    return digest.hexdigest()


def seal(folder: Path, names: Iterable[str], coming: Mapping[str, str] | None = None) -> None:
    """Write down what these files of a folder are, those of them that are there.

    >>> from pathlib import Path
    >>> from tas.sums import faults, seal
    >>> Path("mine").mkdir()
    >>> _ = Path("mine/a.txt").write_text("all of it")
    >>> seal(Path("mine"), ["a.txt"])
    >>> faults(Path("mine"))
    {}
    >>> _ = Path("mine/a.txt").write_text("All of it")
    >>> faults(Path("mine"))
    {'a.txt': 'is damaged'}

    Args:
        coming: the texts of files that will be written next.
    """
    sums = {name: digest_of(folder / name) for name in names if (folder / name).is_file()}
    sums |= {name: digest_of(text) for name, text in (coming or {}).items()}
    lines = [f"{HEAD}{len(sums)}", *(f"{sums[name]}  {name}" for name in sorted(sums))]
    content = "\n".join(lines) + "\n"
    if not holds(folder / NAME, content):
        write_whole(folder / NAME, content)


def unseal(folder: Path) -> None:
    """Before a listed file is replaced by another: what is known of the folder is taken back."""
    (folder / NAME).unlink(missing_ok=True)


def listed(folder: Path) -> dict[str, str] | None:
    """The sums of a folder's files by their names; None where there are none of ours.

    A list that is damaged itself has the sum of no file under the name of each that it shows.
    """
    try:
        with (folder / NAME).open("rb") as file:
            text = file.read(MOST_BYTES).decode("ascii", errors="replace")
    except OSError:
        return None
    head, *lines = text.splitlines() or [""]
    if not head.startswith("# torch-tas"):
        return None
    found = [re.fullmatch(LINE, line) for line in lines]
    if head != f"{HEAD}{len(lines)}" or None in found or not text.endswith("\n"):
        return {NAME: "", **{line[66:]: "" for line in lines if line[66:]}}
    return {each[2]: each[1] for each in found if each}


def fault(path: str | Path, content: bytes | None = None) -> str | None:
    """What is wrong with a file, in words; None where it is what was written or is not listed.

    Args:
        content: of the file, where it was read already.
    """
    path = Path(path)
    sums = listed(path.parent)
    if sums is None or path.name not in sums:
        return None
    if not path.is_file():
        return "is not a file" if os.path.lexists(path) else "is missing"
    try:
        found = digest_of(path if content is None else content)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if found == sums[path.name]:
        return None
    return "is damaged" if sums[path.name] else f"cannot be checked: {NAME} is damaged"


def damage(path: str | Path, content: bytes | None = None) -> str | None:
    """``fault`` as the message of an error, with what to do."""
    why = fault(path, content)
    return why and (
        f"'{path}' {why}, says {NAME} beside it: restore it; once it is removed, "
        f"the command of a run makes it again; if you changed it, remove {NAME}"
    )


def check(*paths: Path) -> None:
    """Refuse files that are not what was written.

    Raises:
        InputError: one of them is damaged or missing.
    """
    for path in paths:
        if why := damage(path):
            raise InputError(why)


def faults(folder: Path, names: Iterable[str] | None = None) -> dict[str, str]:
    """What is wrong with the files of a folder, or with some of them, by their names."""
    known = listed(folder) or {}
    asked = known if names is None else names
    return {name: why for name in asked if (why := fault(folder / name))}


def signed(content: Mapping[str, Any]) -> str:
    """A line of JSON that is known again by itself, of a file that is written line by line.

    >>> from tas.sums import signed
    >>> signed({"epoch": 1})
    '{"epoch": 1, "sha256": "becef8ff3d5edb2b"}\\n'
    """
    return json.dumps({**content, FIELD: _sum(content)}) + "\n"


def unsigned(content: dict[str, Any]) -> bool:
    """Take the sum out of what such a line holds; whether it is what was written.

    Earlier versions left lines without.
    """
    return FIELD not in content or content.pop(FIELD) == _sum(content)


def _sum(content: Mapping[str, Any]) -> str:
    return digest_of(json.dumps(content))[:16]


def holds(path: Path, content: str) -> bool:
    """Whether a file has just this text."""
    try:
        return path.read_bytes() == content.encode()
    except OSError:
        return False
