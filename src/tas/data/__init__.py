"""Data sets as tensors: named sets and folders of images, splits, and batches on the device."""

from tas.data.batching import batches
from tas.data.parts import NAMES, Data, Files, Images, Part
from tas.data.schedule import Augment, Batches
from tas.data.sources import load
from tas.data.split import Split, read_split, search_split, stratified_split, write_split

__all__ = [
    "NAMES",
    "Augment",
    "Batches",
    "Data",
    "Files",
    "Images",
    "Part",
    "Split",
    "batches",
    "load",
    "read_split",
    "search_split",
    "stratified_split",
    "write_split",
]
