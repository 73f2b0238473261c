"""``tas export``: ``tas.export``, and what the check said."""

import tempfile

from ..api.export import export_model
from ..api.int8 import Int8
from ..model_options import ExportOptions
from ..whole import scratch
from .show import print_table
from .text import put, shown

__all__ = ["main"]


def main(options: ExportOptions) -> None:
    with scratch() as home:
        tempfile.tempdir = str(home)  # what exporters put aside is swept as well
        try:
            done = export_model(options)
        finally:
            tempfile.tempdir = None
    size = done.path.stat().st_size / 1e6
    norms = f", {done.folded} of {done.norms} BatchNorms folded" if done.norms else ""
    put(f"wrote {shown(str(done.path))}: {size:.2f} MB{norms}")
    apart = done.difference
    put(
        f"checked against PyTorch on {apart.pictures} {shown(done.checked_on)}: largest difference "
        f"{apart.largest:.2g}, {100 * apart.equal:.1f} % equal answers"
    )
    if done.int8 is not None:
        _print(done.int8)


def _print(int8: Int8) -> None:
    """What INT8 comes to, beside float32."""
    header = ["net", "accuracy (%)", "as float32 (%)", "ms of 1", "ms of 64", "MB"]
    body = [
        [
            row.name,
            "-" if row.accuracy is None else f"{row.accuracy:.2f}",
            f"{100 * row.equal:.2f}",
            f"{row.ms:.3g}",
            f"{row.ms_batch:.3g}",
            f"{row.megabytes:.2f}",
        ]
        for row in int8.rows
    ]
    print_table(header, body)
    put(f"tested on {shown(int8.tested_on)}, by ONNX Runtime on one core, 1 or 64 at once")
    put(f"calibrated on {shown(int8.calibrated_on)}")
    if int8.lost is not None:
        put(f"INT8 changes the accuracy by {0 - int8.lost:+.2f} points")
    if int8.warning:
        put(f"warning: {int8.warning}")
