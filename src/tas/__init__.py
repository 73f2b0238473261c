"""torch-tas: give it a CNN and a budget, get a smaller plain network, trained by distillation.

::

    net = tas.nets.build("resnet20", classes=10)
    found = tas.search(net, "cifar10", budget=0.55)
    small = found.derive()
    tas.train(small, "cifar10", teacher=net, inherit=True)

Names are imported when they are first used, so that ``import tas`` does not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
    "Found",
    "Shape",
    "Space",
    "TasError",
    "Trained",
    "costs",
    "data",
    "evaluate",
    "graph",
    "load",
    "nets",
    "recipes",
    "search",
    "spaces",
    "train",
]

if TYPE_CHECKING:
    from . import costs, data, graph, nets, recipes, spaces
    from .api import Found, Trained, evaluate, search, train
    from .errors import TasError
    from .nets import load
    from .shape import Shape
    from .space import Space

_HOMES = {
    "Found": "api",
    "Shape": "shape",
    "Space": "space",
    "TasError": "errors",
    "Trained": "api",
    "evaluate": "api",
    "load": "nets",
    "search": "api",
    "train": "api",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'tas' has no attribute '{name}'")
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    return import_module(f".{name}", __name__)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
