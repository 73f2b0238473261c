"""What an exported file takes and gives, and what it says of itself."""

import json
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..data import Transform
from ..errors import InputError, TasError, first_line, quoted
from ..forward import evaluating
from ..reading import parse_json
from ..typed import record

__all__ = ["NAME", "Form", "exporting", "program", "without_traces"]

FORMAT = "tas-export/1"
NAME = "tas"  # under which a file holds it, as JSON


@dataclass(frozen=True)
class Form:
    """What an exported net takes and gives.

    Attributes:
        transform: of its pictures.
        classes: names, in the order of its scores.
        preprocess: it takes uint8 [N, C, H, W] and normalises it; else float32, normalised.
        softmax: it gives probabilities; else scores, before the softmax.
        provenance: where the weights come from.
    """

    transform: Transform
    classes: tuple[str, ...]
    preprocess: bool
    softmax: bool
    provenance: Mapping[str, Any]

    def text(self) -> str:
        """What a file holds: JSON."""
        content = {
            "format": FORMAT,
            "transform": self.transform.to_dict(),
            "classes": list(self.classes),
            "preprocess": self.preprocess,
            "softmax": self.softmax,
            "provenance": dict(self.provenance),
        }
        return json.dumps(content)

    @classmethod
    def of_text(cls, text: str | None, path: str) -> "Form":
        """What ``text`` wrote. Raises ``InputError`` where it is anything else."""
        if text is None:
            raise InputError(
                f"'{path}' does not say what its pictures go through: give a file of `tas export`"
            )
        source = f"what '{path}' says of itself"
        content = parse_json(text, source)
        found = content.get("format") if isinstance(content, dict) else None
        if found != FORMAT:
            raise InputError(
                f"'{path}' says that it is a {quoted(found)}, not a '{FORMAT}': it is of another "
                "version of torch-tas"
            )
        held = record(_Held, content, f"{source} is damaged", extra=True)
        try:
            transform = Transform.from_dict(held.transform)
        except InputError as error:
            raise InputError(f"'{path}' cannot be used: {error}") from None
        return cls(transform, held.classes, held.preprocess, held.softmax, held.provenance)

    def given(self, pixels: Tensor) -> Tensor:
        """uint8 [N, C, H, W] as the file takes it."""
        return pixels if self.preprocess else self.transform.normalise(pixels)

    def gives(self, scores: Tensor) -> Tensor:
        """Scores [N, classes] as the file gives them."""
        return scores.softmax(1) if self.softmax else scores


@dataclass(frozen=True)
class _Held:
    """What the text holds."""

    transform: Mapping[str, Any]
    classes: tuple[str, ...]
    preprocess: bool
    softmax: bool
    provenance: Mapping[str, Any]


class _Served(nn.Module):
    """A net from what a file takes to what it gives."""

    mean: Tensor
    scale: Tensor

    def __init__(self, net: nn.Module, form: Form) -> None:
        super().__init__()
        self.net, self.form = net, form
        mean, scale = form.transform.affine("cpu")
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)

    def forward(self, pictures: Tensor) -> Tensor:  # [N, C, H, W] -> [N, classes]
        if self.form.preprocess:
            pictures = (pictures.to(torch.float32) - self.mean) * self.scale
        return self.form.gives(self.net(pictures))


def program(net: nn.Module, form: Form) -> torch.export.ExportedProgram:
    """The graph of a net in evaluation mode, on the CPU, for any number of pictures.

    Raises:
        InputError: PyTorch cannot follow the net.
    """
    served = _Served(net, form).eval()
    kind = torch.uint8 if form.preprocess else torch.float32
    pictures = torch.zeros(2, *form.transform.input, dtype=kind)
    with exporting("torch.export"), evaluating(served), torch.no_grad():
        return torch.export.export(
            served,
            (pictures,),
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            strict=False,
        )


def without_traces(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """The same without what names files of the machine that it was made on."""
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
            node.meta.pop("stack_trace", None)
    return program


@contextmanager
def exporting(by: str, does: str = "export") -> Iterator[None]:
    """Turns whatever an exporter raises into one line, and keeps to itself what else it says."""
    try:
        with warnings.catch_warnings(), _unread():
            warnings.simplefilter("ignore")
            yield
    except (TasError, KeyboardInterrupt, OSError):
        raise
    except Exception as error:
        raise InputError(f"{by} cannot {does} the net: {_reason(error)}") from error


@contextmanager
def _unread() -> Iterator[None]:
    """Throws away what is said on standard output and error, by Python and by what it calls: graphs
    of a thousand lines, where an exporter fails."""
    kept: dict[int, int] = {}
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        try:
            for stream in (1, 2):
                with suppress(OSError):  # it is closed
                    kept[stream] = os.dup(stream)
                    os.dup2(nowhere.fileno(), stream)
            yield
        finally:
            for stream, before in kept.items():
                os.dup2(before, stream)
                os.close(before)


def _reason(error: BaseException) -> str:
    """What failed, with the operator if one is named."""
    chain: list[BaseException] = []
    at: BaseException | None = error
    while at is not None and at not in chain:
        chain.append(at)
        at = at.__cause__ or at.__context__
    told = "\n".join(str(each) for each in chain)
    if "batch" in told and re.search(r"specialized|Constraints violated", told):
        return "its code takes the number of pictures of a batch for a constant"
    if "data-dependent" in told:
        return (
            "what it does depends on numbers that it computes: return by forward= what comes "
            "before that, such as all boxes and their scores"
        )
    patterns = (
        r"No ONNX function found for <OpOverload\(op='([\w.]+)'",
        r"OpOverload\(op='([\w.]+)'",
        r"\b((?:aten|torchvision)(?:\.|::)\w+)",
    )
    operator = next((found[1] for p in patterns if (found := re.search(p, told))), None)
    why = first_line(chain[-1] if isinstance(chain[-1], Exception) else Exception(told))[:160]
    return f"it has no way for the operator '{operator}' ({why})" if operator else why
