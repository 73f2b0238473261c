"""Ctrl-C before anything is begun: while modules are imported it ends the command at once.

Python's own way would end in a traceback, or in whatever an imported module makes of it.
"""

import os
import signal
from typing import Any

__all__ = ["end_at_once", "raise_again"]


def end_at_once() -> None:
    """From here on Ctrl-C ends the command; a shell may have told it not to hear Ctrl-C at all."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _stop)


def raise_again() -> None:
    """From here on it is an exception: there is something to be put in order."""
    if signal.getsignal(signal.SIGINT) is _stop:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _stop(*_: Any) -> None:
    os.write(2, b"interrupted\n")
    os._exit(130)
