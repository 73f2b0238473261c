"""Text from files on its way to a terminal: it may hold anything, and is to do nothing."""

import sys

__all__ = ["put", "shown"]


def shown(text: str) -> str:
    """A name as one word of a line: what does not print (colours, tabs, line ends) is spelt out.

    >>> from tas.cli.text import shown
    >>> shown("a\\tb\\x1b[31m")
    'a\\\\tb\\\\x1b[31m'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def put(line: str) -> None:
    """Print a line; what the terminal's encoding lacks is spelt out as well."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(line.encode(encoding, "backslashreplace").decode(encoding))
