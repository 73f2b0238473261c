"""For the documentation site: what lies outside of ``docs/`` is named there, and not linked."""

import re
from pathlib import Path
from typing import Any

LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)#\s:]+)(#[^)\s]*)?\)")


def on_page_markdown(markdown: str, page: Any, config: Any, **kwargs: Any) -> str:
    """The text of a page, with the names of files of the repository in the place of links."""
    docs, here = Path(config.docs_dir), Path(page.file.abs_src_path).parent

    def mended(found: re.Match[str]) -> str:
        target = (here / found[2]).resolve()
        if target.is_relative_to(docs) and target.suffix != ".py":  # which the site leaves out
            return found[0]
        name = str(target.relative_to(docs.parent))
        text = found[1].strip("`")
        return f"`{name}`" if text in name else f"{found[1]} (`{name}`)"

    return LINK.sub(mended, markdown)
