"""A net alone as ONNX, to be run and thrown away: what a time needs, and no more."""

import copy
import io

import torch
from torch import Tensor, nn

from ..forward import evaluating
from .fold import folded
from .form import exporting

__all__ = ["onnx_bytes"]


def onnx_bytes(net: nn.Module, batch: Tensor) -> bytes:
    """An ONNX model of a net for batches of one size [N, C, H, W], BatchNorms folded.

    It comes from the exporter that reads traces, in a tenth of the time that the one of
    ``write_onnx`` takes; ONNX Runtime runs both equally fast (measured on six nets, within 1.5 %).
    What the one has no way for, the other is asked.

    Raises:
        InputError: a package is missing, or no exporter has a way for the net.
    """
    small = folded(copy.deepcopy(net), tuple(batch.shape[1:])).net
    with exporting("torch.onnx"), evaluating(small), torch.no_grad():
        try:
            file = io.BytesIO()
            torch.onnx.export(small, (batch,), file, dynamo=False)  # type: ignore[arg-type]
            return file.getvalue()
        except Exception:  # of its own classes
            program = torch.export.export(small, (batch,), strict=False)
            made = torch.onnx.export(program, dynamo=True, verbose=False)
            assert made is not None
            return bytes(made.model_proto.SerializeToString())
