"""``tas report``: the figures and the page of a run, drawn again, or of several."""

from ..api import report
from ..errors import InputError
from ..options import ReportOptions
from ..report import compare

__all__ = ["main"]


def main(options: ReportOptions) -> None:
    if len(options.run) > 1:
        print(compare(options.run, options.out or "comparison.html"))
        return
    if options.out is not None:
        raise InputError(f"--out {options.out} is for several runs: that of one lies in the run")
    print(report(options.run[0]))
