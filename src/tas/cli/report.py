"""``tas report``: the figures and the page of a run, drawn again."""

from ..options import ReportOptions
from ..report import html

__all__ = ["main"]


def main(options: ReportOptions) -> None:
    print(html(options.run))
