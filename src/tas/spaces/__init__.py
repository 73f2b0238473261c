"""Spaces: what can be searched in a net."""

from .resnet import (
    FINE_RATIOS,
    RATIOS,
    WHAT,
    WIDE_RATIOS,
    depth_candidates,
    resnet_space,
    rounding,
    step,
    width_candidates,
)
from .trace import TracedSpace, trace

__all__ = [
    "FINE_RATIOS",
    "RATIOS",
    "WHAT",
    "WIDE_RATIOS",
    "TracedSpace",
    "depth_candidates",
    "resnet_space",
    "rounding",
    "step",
    "trace",
    "width_candidates",
]
