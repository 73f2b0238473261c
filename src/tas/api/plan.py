"""What is to be searched, checked before anything is trained."""

from dataclasses import dataclass
from typing import Any

from torch import nn

from .. import nets, processes
from ..api import Found, search, search_space
from ..api import session as runs
from ..data import Data, Split, read_split, search_split
from ..errors import InputError
from ..methods.paper.options import PaperOptions
from ..recipes import Recipe
from ..shape import Shape
from ..space import Space

__all__ = ["Plan"]


@dataclass(frozen=True)
class Plan:
    """A search that can work: its data, its space, and a budget within it."""

    options: Any
    data: Data
    recipe: Recipe
    full: Shape
    space: Space
    budget: int
    split: Split | None

    @classmethod
    def of(cls, options: Any, inheriting: bool) -> "Plan":
        """The plan of a verb's options, or the error that they deserve.

        Args:
            inheriting: the search is to start from trained weights.
        """
        for name in ("ratios", "only", "split"):
            if getattr(options, name) in ([], ""):
                raise InputError(f"--{name} is empty: leave it out, or say what it is to be")
        if options.split and options.subset is not None:
            raise InputError("--split names the pictures: give --subset to `tas split` instead")
        data = runs.load_data(options)
        recipe = runs.chosen_recipe(options, inheriting)
        if options.subset is not None:  # drawn by the run's seed, later; here it is tried
            search_split(data, recipe.fraction, subset=options.subset)
        net: str | nn.Module = options.net
        if options.weights and (inheriting or nets.is_named(options.net)):
            net = nets.load(options.net, options.weights, data.classes, data.input)
        space = search_space(
            net,
            data,
            options=recipe.search,
            name=options.net,
            inheriting=inheriting,
            **_chosen(options),
        )
        return cls(
            options=options,
            data=data,
            recipe=recipe,
            full=space.unpruned,
            space=space,
            budget=space.budget(options.budget, options.unit),
            split=read_split(options.split, data) if options.split else None,
        )

    def search(self, run: runs.Run) -> Found:
        """Search, write the shape into the run directory and say what was found."""
        found = search(
            self.space,
            self.data,
            self.options.budget,
            unit=self.options.unit,
            options=self.recipe.search,
            fraction=self.recipe.fraction,
            split=self.split,
            subset=self.options.subset,
            **run.common(self.options),
        )
        run.directory.save_shape(found.shape)
        cost = found.shape.macs if found.unit == "macs" else found.shape.params
        assert cost is not None
        depths = " + ".join(str(depth) for depth in found.shape.depths.values())
        blocks = f"{depths} blocks and " if depths else ""
        used = f"{100 * cost / found.budget:.1f} % of the budget"
        runs.say(f"found a net of {blocks}{cost:,} {found.unit}, {used}")
        return found

    def notes(self) -> list[str]:
        """What a reader of the result must know of the data and of the search."""
        notes = [*self.data.notes]
        if processes.count() > 1 and not isinstance(self.recipe.search, PaperOptions):
            notes.append(
                "Processes try and train different shapes at the same time; the time of the search "
                "is the sum of theirs."
            )
        return notes

    def facts(self) -> dict[str, Any]:
        """What a result says of the search that led to it."""
        ratio = self.budget / self.space.full_cost(self.options.unit)
        return {
            "net": self.options.net,
            "data": self.data.name,
            "budget": {
                "unit": self.options.unit,
                "value": self.budget,
                "ratio": round(ratio, 4),
            },
            "full_shape": self.full.to_dict(),
        }


def _chosen(options: Any) -> dict[str, Any]:
    """What is searched, as ``tas.search`` takes it."""
    ratios = tuple(options.ratios) if options.ratios else None
    return {
        "what": options.what,
        "residual": options.residual,
        "ratios": ratios,
        "widths_per": options.widths_per,
        "ignore": options.ignore or (),
        "only": options.only or (),
        "round_to": options.round_to,
    }
