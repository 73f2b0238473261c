"""Nets for other programs: files that run without this package, checked against PyTorch."""

from .any_net import AnyNet
from .check import Difference, compare
from .fold import Folded, folded
from .form import Form
from .int8 import write_int8
from .onnx_file import OnnxNet, write_onnx
from .program_file import read_program, write_program

__all__ = [
    "AnyNet",
    "Difference",
    "Folded",
    "Form",
    "OnnxNet",
    "compare",
    "folded",
    "read_program",
    "write_int8",
    "write_onnx",
    "write_program",
]
