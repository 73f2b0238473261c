"""Files that appear whole or not at all."""

import os
from pathlib import Path

__all__ = ["write_whole"]


def write_whole(path: Path, text: str) -> None:
    """Write a text file under another name, then rename it.

    >>> from pathlib import Path
    >>> from tas.runs import write_whole
    >>> write_whole(Path("note.txt"), "all of it")
    >>> Path("note.txt").read_text()
    'all of it'
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)
