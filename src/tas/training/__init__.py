"""Training: tasks (classification, distillation, search) behind one loop, and a run's directory."""

from .evaluation import evaluate, recompute_norm_statistics
from .hardware import accelerator, pick_precision, place
from .loop import History, fit
from .options import ProbeOptions, SearchOptions, TrainOptions
from .parallel import dealt_out, side_by_side
from .rundir import RunDir
from .tasks import Batches, Classification, Distillation, Paired, Search, Task

__all__ = [
    "Batches",
    "Classification",
    "Distillation",
    "History",
    "Paired",
    "ProbeOptions",
    "RunDir",
    "Search",
    "SearchOptions",
    "Task",
    "TrainOptions",
    "accelerator",
    "dealt_out",
    "evaluate",
    "fit",
    "pick_precision",
    "place",
    "recompute_norm_statistics",
    "side_by_side",
]
