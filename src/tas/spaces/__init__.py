"""Spaces: what can be searched in a net."""

from .resnet import (
    FINE_RATIOS,
    RATIOS,
    WHAT,
    WIDE_RATIOS,
    ResNetSpace,
    depth_candidates,
    resnet_space,
    width_candidates,
)
from .trace import TracedSpace, trace

__all__ = [
    "FINE_RATIOS",
    "RATIOS",
    "WHAT",
    "WIDE_RATIOS",
    "ResNetSpace",
    "TracedSpace",
    "depth_candidates",
    "resnet_space",
    "trace",
    "width_candidates",
]
