"""What the verbs that use a model can be told: as ``options``, one field per option. No torch."""

from dataclasses import dataclass
from typing import Literal

from .options import DATA, _Compute, _Files, _Timing, _Tracing, option, positional
from .typed import checked

__all__ = ["ExportOptions", "LatencyOptions", "PredictOptions"]


@dataclass(frozen=True)
class _OwnNet:
    """A model of your own net"""

    net: str | None = option(
        None,
        "package.module:function of yours that makes the unpruned net, for no file can have one "
        "called",
    )


@checked
@dataclass(frozen=True)
class PredictOptions(_OwnNet, _Compute):
    """Tell the classes of pictures: a line each, with name, class and probability.

    Pictures are prepared as the model's test pictures were. One that cannot be read is named on
    standard error, the rest go on, and the exit status is 1.
    """

    model: str = positional(
        "a run or model folder, user/name of a model on the Hugging Face Hub, or an .onnx file of "
        "`tas export`"
    )
    pictures: list[str] = positional(
        "files, folders (all pictures below them), patterns such as 'photos/*.png', or - for a "
        "list of them on standard input, one a line",
        many=True,
    )
    top: int = option(1, "so many classes of each picture, the most probable first")
    batch_size: int = option(256, "pictures per step")
    workers: int | None = option(None, "threads that decode (default: one per core)")
    json: bool = option(False, "print a JSON object for each picture")


@checked
@dataclass(frozen=True)
class ExportOptions(_OwnNet, _Files):
    """Write a model for other programs: one file, checked against PyTorch before it is there.

    BatchNorms are folded into convolutions where that is exact, and the number of pictures of a
    batch is free. The file says which classes its scores are of and what its pictures go through.
    """

    model: str = positional("a run or model folder, or user/name on the Hugging Face Hub")
    to: Literal["onnx", "torch-export"] = option(
        "onnx",
        "onnx: for ONNX Runtime and others, needs pip install 'torch-tas[onnx]'; torch-export: for "
        "PyTorch, without the net's own code",
    )
    out: str | None = option(
        None, "the file to write, .onnx or .pt2 (default: model.onnx or model.pt2 in MODEL)"
    )
    preprocess: bool = option(
        False, "the file takes uint8 pictures [N, C, H, W] and normalises them itself"
    )
    softmax: bool = option(False, "the file gives probabilities instead of scores")
    int8: bool = option(
        False,
        "write the ONNX file in INT8, quantised by ONNX Runtime (default file: model.int8.onnx), "
        "and print accuracy and time beside float32 and the unpruned net",
    )
    calibrate: str | None = option(
        None,
        "with --int8, a folder of pictures to measure the ranges of numbers by (default: 256 "
        "training pictures of the run)",
    )
    data: str | None = option(
        None, f"what it is checked on; {DATA} (default: that of the run, else random pictures)"
    )


@dataclass(frozen=True)
class _Runtime(_Timing):
    """How nets are run"""

    batch_size: int = option(1, "pictures of one call")
    device: str = option("cpu", "cpu, cuda, cuda:1 or mps; only torch has more than cpu")
    precision: Literal["fp32", "bf16"] = option("fp32", "fp32, or bf16 in torch and openvino")


@checked
@dataclass(frozen=True)
class LatencyOptions(_Tracing, _Runtime):
    """Measure how long a net takes, beside the unpruned net where it is a smaller one.

    Both are run in turns, so that what else the machine does meets both. A comparison is refused
    where the machine is too busy to tell. `tas latency table` measures many shapes of a net and
    writes a table, by which --budget 8ms is searched.
    """

    what: str = positional(
        "a net's name (also timm:NAME, torchvision:NAME, package.module:function), a shape or its "
        "file, a run or model folder, an .onnx file; or the word table"
    )
    net: str | None = option(
        None,
        "the net of the table; else a package.module:function of yours that the shape or folder "
        "names, to allow the call",
    )
    classes: int | None = option(None, "number of classes (default: what the shape says)")
    input: list[int] | None = option(
        None, "[channels, height, width] of an image (default: what the shape says)"
    )
    seconds: float = option(3.0, "to measure for, at most")
    out: str | None = option(
        None, "table: the file to write; the same command goes on in it where it was interrupted"
    )
    minutes: float = option(10.0, "table: to measure for, at most")
    nets: int = option(100, "table: shapes to measure; every third one tests the table")
    json: bool = option(False, "print a JSON object")
