"""INT8 beside float32, for a net and the unpruned one: what it costs, what it gives."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from ..exports import Form, OnnxNet, folded, write_int8, write_onnx
from ..timing import timed
from ..timing.rounds import stopwatch
from .export_pictures import ExportPictures

__all__ = ["Int8", "Int8Row", "in_int8"]

BATCH = 64
LOST_POINTS, LEAST_EQUAL = 1.0, 0.99  # what is worth a warning


@dataclass(frozen=True)
class Int8Row:
    """One file of the comparison, run by ONNX Runtime on one core.

    Attributes:
        name: of the net, and its numbers: ``"pruned, INT8"``.
        accuracy: percent of the test pictures; None where there are none.
        equal: share of the answers that are those of the same net in float32, 0 to 1.
        ms, ms_batch: median milliseconds, of one picture and of a batch of 64.
        megabytes: of the file.
    """

    name: str
    accuracy: float | None
    equal: float
    ms: float
    ms_batch: float
    megabytes: float


@dataclass(frozen=True)
class Int8:
    """What INT8 comes to; ``tas.export(..., int8=True)`` returns it with the file.

    Attributes:
        rows: float32 and INT8 of the net, and of the unpruned one where its weights are at hand.
        calibrated_on, tested_on: which pictures, in words.
        lost: points of accuracy that the net loses; None where there are no test pictures.
        warning: what a user must know before the file is used; empty where all is well.
    """

    rows: tuple[Int8Row, ...]
    calibrated_on: str
    tested_on: str
    lost: float | None
    warning: str


def in_int8(
    form: Form,
    source: Path,
    path: Path,
    calibration: tuple[Tensor, str],
    pictures: ExportPictures,
    unpruned: Callable[[], nn.Module | None],
) -> Int8:
    """Write ``path``, the INT8 of the file ``source``, and compare.

    Args:
        form: of both.
        calibration: pictures, uint8 [N, C, H, W], and which these are, in words.
        pictures: to test on.
        unpruned: gives the net before it was pruned, if that is known; it is called once the net
            itself is written.
    """
    pixels, calibrated_on = calibration
    write_int8(source, path, form, pixels)
    files = {"": (source, path)}
    if (net := unpruned()) is not None:
        home = source.parent
        whole = home / "unpruned.onnx", home / "unpruned.int8.onnx"
        write_onnx(folded(net, form.transform.input).net, form, whole[0])
        write_int8(whole[0], whole[1], form, pixels)
        files = {"unpruned, ": whole, "pruned, ": files[""]}
    tested = pictures.to_test()
    if tested is None:
        shown, labels, tested_on = pixels, None, f"{len(pixels)} {calibrated_on}, as calibrated"
    else:
        assert pictures.data is not None
        shown, labels = tested.pixels, tested.labels if pictures.data.labelled else None
        tested_on = f"{len(shown):,} test pictures of {pictures.data.name}"
    rows = _rows(files, shown, labels)
    lost = None
    if rows[-1].accuracy is not None and rows[-2].accuracy is not None:
        lost = rows[-2].accuracy - rows[-1].accuracy
    about = f"{len(pixels)} {calibrated_on}"
    return Int8(rows, about, tested_on, lost, _warning(lost, rows[-1].equal))


def _rows(
    files: dict[str, tuple[Path, Path]], pixels: Tensor, labels: Tensor | None
) -> tuple[Int8Row, ...]:
    """Two for each net: float32, then INT8."""
    names = [f"{of}{kind}" for of in files for kind in ("float32", "INT8")]
    paths = [path for pair in files.values() for path in pair]
    nets = [OnnxNet(path, threads=1) for path in paths]
    answers = [_answers(net, pixels) for net in nets]
    one, batch = _milliseconds(nets, pixels[:1]), _milliseconds(nets, pixels[:BATCH])
    return tuple(
        Int8Row(
            name=name,
            accuracy=None if labels is None else 100 * _share(answers[i], labels),
            equal=_share(answers[i], answers[i - i % 2]),
            ms=one[i],
            ms_batch=batch[i],
            megabytes=paths[i].stat().st_size / 1e6,
        )
        for i, name in enumerate(names)
    )


def _answers(net: OnnxNet, pixels: Tensor) -> Tensor:
    """int64 [N]: the class of each picture."""
    return torch.cat([net(net.form.given(batch)).argmax(1) for batch in torch.split(pixels, BATCH)])


def _milliseconds(nets: list[OnnxNet], pixels: Tensor) -> list[float]:
    """Of a call of each, measured in turns."""
    given = nets[0].form.given(pixels)
    return [each.ms for each in timed([stopwatch(partial(net, given)) for net in nets])]


def _share(answers: Tensor, others: Tensor) -> float:
    return float((answers == others).double().mean())


def _warning(lost: float | None, equal: float) -> str:
    if lost is not None and lost > LOST_POINTS:
        return (
            f"INT8 loses {lost:.2f} points of accuracy: use the float32 file, or calibrate on "
            "other pictures (--calibrate)"
        )
    if lost is None and equal < LEAST_EQUAL:
        return (
            f"INT8 answers differently for {100 * (1 - equal):.1f} % of the pictures: give --data "
            "to learn what that costs"
        )
    return ""
