"""Programs of ``torch.export``: files that PyTorch runs without the net's own code."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .form import NAME, Form, exporting, program, without_traces

__all__ = ["read_program", "write_program"]


def write_program(net: nn.Module, form: Form, path: Path) -> None:
    """Write a net that is in evaluation mode, on the CPU.

    Raises:
        InputError: PyTorch cannot follow the net.
    """
    followed = without_traces(program(net, form))
    with exporting("torch.export"):
        torch.export.save(followed, path, extra_files={f"{NAME}.json": form.text()})


def read_program(path: Path) -> Callable[..., Any]:
    """The function in a file that was just written here; never one of a stranger's.

    It is not told apart here whether its content is data alone.
    """
    return torch.export.load(path).module()
