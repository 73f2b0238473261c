"""For the documentation site: examples of docstrings are shown as code."""

import re
from typing import Any

import griffe


class Doctests(griffe.Extension):
    """Puts a fence around every example."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            found = obj.docstring.value
            obj.docstring.value = re.sub(
                r"^>>> .*?(?=\n\s*\n|\Z)", r"```pycon\n\g<0>\n```", found, flags=re.M | re.S
            )
