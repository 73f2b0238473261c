"""Hyper-parameters that belong together, by name; ``dataclasses.replace`` makes variants."""

from collections.abc import Callable
from dataclasses import dataclass, field

from .data import Augment
from .errors import InputError, one_of
from .training import SearchOptions, TrainOptions

__all__ = ["RECIPES", "Recipe", "cifar", "imagenet", "quick", "recipe"]


@dataclass(frozen=True)
class Recipe:
    """How the three trainings of a run are done.

    Attributes:
        teacher: training of the unpruned net on labels.
        search: training of the supernet.
        student: training of the derived net, with the teacher's answers.
        augment: how training pictures are varied.
        fraction: of the training pictures, for the search's weights; the rest is for its logits.
    """

    teacher: TrainOptions
    search: SearchOptions
    student: TrainOptions
    augment: Augment = field(default_factory=Augment)
    fraction: float = 0.5


def quick() -> Recipe:
    """Minutes for small sets, an hour or two for CIFAR on two CPU cores; no published numbers."""
    plain = TrainOptions(epochs=30, warmup_epochs=3, batch_size=128, lr=0.2)
    # A short search learns its logits faster, and lets tau fall to where the draws are sharp.
    search = SearchOptions(epochs=40, warmup_epochs=2, batch_size=64, lr=0.1, logit_lr=1e-2)
    return Recipe(plain, search, plain)


def cifar() -> Recipe:
    """The released code's settings for CIFAR: 600 epochs of search, 5 + 300 of training."""
    plain = TrainOptions(epochs=305, warmup_epochs=5, batch_size=256, lr=0.1, weight_decay=5e-4)
    return Recipe(plain, SearchOptions(epochs=600, batch_size=256), plain)


def imagenet() -> Recipe:
    """The released code's settings for ImageNet: 5 + 115 epochs of search, 5 + 120 of training."""
    plain = TrainOptions(
        epochs=125,
        warmup_epochs=5,
        batch_size=256,
        lr=0.1,
        weight_decay=1e-4,
        label_smoothing=0.1,
    )
    search = SearchOptions(epochs=120, warmup_epochs=5, batch_size=256, weight_decay=1e-4)
    return Recipe(plain, search, plain)


RECIPES: dict[str, Callable[[], Recipe]] = {"quick": quick, "cifar": cifar, "imagenet": imagenet}


def recipe(name: str) -> Recipe:
    """The recipe of a name; ``InputError`` names the nearest where there is none."""
    if name not in RECIPES:
        raise InputError(one_of("preset", name, RECIPES))
    return RECIPES[name]()
