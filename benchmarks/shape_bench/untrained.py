"""What shapes of the bench lose when they are cut from a trained net, as a search by trials asks.

What ``from_trained.py`` and ``short_teacher.py`` share.
"""

import bench

from tas.costs import Budget
from tas.data import Augment, Data, Split
from tas.inherit import Source
from tas.methods import Problem, TrialOptions
from tas.methods.trials.ask import Examiner
from tas.space import Space

__all__ = ["losses"]


def losses(
    space: Space, source: Source, pictures: tuple[Data, Split], how: TrialOptions
) -> dict[bench.Key, tuple[int, float]]:
    """Multiply-adds and the loss of every shape that is nowhere wider than the trained net."""
    data, split = pictures
    problem = Problem(
        space=space,
        source=source,
        budget=Budget(space.unpruned.macs or 1),
        data=data,
        learn=data.train.take(split.weights),
        judge=data.train.take(split.logits),
        options=how,
        augment=Augment(),
        device="cpu",
        progress=False,
    )
    asked, full = Examiner(problem.ordered(), space, how, 1), space.unpruned
    return {
        bench.key(shape): (
            shape.macs or 0,
            asked.lost(shape.replace(net=full.net, macs=None, params=None)),
        )
        for shape in bench.shapes(bench.space())
        if all(width <= full.widths[key] for key, width in shape.widths.items())
    }
