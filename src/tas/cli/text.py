"""Text from files on its way to a terminal: it may hold anything, and is to do nothing."""

import sys

from ..errors import shown

__all__ = ["put", "shown"]


def put(line: str) -> None:
    """Print a line; what the terminal's encoding lacks is spelt out as well."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(line.encode(encoding, "backslashreplace").decode(encoding))
