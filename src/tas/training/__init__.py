"""Training: tasks (classification, distillation, search) behind one loop, and a run's directory."""

from .evaluation import evaluate, recompute_norm_statistics
from .hardware import accelerator, alone, pick_precision, place, place_module
from .loop import History, fit
from .options import ProbeOptions, SearchOptions, TrainOptions, TrialOptions
from .parallel import dealt_out, side_by_side
from .progress import PhaseProgress
from .rundir import RunDir
from .tasks import Batches, Classification, Distillation, Paired, Search, Task

__all__ = [
    "Batches",
    "Classification",
    "Distillation",
    "History",
    "Paired",
    "PhaseProgress",
    "ProbeOptions",
    "RunDir",
    "Search",
    "SearchOptions",
    "Task",
    "TrainOptions",
    "TrialOptions",
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
