"""Training: tasks (classification, distillation, search) behind one loop, and a run's directory."""

from .evaluation import evaluate, recompute_norm_statistics
from .hardware import accelerator, alone, pick_precision, place, place_module
from .loop import History, fit
from .options import StepOptions, TrainOptions
from .parallel import dealt_out, side_by_side
from .tasks import Batches, Classification, Distillation, Task

__all__ = [
    "Batches",
    "Classification",
    "Distillation",
    "History",
    "StepOptions",
    "Task",
    "TrainOptions",
    "accelerator",
    "alone",
    "dealt_out",
    "evaluate",
    "fit",
    "pick_precision",
    "place",
    "place_module",
    "recompute_norm_statistics",
    "side_by_side",
]
