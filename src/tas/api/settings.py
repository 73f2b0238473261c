"""From the options of a run to its settings: the recipe, how pictures are varied, the seed."""

import random
from dataclasses import fields, replace
from typing import Any, TypeVar

from ..data import Augment
from ..errors import InputError, flag
from ..methods import OPTIONS, Method
from ..recipes import Recipe, recipe
from ..runs import say
from ..seeds import check_seed
from ..training import StepOptions, TrainOptions

__all__ = ["chosen_augment", "chosen_recipe", "chosen_seed"]

OptionsT = TypeVar("OptionsT", bound=StepOptions)


def chosen_seed(seed: int) -> int:
    """The seed, or for -1 one that is drawn and said."""
    if seed == -1:
        seed = random.SystemRandom().randrange(100_000)
        say(f"seed {seed}")
    check_seed(seed)
    return seed


def chosen_augment(options: Any) -> Augment:
    """How training pictures are varied."""
    if not options.augment:
        return Augment(padding=0, flip=False, crop=False, jitter=0)
    names = ("padding", "flip", "jitter", "randaugment")
    return Augment(**{name: getattr(options, name) for name in names})


def chosen_recipe(options: Any, inheriting: bool = False) -> Recipe:
    """The preset with every option that was given in its place.

    Args:
        inheriting: what is searched or trained starts from trained weights.
    """
    base = recipe(options.preset)
    base = base.inheriting() if inheriting else base
    _check_method(options, base.search)
    shared = _given(options, base.student)
    if shared.get("optimizer", base.student.optimizer) != base.student.optimizer:
        _check_rate(shared, options.preset)
    if "lr" in shared:
        shared["travel"] = 0.0  # a rate that was given is not lowered for a long training
    search = _given(options, base.search)
    if hasattr(options, "search_epochs"):
        search = _of_a_run(options, base, search)
    return replace(
        base,
        teacher=_replaced(base.teacher, shared),
        student=_replaced(base.student, shared),
        search=_replaced(base.search, search),
    )


def _check_rate(given: dict[str, Any], preset: str) -> None:
    """Another optimizer takes another learning rate, which nobody but the user knows."""
    if "lr" not in given:
        such = "0.001" if given["optimizer"] == "adamw" else "0.1"
        raise InputError(
            f"--optimizer {given['optimizer']}: the learning rate of --preset {preset} is for the "
            f"other: give one by --lr, such as {such}"
        )


def _of_a_run(options: Any, base: Recipe, search: dict[str, Any]) -> dict[str, Any]:
    """What the options of a whole run say of its search: most of them are of its trainings."""
    search = {name: value for name, value in search.items() if not name.endswith("epochs")}
    if base.search.method().short_trainings:  # each of another net, which would be compiled anew
        search.pop("compile", None)
    if "lr" in search:  # that of a picture keeps the part of the trainings' that it has
        search["lr"] *= base.search.lr / base.student.lr
        if "batch_size" in search:  # else the batches differ as they did before
            search["lr"] *= base.student.batch_size / base.search.batch_size
    if options.search_epochs is not None:
        if options.search_epochs < 1:
            raise InputError(f"--search-epochs {options.search_epochs}: must be at least 1")
        search["epochs"] = options.search_epochs
    return search


def _check_method(options: Any, search: StepOptions) -> None:
    """An option of a search that this one does not use is a mistake, not to be passed over."""
    names = {kind: {f.name for f in fields(kind)} for kind in OPTIONS}
    used = set(names[type(search)])  # type: ignore[index]
    whole_run = hasattr(options, "search_epochs")
    if whole_run:  # the trainings that come with it take these
        used |= {f.name for f in fields(TrainOptions)}
    for name in sorted(set().union(*names.values()) - used):
        if getattr(options, name, None) is None:
            continue
        own: Method = search.method()  # type: ignore[attr-defined]
        other = next(kind().method() for kind in OPTIONS if name in names[kind])
        which, advice = own.name, other.chosen_by[0 if whole_run else 1]
        if other.presets != own.presets:
            which, advice = (
                f"of --preset {options.preset}",
                f"choose --preset {' or '.join(other.presets)}",
            )
        raise InputError(
            f"{flag(name)} does not apply to the search {which}: leave it out, or {advice}"
        )


def _given(options: Any, target: StepOptions) -> dict[str, Any]:
    """The options that were given and that ``target`` has."""
    names = (f.name for f in fields(target))
    return {n: v for n in names if (v := getattr(options, n, None)) is not None}


def _replaced(base: OptionsT, changes: dict[str, Any]) -> OptionsT:
    # A short training with the preset's warm-up would be all warm-up.
    epochs = changes.get("epochs", base.epochs)
    names = [f.name for f in fields(base) if f.name in ("warmup_epochs", "head_epochs")]
    shorter = {name: min(getattr(base, name), max(epochs // 5, 0)) for name in names}
    return replace(base, **{**shorter, **changes})
