"""What the losses of some shapes foretell of others: a Gaussian process over widths and depths.

(Rasmussen & Williams, *Gaussian Processes for Machine Learning*, 2006, chapters 2 and 5.) Losses
that are alike near one another, and rise or fall over the whole space: the covariance of two shapes
is that of a linear function of the logarithms of their widths and depths, and of a smooth one.
"""

from itertools import product

import torch
from torch import Tensor

__all__ = ["foretold"]

# What the likelihood chooses from.
REACHES = (1.0, 2.0, 4.0)  # over which losses are alike, in the spread of the shapes
LINEAR = (1.0, 10.0)  # variance of the linear part, in those of the smooth one
NOISE = (1e-3, 1e-2)  # variance of what neither tells


def foretold(at: Tensor, losses: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation [others] of the losses of other shapes, in normal scores.

    The losses enter as normal scores of their ranks, so that neither their scale nor some that are
    large or infinite matter.

    Args:
        at, others: [shapes, choices] log2 of what they chose, as of ``Space.doublings``.
        losses: [shapes], those of the shapes ``at``.
    """
    spread = at.std(0, correction=0)
    spread = torch.where(spread > 0, spread, 1.0) * at.shape[1] ** 0.5
    x, z = (at - at.mean(0)) / spread, (others - at.mean(0)) / spread
    ranks = losses.argsort(stable=True).argsort()
    y = torch.special.ndtri((ranks.double() + 0.5) / len(losses))

    def covariance(a: Tensor, b: Tensor, reach: float, linear: float) -> Tensor:
        smooth = (-(torch.cdist(a, b) ** 2) / (2 * reach**2)).exp()
        return smooth + linear * a @ b.T

    fits = []
    for reach, linear, noise in product(REACHES, LINEAR, NOISE):
        known = covariance(x, x, reach, linear) + noise * torch.eye(len(x), dtype=x.dtype)
        root = torch.linalg.cholesky(known)
        weights = torch.cholesky_solve(y[:, None], root)[:, 0]
        scale = y @ weights / len(y)  # of all variances, by which the losses are likeliest
        unlikely = len(y) * scale.log() / 2 + root.diagonal().log().sum()
        fits.append((float(unlikely), reach, linear, root, weights, scale))
    _, reach, linear, root, weights, scale = min(fits, key=lambda fit: fit[0])
    between = covariance(z, x, reach, linear)
    told = torch.linalg.solve_triangular(root, between.T, upper=False)
    left = 1 + linear * (z * z).sum(1) - (told * told).sum(0)
    return between @ weights, (left * scale).clamp_min(0).sqrt()
