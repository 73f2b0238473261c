"""From trained weights to smaller nets: which channels stay, and how they make up for the rest."""

from .source import Pictures, Source

__all__ = ["Pictures", "Source"]
