"""Hyper-parameters that belong together, by name; ``dataclasses.replace`` makes variants."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from .data import Augment, Vary
from .errors import InputError, one_of
from .methods import PaperOptions, ProbeOptions, TrialOptions
from .training import TrainOptions
from .typed import checked

__all__ = [
    "RECIPES",
    "Recipe",
    "cifar",
    "finetune",
    "imagenet",
    "paper",
    "paper_imagenet",
    "quick",
    "recipe",
]

# For the training of a net with inherited weights: a limited travel, so that it does not forget
# them, and more weight on the labels, for it knows from the start what its teacher knows.
INHERITED = {"travel": 100.0, "kd_alpha": 0.5}
CLIPPED = 1.0  # the norm to which gradients are shortened: all of ``quick``, those of trials


@checked
@dataclass(frozen=True)
class Recipe:
    """How the three trainings of a run are done.

    >>> from dataclasses import replace
    >>> import tas
    >>> base = tas.recipes.quick()
    >>> mine = replace(base, student=replace(base.student, epochs=60, lr=0.05))
    >>> mine.student.epochs, mine.teacher.epochs
    (60, 30)

    Attributes:
        teacher: training of the unpruned net on labels.
        search: how the space is searched, by the settings of a method.
        student: training of the derived net, with the teacher's answers.
        augment: how training pictures are varied.
        fraction: of the training pictures, to train weights in the search; it chooses by the rest.
        vary: how training pictures are varied, ``"shift"`` or ``"zoom"``; None: as their size says.
        trained_search: how the space is searched where there are trained weights; None: as without.
        inherited: options that the student's training has instead where its net inherits trained
            weights.
    """

    teacher: TrainOptions
    search: PaperOptions | ProbeOptions | TrialOptions
    student: TrainOptions
    augment: Augment = field(default_factory=Augment)
    fraction: float = 0.5
    vary: Vary | None = None
    trained_search: TrialOptions | None = None
    inherited: Mapping[str, float] = field(default_factory=dict)

    def inheriting(self) -> "Recipe":
        """This recipe for trained weights: the search tries shapes without training them, and the
        student's training is one that keeps inherited weights (``docs/research``)."""
        student: TrainOptions = replace(self.student, **self.inherited)  # type: ignore[arg-type]
        return replace(self, search=self.trained_search or self.search, student=student)


def quick() -> Recipe:
    """Minutes for small sets, an hour or two for CIFAR on two CPU cores; no published numbers.

    >>> import tas
    >>> tas.recipes.quick().student.epochs
    30
    """
    plain = TrainOptions(epochs=30, warmup_epochs=3, batch_size=128, lr=0.2, clip_norm=CLIPPED)
    return Recipe(
        plain,
        ProbeOptions(epochs=4, batch_size=64, lr=0.1),
        plain,
        fraction=0.8,
        trained_search=TrialOptions(
            batch_size=64, lr=0.03, clip_norm=CLIPPED, kd_alpha=INHERITED["kd_alpha"]
        ),
        inherited=INHERITED,
    )


def finetune() -> Recipe:
    """From pretrained weights, on few pictures: AdamW at a low rate, the fresh classifier first.

    >>> import tas
    >>> how = tas.recipes.finetune().teacher
    >>> how.optimizer, how.decay_norms, how.head_epochs
    ('adamw', False, 2)
    """
    teacher = TrainOptions(
        epochs=20,
        warmup_epochs=2,
        batch_size=64,
        lr=5e-4,
        optimizer="adamw",
        weight_decay=0.05,
        decay_norms=False,
        clip_norm=CLIPPED,
        label_smoothing=0.1,
        ema=0.99,
        head_epochs=2,
    )
    return Recipe(
        teacher,
        quick().search,
        replace(teacher, head_epochs=0),
        fraction=0.8,
        trained_search=TrialOptions(
            batch_size=64,
            lr=5e-4,
            optimizer="adamw",
            weight_decay=0.05,
            decay_norms=False,
            clip_norm=CLIPPED,
            kd_alpha=INHERITED["kd_alpha"],
        ),
        inherited={"kd_alpha": INHERITED["kd_alpha"]},
    )


def cifar() -> Recipe:
    """Full-length training on CIFAR, as released; a search of a fifth of that.

    >>> import tas
    >>> tas.recipes.cifar().student.epochs
    305
    """
    return Recipe(
        _cifar(),
        ProbeOptions(epochs=12, batch_size=256, lr=0.1),
        _cifar(),
        fraction=0.8,
        trained_search=TrialOptions(epochs=3, lr=0.03, clip_norm=CLIPPED),
    )


def imagenet() -> Recipe:
    """Full-length training on ImageNet, as released; a search of a fifth of that.

    >>> import tas
    >>> tas.recipes.imagenet().student.epochs
    125
    """
    return Recipe(
        _imagenet(),
        ProbeOptions(epochs=4, batch_size=256, lr=0.1, weight_decay=1e-4),
        _imagenet(),
        fraction=0.9,
        vary="zoom",
        trained_search=TrialOptions(lr=0.03, weight_decay=1e-4, clip_norm=CLIPPED),
    )


def paper() -> Recipe:
    """The paper's search, the released code's settings for CIFAR: 600 epochs, training 5 + 300.

    >>> import tas
    >>> type(tas.recipes.paper().search).__name__, tas.recipes.paper().search.epochs
    ('PaperOptions', 600)
    """
    return Recipe(_cifar(), PaperOptions(epochs=600, batch_size=256), _cifar())


def paper_imagenet() -> Recipe:
    """The paper's search for ImageNet: 5 + 115 epochs, training 5 + 120.

    >>> import tas
    >>> tas.recipes.paper_imagenet().search.epochs
    120
    """
    search = PaperOptions(epochs=120, warmup_epochs=5, batch_size=256, weight_decay=1e-4)
    return Recipe(_imagenet(), search, _imagenet(), vary="zoom")


def _cifar() -> TrainOptions:
    return TrainOptions(epochs=305, warmup_epochs=5, batch_size=256, lr=0.1, weight_decay=5e-4)


def _imagenet() -> TrainOptions:
    return TrainOptions(
        epochs=125,
        warmup_epochs=5,
        batch_size=256,
        lr=0.1,
        weight_decay=1e-4,
        label_smoothing=0.1,
    )


RECIPES: dict[str, Callable[[], Recipe]] = {
    "quick": quick,
    "finetune": finetune,
    "cifar": cifar,
    "imagenet": imagenet,
    "paper": paper,
    "paper-imagenet": paper_imagenet,
}


@checked
def recipe(name: str) -> Recipe:
    """The recipe of a name; ``InputError`` names the nearest where there is none.

    >>> import tas
    >>> tas.recipes.recipe("quick") == tas.recipes.quick()
    True
    """
    if name not in RECIPES:
        raise InputError(one_of("preset", name, RECIPES))
    return RECIPES[name]()
