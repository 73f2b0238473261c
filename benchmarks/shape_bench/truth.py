"""What the table knows: its noise, the best shape at a budget, and what needs no search."""

import statistics
from collections.abc import Container, Mapping, Sequence
from typing import Any

import bench
import numpy as np
import numpy.typing as npt
from scipy.stats import kendalltau

from tas.costs import Budget
from tas.methods import equal_widths
from tas.shape import Shape
from tas.space import Space

Truth = Mapping[bench.Key, float]
Seeds = Mapping[bench.Key, Mapping[int, float]]
Draws = npt.NDArray[np.float64]  # [DRAWS]
DRAWS = 20_000
OWN = np.linspace(0, 2, 101)  # standard deviations of what a shape is worth beside the linear model


def means(table: Seeds) -> dict[bench.Key, float]:
    """Of the seeds, which are the truth as far as it is known."""
    return {key: statistics.mean(seeds.values()) for key, seeds in table.items()}


def noise(table: Seeds, space: Space) -> dict[str, float]:
    """How far the table can be trusted, from the shapes of the space with two seeds or more."""
    grid = {bench.key(s) for s in bench.shapes(space)}
    pairs = [(s[0], s[1]) for k, s in table.items() if k in grid and 0 in s and 1 in s]
    if not pairs:  # a table of one seed
        return {"shapes": 0}
    differences = [a - b for a, b in pairs]
    return {
        "shapes": len(pairs),
        "seed_sd": statistics.pstdev(differences) / 2**0.5,
        "kendall_tau_between_seeds": float(kendalltau(*zip(*pairs, strict=True))[0]),
    }


def baselines(space: Space, truth: Truth, budget: float) -> dict[str, Any]:
    """The best shape within a budget, and what needs no search."""
    limit = int(budget * (space.unpruned.macs or 1))
    fitting = [(s, truth[bench.key(s)]) for s in _within(space, truth, limit)]
    shape, best = max(fitting, key=lambda pair: pair[1])
    equal = _equal(space, limit)

    def worth(accuracy: float, **more: Any) -> dict[str, Any]:
        return {"accuracy": accuracy, "regret": best - accuracy, **more}

    dearest = max(fitting, key=lambda pair: pair[0].macs or 0)
    return {
        "shapes": len(fitting),
        "best": worth(best, shape=bench.key(shape)),
        "equal": worth(truth[bench.key(equal)], shape=bench.key(equal)),
        "random": worth(statistics.mean(accuracy for _, accuracy in fitting)),
        "dearest": worth(dearest[1], shape=bench.key(dearest[0])),
    }


def _equal(space: Space, limit: int) -> Shape:
    """Equal widths within a budget; there are some at all budgets of the bench."""
    shape = equal_widths(space, Budget(limit))
    assert shape is not None
    return shape


def _within(space: Space, known: Container[bench.Key], limit: int) -> list[Shape]:
    return [s for s in bench.shapes(space) if (s.macs or 0) <= limit and bench.key(s) in known]


def drawn(table: Seeds) -> dict[bench.Key, Draws]:
    """What every shape may really be worth: draws from the posterior of its accuracy, in percent.

    An accuracy is what a linear model in the logarithms of widths and depths says, something of the
    shape's own, and the noise of its trainings: a mixed model, whose variances the table itself
    tells (restricted maximum likelihood; Robinson, *That BLUP is a good thing*, 1991). The best of
    many noisy means is too good; in a draw it is not. Nothing where no shape has two seeds.
    """
    keys = list(table)
    counts = np.array([len(table[k]) for k in keys])
    accuracies = means(table)
    measured = np.array([accuracies[k] for k in keys])
    if counts.max() < 2:
        return {}
    squares = sum((v - accuracies[k]) ** 2 for k, of in table.items() for v in of.values())
    variance = squares / (counts - 1).sum() / counts  # of each mean
    x = np.log2(np.array(keys))
    x = np.c_[np.ones(len(x)), x[:, x.std(0) > 0]]

    def fit(own: float) -> tuple[Any, Any, float]:
        """Mean and covariance of the coefficients, and the log-likelihood."""
        weights = 1 / (own**2 + variance)
        information = x.T @ (weights[:, None] * x)
        covariance = np.linalg.inv(information)
        mean = covariance @ (x.T @ (weights * measured))
        left = measured - x @ mean
        determinant = np.linalg.slogdet(information)[1]
        return mean, covariance, (np.log(weights).sum() - determinant - weights @ left**2) / 2

    likelihood = np.array([fit(own)[2] for own in OWN])
    weights = np.exp(likelihood - likelihood.max())
    generator = np.random.default_rng(0)
    found = []
    for own, count in zip(OWN, generator.multinomial(DRAWS, weights / weights.sum()), strict=True):
        mean, covariance, _ = fit(own)
        model = generator.multivariate_normal(mean, covariance, count) @ x.T
        share = own**2 / (own**2 + variance)  # of what a mean lies off the model, the shape's own
        spread = own * np.sqrt(1 - share)
        found.append(
            model + share * (measured - model) + spread * generator.standard_normal(model.shape)
        )
    return dict(zip(keys, np.concatenate(found).T, strict=True))


def regrets(
    space: Space, draws: Mapping[bench.Key, Draws], budget: float, found: Sequence[bench.Key]
) -> dict[str, Draws]:
    """What lies how far below the best shape within a budget, of every draw.

    Args:
        found: by the seeds of a search: a sample, whose noise counts as well.
    """
    limit = int(budget * (space.unpruned.macs or 1))
    fitting = _within(space, draws, limit)
    all_of = np.stack([draws[bench.key(s)] for s in fitting])
    best = all_of.max(0)
    dearest = max(fitting, key=lambda s: s.macs or 0)
    below = {
        "equal": best - draws[bench.key(_equal(space, limit))],
        "random": best - all_of.mean(0),
        "dearest": best - draws[bench.key(dearest)],
    }
    if found:
        of_search = np.stack([draws[key] for key in found])
        picked = np.random.default_rng(0).integers(len(found), size=(len(found), best.size))
        below["search"] = best - np.take_along_axis(of_search, picked, 0).mean(0)
    return below
