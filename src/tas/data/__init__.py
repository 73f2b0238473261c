"""Data sets as tensors: named sets and folders of images, splits, and batches on the device."""

from .batching import batches
from .parts import NAMES, Data, Files, Images, Part, Pictures
from .schedule import Augment, Batches
from .sources import load
from .split import Split, read_split, search_split, stratified_split, write_split
from .transform import Transform, Vary

__all__ = [
    "NAMES",
    "Augment",
    "Batches",
    "Data",
    "Files",
    "Images",
    "Part",
    "Pictures",
    "Split",
    "Transform",
    "Vary",
    "batches",
    "load",
    "read_split",
    "search_split",
    "stratified_split",
    "write_split",
]
