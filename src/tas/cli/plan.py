"""What is to be searched, checked before anything is trained."""

from dataclasses import dataclass
from typing import Any

from .. import nets
from ..data import Data, Split, read_split
from ..jobs import Found, search
from ..recipes import Recipe
from ..shape import Shape
from ..space import Space
from ..spaces import RATIOS, resnet_space
from . import runs

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
    def of(cls, options: Any) -> "Plan":
        """The plan of a verb's options, or the error that they deserve."""
        data = runs.load_data(options)
        full = nets.full_shape(options.net, data.classes, data.input)
        space = resnet_space(
            full, residual=options.residual, what=options.what, ratios=_ratios(options)
        )
        return cls(
            options=options,
            data=data,
            recipe=runs.chosen_recipe(options),
            full=space.unpruned,
            space=space,
            budget=space.budget(options.budget, options.unit),
            split=read_split(options.split, data) if options.split else None,
        )

    def search(self, run: runs.Run) -> Found:
        """Search, write the shape into the run directory and say what was found."""
        found = search(
            self.options.net,
            self.data,
            self.options.budget,
            unit=self.options.unit,
            what=self.options.what,
            residual=self.options.residual,
            ratios=_ratios(self.options),
            options=self.recipe.search,
            fraction=self.recipe.fraction,
            split=self.split,
            **run.common(self.options),
        )
        found.shape.save(run.directory.shape)
        cost = found.shape.macs if found.unit == "macs" else found.shape.params
        assert cost is not None
        depths = " + ".join(str(depth) for depth in found.shape.depths.values())
        used = f"{100 * cost / found.budget:.1f} % of the budget"
        runs.say(f"found a net of {depths} blocks and {cost:,} {found.unit}, {used}")
        return found

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


def _ratios(options: Any) -> tuple[float, ...]:
    return tuple(options.ratios) if options.ratios else RATIOS
