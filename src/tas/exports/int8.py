"""INT8: an exported ONNX file, quantised by ONNX Runtime's own quantiser.

Weights become int8, one scale per channel; what lies between layers becomes uint8, with the range
that it has on some training pictures. A pair of QuantizeLinear and DequantizeLinear says so around
every operator (QDQ), and the runtime computes in whole numbers where it can. What it has no
operator for stays in float32.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from ..whole import scratch
from .form import Form, exporting
from .onnx_file import check_packages, sign

__all__ = ["write_int8"]

BATCH = 32
BY = "ONNX Runtime's quantiser"
# Pixels and probabilities stay as they are; a softmax has most of its values next to 0.
PREPARING, NEVER = ("Cast", "Sub", "Mul"), ("Softmax", "LogSoftmax")


def write_int8(source: Path, path: Path, form: Form, pixels: Tensor) -> None:
    """Write an ONNX file of ``write_onnx`` in INT8.

    Args:
        source, path: the file that is there, and the one to write.
        form: of both.
        pixels: pictures to train on, uint8 [N, C, H, W], by which ranges are measured.

    Raises:
        InputError: the quantiser fails, or knows none of the net's operators.
    """
    check_packages()
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization import registry

    kinds = {*registry.QLinearOpsRegistry, *registry.QDQRegistry} - {*NEVER}
    with scratch(path.parent) as home, exporting(BY, "quantise"), _silent():
        ready, made = home / "ready.onnx", home / "made.onnx"
        quantization.quant_pre_process(source, ready)
        quantization.quantize_static(
            ready,
            made,
            _reader(form, pixels),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            # Of the pairs that x86 has instructions for this is the fast one.
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            op_types_to_quantize=sorted(kinds),
            nodes_to_exclude=_preparing(onnx.load(ready).graph),
        )
        model = onnx.load(made)
    if not any(node.op_type == "QuantizeLinear" for node in model.graph.node):
        found = ", ".join(sorted({node.op_type for node in model.graph.node})[:5])
        raise InputError(f"{BY} has a way for none of the net's operators ({found}, ...)")
    sign(model, form)
    path.write_bytes(model.SerializeToString())


def _preparing(graph: Any) -> list[str]:
    """The nodes between the pictures and the first layer, which normalise bytes."""
    name = graph.input[0].name
    found: list[str] = []
    while True:
        readers = [node for node in graph.node if name in node.input]
        if len(readers) != 1 or readers[0].op_type not in PREPARING:
            return found
        found.append(readers[0].name)
        name = readers[0].output[0]


def _reader(form: Form, pixels: Tensor) -> Any:
    """Batches of pictures, as the quantiser asks for them."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.batches = iter(torch.split(pixels, BATCH))

        def get_next(self) -> dict[str, Any] | None:
            batch = next(self.batches, None)
            return None if batch is None else {"pictures": form.given(batch).numpy()}

    return Reader()


@contextmanager
def _silent() -> Iterator[None]:
    """The quantiser gives advice through the root logger."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
