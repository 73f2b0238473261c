"""``tas report``: the figures and the page of a run, drawn again."""

from ..report import html
from .options import ReportOptions

__all__ = ["main"]


def main(options: ReportOptions) -> None:
    print(html(options.run))
