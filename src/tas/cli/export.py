"""``tas export``: ``tas.export``, and what the check said."""

from ..api.export import export_model
from ..model_options import ExportOptions
from .text import put, shown

__all__ = ["main"]


def main(options: ExportOptions) -> None:
    done = export_model(options)
    size = done.path.stat().st_size / 1e6
    norms = f", {done.folded} of {done.norms} BatchNorms folded" if done.norms else ""
    put(f"wrote {shown(str(done.path))}: {size:.2f} MB{norms}")
    apart = done.difference
    put(
        f"checked against PyTorch on {apart.pictures} {shown(done.checked_on)}: largest difference "
        f"{apart.largest:.2g}, {100 * apart.equal:.1f} % equal answers"
    )
