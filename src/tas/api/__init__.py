"""All that a user can ask for, in Python; the command parses, calls this and prints.

``run``, ``search``, ``train``, ``evaluate``, ``predict`` and ``export`` are at the top of the
package as well. Those that end in ``_run`` or ``_model`` take the options of the command's verbs,
by the same names.
"""

from .evaluate import Tested, eval_run, evaluate
from .export import Exported, export, export_model
from .latency import Measured, latency, measure
from .latency_table import Tabled, latency_table
from .predict import Prediction, predict
from .reporting import report
from .run import run
from .search import search
from .search_run import search_run
from .session import Run, load_data
from .spaces import search_space
from .train import Trained, train
from .train_run import train_run

__all__ = [
    "Exported",
    "Measured",
    "Prediction",
    "Run",
    "Tabled",
    "Tested",
    "Trained",
    "eval_run",
    "evaluate",
    "export",
    "export_model",
    "latency",
    "latency_table",
    "load_data",
    "measure",
    "predict",
    "report",
    "run",
    "search",
    "search_run",
    "search_space",
    "train",
    "train_run",
]
