"""Training: tasks (classification, distillation, search) behind one loop, and a run's directory."""

from .accelerate_state import alone
from .answers import Answers
from .classification import Classification
from .distillation import Distillation, Imitation, distill_loss, learning
from .evaluation import evaluate, recompute_norm_statistics
from .hardware import Device, Where, accelerator, computing, pick_precision, where
from .loop import History, fit
from .memory_format import place, place_module
from .objective import Distance, Objective, distance, distil, divergence, squared_error
from .options import StepOptions, TrainOptions
from .parallel import dealt_out, side_by_side
from .placing import Placing, halve, settled
from .settings import repeatable, seeded
from .tasks import Epochs, Task

__all__ = [
    "Answers",
    "Classification",
    "Device",
    "Distance",
    "Distillation",
    "Epochs",
    "History",
    "Imitation",
    "Objective",
    "Placing",
    "StepOptions",
    "Task",
    "TrainOptions",
    "Where",
    "accelerator",
    "alone",
    "computing",
    "dealt_out",
    "distance",
    "distil",
    "distill_loss",
    "divergence",
    "evaluate",
    "fit",
    "halve",
    "learning",
    "pick_precision",
    "place",
    "place_module",
    "recompute_norm_statistics",
    "repeatable",
    "seeded",
    "settled",
    "side_by_side",
    "squared_error",
    "where",
]
