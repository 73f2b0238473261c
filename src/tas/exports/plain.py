"""A net alone as ONNX, to be run and thrown away: what a time needs, and no more."""

import io
from typing import Any

import torch
from torch import Tensor, nn

from ..forward import Example, call, evaluating
from .fold import folded
from .form import exporting
from .tensors import OfTensors, tensors_in

__all__ = ["onnx_bytes"]


def onnx_bytes(net: nn.Module, example: Example) -> bytes:
    """An ONNX model of a net for batches of one size, BatchNorms folded.

    It comes from the exporter that reads traces, in a tenth of the time that the one of
    ``write_onnx`` takes; ONNX Runtime runs both equally fast (measured on six nets, within 1.5 %).
    What the one has no way for, the other is asked.

    Args:
        example: floats of 32 bits, on the CPU, as the net is in the file.

    Raises:
        InputError: a package is missing, or no exporter has a way for the net.
    """
    small = folded(net, example).net.float()
    given = tensors_in(example)
    plain = example.forward is call and isinstance(example.batch, Tensor)
    made = small if plain else OfTensors(small, example)
    with exporting("torch.onnx"), evaluating(small), torch.no_grad():
        example.answer(small)
        how: dict[str, Any] = {"input_names": [*given]}
        try:
            file = io.BytesIO()
            torch.onnx.export(made, (*given.values(),), file, dynamo=False, **how)  # type: ignore[arg-type]
            return file.getvalue()
        except Exception:  # of its own classes
            program = torch.export.export(made, (*given.values(),), strict=False)
            written = torch.onnx.export(program, dynamo=True, verbose=False, **how)
            assert written is not None
            return bytes(written.model_proto.SerializeToString())
