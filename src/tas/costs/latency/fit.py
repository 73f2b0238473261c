"""What features a time depends on: Bayesian linear regression on measurements of whole nets.

(Rasmussen & Williams, *Gaussian Processes for Machine Learning*, 2006, section 2.1.) The weight of
a feature is that of its kind in all layers, and what its family, and its layer, differ by: far
fewer nets than features tell them, because layers are expected to be alike until times say
otherwise. Errors count as parts of a time, and the noise and the scale of the prior are those by
which the measurements are likeliest. Figures: ``docs/latency.md``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from ...shape import Shape
from ...space import Space, Term
from ...typed import checked
from .features import Feature, features, timed_shape, timed_space

__all__ = ["FEMTO", "Fitted", "fitted"]

FEMTO = 10**15  # femtoseconds are whole numbers, which costs are
FAMILY, OWN = 0.5, 0.3  # how much families and layers may differ, to how much all may
SCALES = (0.1, 0.3, 1.0, 3.0, 10.0)
NOISES = (0.003, 0.005, 0.01, 0.02, 0.04)
EXACT = 1e-4  # variance of what has no noise, as a part of that of what has

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Fitted:
    """A price for every feature; ``tas.costs.latency.fitted`` returns it, with an example.

    Attributes:
        terms: of a ``Space`` that costs femtoseconds.
    """

    terms: tuple[Term, ...]

    def space(self, space: Space) -> Space:
        """A space of the same net, whose costs are femtoseconds."""
        return timed_space(space, self.terms)


@checked
def fitted(
    space: Space,
    shapes: Sequence[Shape],
    ratios: Sequence[float],
    whole: float,
    uncertain: Sequence[float] | None = None,
) -> Fitted:
    """The prices of a space's features, from the times of some of its shapes.

    >>> import tas
    >>> from tas.costs.latency import fitted
    >>> space = tas.spaces.resnet_space("resnet20", residual="tied", what="width")
    >>> shapes = [space.shape([i % 8] * 12, []) for i in range(8)]
    >>> ratios = [shape.macs / space.unpruned.macs for shape in shapes]
    >>> priced = fitted(space, shapes, ratios, whole=0.002).space(space)
    >>> from tas.costs.latency.features import timed_shape
    >>> round(priced.cost(timed_shape(space.unpruned)) / 1e12, 6)  # femtoseconds to ms
    2.0

    Args:
        ratios: the times of the shapes, as ratios of that of the unpruned net.
        whole: seconds of the unpruned net.
        uncertain: how far each ratio may be off, as a part of it (two standard errors): what was
            measured while the machine was busy counts less. Default: all count alike.
    """
    found = features(space)
    amounts = _amounts(space, found, [space.unpruned, *shapes])
    full = amounts[0]
    known = amounts[1:] if len(shapes) else amounts
    y = np.array(ratios if len(shapes) else [1.0])
    total = _totals(found, full)
    x = np.concatenate([known / y[:, None], full[None]]) / total
    own = np.array(uncertain or [0.0] * len(y)) / 2
    weights = _posterior(found, x, own**2) / total
    weights *= whole / float(full @ weights)
    priced = (_priced(feature, weight) for feature, weight in zip(found, weights, strict=True))
    return Fitted(tuple(term for terms in priced for term in terms))


def _priced(feature: Feature, weight: float) -> list[Term]:
    """The terms of a feature at a price in seconds."""
    return [replace(term, macs=round(weight * term.macs * FEMTO)) for term in feature.terms]


def _amounts(space: Space, found: Sequence[Feature], shapes: Sequence[Shape]) -> Floats:
    """[shapes, features]"""
    ends = np.cumsum([0, *(len(feature.terms) for feature in found)])[:-1]
    timed = timed_space(space, [term for feature in found for term in feature.terms])
    costs = [timed.costs(timed_shape(shape)) for shape in shapes]
    added: Floats = np.add.reduceat(np.array(costs, dtype=np.float64), ends, axis=1)
    return added


def _totals(found: Sequence[Feature], full: Floats) -> Floats:
    """Of every feature, the amount in the whole unpruned net of the kind that it is counted in."""
    by: dict[str, float] = {}
    for feature, amount in zip(found, full, strict=True):
        by[feature.kind] = by.get(feature.kind, 0.0) + float(amount)
    return np.array([by[feature.like] or 1.0 for feature in found])


def _posterior(found: Sequence[Feature], x: Floats, own: Floats) -> Floats:
    """The mean of the weights [features] by which every row of ``x`` adds up to 1; the last row,
    that of the unpruned net, whose ratio to itself has no noise, as good as exactly.

    Args:
        own: the variance that each of the other rows has by itself.
    """
    prior = _prior(found)
    between = x @ prior @ x.T
    ones = np.ones(len(x))
    best = (-np.inf, ones)
    for scale, noise in product(SCALES, NOISES):
        variances = np.append(noise**2 + own, noise**2 * EXACT)
        covariance = scale**2 * between + np.diag(variances)
        root = np.linalg.cholesky(covariance)
        told = np.linalg.solve(root.T, np.linalg.solve(root, ones))
        likely = -0.5 * float(ones @ told) - float(np.log(root.diagonal()).sum())
        if likely > best[0]:
            best = (likely, scale**2 * told)
    weights: Floats = prior @ (x.T @ best[1])
    return weights


def _prior(found: Sequence[Feature]) -> Floats:
    """The covariance of the weights."""
    kinds = np.array([feature.kind for feature in found])
    families = np.array([feature.family for feature in found])
    alike = kinds[:, None] == kinds
    family = alike & (families[:, None] == families)
    covariance: Floats = alike + FAMILY**2 * family + OWN**2 * np.eye(len(found))
    return covariance
