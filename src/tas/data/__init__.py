"""Data sets as tensors: named sets and folders of images, splits, and batches on the device."""

from .batching import batches
from .chosen import Chosen, chosen_pictures, read_chosen, some_pictures
from .parts import NAMES, Data, Files, Images, Part, Pictures
from .schedule import Augment, Batches
from .sources import load
from .split import Split, read_split, search_split, stratified_split, write_split
from .transform import Transform, Vary

__all__ = [
    "NAMES",
    "Augment",
    "Batches",
    "Chosen",
    "Data",
    "Files",
    "Images",
    "Part",
    "Pictures",
    "Split",
    "Transform",
    "Vary",
    "batches",
    "chosen_pictures",
    "load",
    "read_chosen",
    "read_split",
    "search_split",
    "some_pictures",
    "stratified_split",
    "write_split",
]
