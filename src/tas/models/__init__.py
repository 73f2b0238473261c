"""Models on disk: a folder that stands for itself, saved, described and loaded.

``load`` imports nothing of the search, and nothing that reads pictures before a folder is loaded: a
net that was found is deployed with the plain nets alone.
"""

from typing import TYPE_CHECKING

from ..lazy import lazy

__all__ = ["ModelFolder", "card", "load", "push_to_hub", "save"]

if TYPE_CHECKING:
    from .cards import card
    from .folder import ModelFolder
    from .hub import push_to_hub
    from .loading import load
    from .saving import save

__getattr__, __dir__ = lazy(
    __name__,
    {
        "ModelFolder": "folder",
        "card": "cards",
        "load": "loading",
        "push_to_hub": "hub",
        "save": "saving",
    },
)
