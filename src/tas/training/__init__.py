"""Training: tasks (classification, distillation, search) behind one loop, and a run's directory."""

from .evaluation import evaluate, recompute_norm_statistics
from .hardware import accelerator, pick_precision
from .loop import History, fit
from .options import SearchOptions, ShrinkOptions, TrainOptions
from .rundir import RunDir
from .shrink import Shrinking
from .tasks import Batches, Classification, Distillation, Paired, Search, Task

__all__ = [
    "Batches",
    "Classification",
    "Distillation",
    "History",
    "Paired",
    "RunDir",
    "Search",
    "SearchOptions",
    "ShrinkOptions",
    "Shrinking",
    "Task",
    "TrainOptions",
    "accelerator",
    "evaluate",
    "fit",
    "pick_precision",
    "recompute_norm_statistics",
]
