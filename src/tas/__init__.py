"""torch-tas: give it a trained net and a budget, get a smaller plain net, distilled from it.

::

    net = tas.nets.build("resnet20", classes=10)
    found = tas.search(net, "cifar10", budget=0.55)
    small = found.derive()
    tas.train(small, "cifar10", teacher=net, inherit=True)

Names are imported when they are first used, so that ``import tas`` does not wait for torch.
"""

from typing import TYPE_CHECKING

from .lazy import lazy
from .version import __version__ as __version__

__all__ = [
    "DataError",
    "DivergedError",
    "Exported",
    "Found",
    "InfeasibleBudgetError",
    "InputError",
    "Prediction",
    "Run",
    "RunDir",
    "Shape",
    "ShapeError",
    "Space",
    "TasError",
    "Trained",
    "costs",
    "data",
    "distil",
    "evaluate",
    "export",
    "graph",
    "latency",
    "load",
    "nets",
    "predict",
    "push_to_hub",
    "recipes",
    "run",
    "save",
    "search",
    "spaces",
    "train",
]

if TYPE_CHECKING:
    from . import costs, data, graph, nets, recipes, spaces
    from .api.evaluate import evaluate
    from .api.export import Exported, export
    from .api.latency import latency
    from .api.predict import Prediction, predict
    from .api.run import run
    from .api.search import search
    from .api.session import Run
    from .api.train import Trained, train
    from .errors import (
        DataError,
        DivergedError,
        InfeasibleBudgetError,
        InputError,
        ShapeError,
        TasError,
    )
    from .methods import Found
    from .models import load, push_to_hub, save
    from .runs import RunDir
    from .shape import Shape
    from .space import Space
    from .training import distil

__getattr__, __dir__ = lazy(
    __name__,
    {
        **dict.fromkeys(("costs", "data", "graph", "nets", "recipes", "spaces"), ""),
        **dict.fromkeys(("Exported", "Prediction", "Run", "Trained", "evaluate", "export"), "api"),
        **dict.fromkeys(("latency", "predict", "run", "search", "train"), "api"),
        **dict.fromkeys(
            (
                "DataError",
                "DivergedError",
                "InfeasibleBudgetError",
                "InputError",
                "ShapeError",
                "TasError",
            ),
            "errors",
        ),
        "Found": "methods",
        "RunDir": "runs",
        "Shape": "shape",
        "Space": "space",
        "distil": "training",
        **dict.fromkeys(("load", "push_to_hub", "save"), "models"),
    },
)
