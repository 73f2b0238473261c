"""Figures within a page: SVG whose colours follow the page, in the light and in the dark."""

import re
from pathlib import Path

from markupsafe import Markup

from .canvas import GREY, INK, PALE

__all__ = ["inline"]

# Colours of the figures that are no data, and the page's own.
THEME = {
    INK: "var(--ink)",
    GREY: "var(--soft)",
    PALE: "var(--pale)",
    "#ffffff": "var(--paper)",
    "#e8e8e8": "var(--line)",
    "#f2f4f7": "var(--panel)",
}


def inline(path: str | Path, says: str, kind: str) -> Markup:
    """The SVG of a figure as an element of a page.

    Args:
        path: a file of ``canvas``.
        says: what it shows, for those who cannot see it.
        kind: its class, ``wide`` or ``narrow``.
    """
    text = Path(path).read_text(encoding="utf-8")
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg ") :], flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    # Within one page no two things have one name.
    text = re.sub(r'((?:id=|href=|url\()"?#?)', rf"\g<1>{Path(path).stem}-", text)
    for color, own in THEME.items():
        text = re.sub(re.escape(color), own, text, flags=re.IGNORECASE)
    head, rest = text.split(">", 1)
    box = re.search(r'viewBox="[^"]*"', head)
    assert box is not None
    about = f'class="{kind}" role="img" aria-label="{Markup.escape(says)}"'
    return Markup(f'<svg xmlns="http://www.w3.org/2000/svg" {box[0]} {about}>{rest}')
