"""ONNX files: written from a net, and run by ONNX Runtime."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..checks import known
from ..errors import InputError, first_line
from ..version import __version__
from .form import NAME, Form, exporting, program

__all__ = ["OnnxNet", "check_packages", "run_onnx", "write_graph", "write_onnx"]

EXTRA = "onnx"
PRODUCER = "torch-tas"


def check_packages() -> None:
    """Raise ``InputError`` where a package is missing that writes and checks ONNX files."""
    known({"onnx": "onnx", "onnxscript": "onnxscript", "onnxruntime": "onnxruntime"}, EXTRA)


def write_onnx(net: nn.Module, form: Form, path: Path) -> None:
    """Write a net that is in evaluation mode, on the CPU.

    Raises:
        InputError: a package is missing, or the exporter has no way for an operator.
    """
    check_packages()
    output = "probabilities" if form.softmax else "scores"
    write_graph(program(net, form), ["pictures"], [output], path, form)


def write_graph(
    followed: torch.export.ExportedProgram,
    inputs: Sequence[str],
    outputs: Sequence[str],
    path: Path,
    form: Form | None = None,
) -> None:
    """Write what ``torch.export`` followed, with names for what it takes and gives.

    Raises:
        InputError: the exporter has no way for an operator.
    """
    names = {"input_names": [*inputs], "output_names": [*outputs]}
    with exporting("torch.onnx"), torch.no_grad():
        try:
            model = _translated(followed, names)
        except Exception:  # of its own classes: what it has no way for whole, it may have in parts
            model = _translated(followed.run_decompositions(), names)
    _strip(model)
    _name_sizes(model)
    sign(model, form)
    path.write_bytes(model.SerializeToString())


def _translated(followed: torch.export.ExportedProgram, names: dict[str, Any]) -> Any:
    made = torch.onnx.export(followed, dynamo=True, verbose=False, **names)
    assert made is not None
    return made.model_proto


def sign(model: Any, form: Form | None) -> None:
    """Have a model say what it is, and nothing else."""
    del model.metadata_props[:]
    model.producer_name, model.producer_version = PRODUCER, __version__
    if form is not None:
        entry = model.metadata_props.add()
        entry.key, entry.value = NAME, form.text()


def run_onnx(path: Path, given: Mapping[str, Tensor]) -> list[Tensor]:
    """What a file that was just written gives."""
    import onnxruntime

    how = onnxruntime.SessionOptions()
    how.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), how, providers=["CPUExecutionProvider"])
    taken = {end.name: given[end.name].numpy() for end in session.get_inputs()}
    return [torch.from_numpy(x) for x in session.run(None, taken)]


def _strip(model: Any) -> None:
    """Leave out what names files of the machine that it was made on, which traces do."""
    for graph in (model.graph, *model.functions):
        del graph.metadata_props[:]
        for name in ("node", "input", "output", "initializer", "value_info"):
            for part in getattr(graph, name, ()):
                if hasattr(part, "metadata_props"):  # a function's inputs are bare names
                    del part.metadata_props[:]
                    part.ClearField("doc_string")


def _name_sizes(model: Any) -> None:
    """Call the number of examples "batch", and other free sizes "size_1" and so on; the exporter
    numbers its symbols."""
    del model.graph.value_info[:]  # shapes within, in these symbols: whoever runs it infers them
    inputs, outputs = (
        [end.type.tensor_type.shape.dim for end in ends]
        for ends in (model.graph.input, model.graph.output)
    )
    names = {dims[0].dim_param: "batch" for dims in inputs if dims}
    for dims in (*inputs, *outputs):
        for dim in dims:
            if symbol := dim.dim_param:
                others = len({*names.values()} - {"batch"})
                dim.dim_param = names.setdefault(symbol, f"size_{others + 1}")


class OnnxNet:
    """An ONNX file of ours, run by ONNX Runtime on the CPU.

    Args:
        threads: that compute; default: one per core.

    Attributes:
        form: what it takes and gives.

    Raises:
        InputError: a package is missing, or the file is none of ours.
    """

    def __init__(self, path: str | Path, threads: int | None = None) -> None:
        known({"onnxruntime": "onnxruntime"}, EXTRA)
        import onnxruntime

        if not Path(path).is_file():
            raise InputError(f"'{path}': no such file")
        onnxruntime.set_default_logger_severity(3)  # errors alone, which are raised as well
        how = onnxruntime.SessionOptions()
        how.intra_op_num_threads = threads or 0
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), how, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # of its own classes, one for each kind of fault
            raise InputError(f"'{path}' cannot be read as ONNX: {first_line(error)}") from None
        told = self._session.get_modelmeta().custom_metadata_map
        self.form = Form.of_text(told.get(NAME), str(path))
        self._name = self._session.get_inputs()[0].name

    def __call__(self, given: Tensor) -> Tensor:
        """[N, C, H, W] as ``form.given`` makes it -> what the file gives, [N, classes]."""
        return torch.from_numpy(self._session.run(None, {self._name: given.numpy()})[0])
