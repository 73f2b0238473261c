"""The algorithm, in the order of the paper, in one sitting.

*Network Pruning via Transformable Architecture Search*, Dong & Yang, NeurIPS 2019,
arXiv 1905.09717; section numbers are the paper's. Two batches make one step of the search: the
weights of the supernet learn on the first, the logits of the choices on the second. Shapes of
tensors never change from one step to the next and nothing here asks the device for a number, so a
step never waits for it.

``L`` is the number of width choices, ``K`` of the candidates of each; ``C`` counts channels.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch.optim import Optimizer

Batch = tuple[Tensor, Tensor]  # images [N, C, H, W], labels [N]
Take = Callable[..., dict[str, Tensor]]  # of a pass, and what it is given


def temperature(progress: float, start: float = 5.0, end: float = 0.1) -> float:
    """tau of the Gumbel-softmax: a cosine from ``start`` to ``end`` as ``progress`` goes 0 to 1."""
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2


def gumbel_logits(
    logits: Tensor, tau: float | Tensor, generator: Generator | None = None
) -> Tensor:
    """Section 3.1, Gumbel-softmax: (log p + g) / tau with Gumbel noise g, for logits [L, K]."""
    gumbel = -torch.empty_like(logits).exponential_(generator=generator).log()
    return (logits.log_softmax(-1) + gumbel) / tau


def sample_two(
    logits: Tensor, tau: float | Tensor, generator: Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Section 3.1: two candidates of every choice, drawn without replacement, and their weights.

    Args:
        logits: [L, K]; -inf where a choice has fewer than K candidates.

    Returns:
        indices [L, 2] and weights [L, 2], which sum to 1 and carry the gradient of the logits.
    """
    u = gumbel_logits(logits, tau, generator)
    # The two largest of log p + Gumbel noise are a draw from p without replacement.
    keys = gumbel_logits(u.detach(), 1.0, generator)
    indices = keys.topk(2, dim=-1).indices
    return indices, u.gather(-1, indices).softmax(-1)


def channel_matrix(n: Tensor, c: Tensor, size: int) -> Tensor:
    """Section 3.1, channel-wise interpolation: the first c of ``size`` channels, brought to n.

    Row o averages the channels floor(o c / n) to ceil((o + 1) c / n) - 1, as an adaptive average
    pool along the channels does; rows from n on are zero.

    Args:
        n, c: whole numbers [...], c <= n <= size.

    Returns:
        [..., size, size], to be multiplied to the channels.
    """
    n, c = n[..., None, None], c[..., None, None]
    row = torch.arange(size, device=n.device)[:, None]
    column = torch.arange(size, device=n.device)
    start = row * c // n
    end = ((row + 1) * c + n - 1) // n
    inside = (column >= start) & (column < end) & (row < n)
    return inside / (end - start)


def width_matrix(widths: Tensor, weights: Tensor, size: int) -> Tensor:
    """Section 3.1, search for width: p_a A(max <- a) + p_b A(max <- b) of every choice.

    Args:
        widths: [L, 2], channels; weights: [L, 2].

    Returns:
        [L, size, size].
    """
    n = widths.amax(-1, keepdim=True).expand_as(widths)
    matrices = channel_matrix(n, widths, size).to(weights.dtype)
    return torch.einsum("lt,ltij->lij", weights, matrices)


def width_mask(widths: Tensor, weights: Tensor, size: int) -> Tensor:
    """Not the paper's: p_a 1[:a] + p_b 1[:b] of every choice, 1[:c] keeping the first c channels.

    The channel masking of FBNetV2 (Wan et al., CVPR 2020, arXiv 2004.05565) in the place of
    ``width_matrix``. A channel keeps its meaning whichever candidate is drawn: those that both keep
    are multiplied by p_a + p_b = 1.

    Args:
        widths: [L, 2], channels; weights: [L, 2].

    Returns:
        [L, size], to be multiplied to the channels.
    """
    inside = torch.arange(size, device=widths.device) < widths[..., None]  # [L, 2, size]
    return torch.einsum("lt,ltc->lc", weights, inside.to(weights.dtype))


def mix_depths(features: list[Tensor], weights: Tensor, matrices: Tensor | None = None) -> Tensor:
    """Section 3.1, search for depth: the weighted sum of a stage's outputs at all its depths.

    Args:
        features: outputs of the blocks that end a candidate depth, each [N, C, H, W].
        weights: [len(features)].
        matrices: [len(features), C, C], which bring every feature to the widest one's channels;
            None where all have the same.
    """
    if matrices is not None:  # one product instead of one per depth: sum_d (q_d A_d) f_d
        wide = (weights[:, None, None] * matrices).movedim(0, 1).flatten(1)  # [C, D C]
        return mix_channels(torch.cat(features, 1), wide)
    total = weights[0] * features[0]
    for weight, feature in zip(weights[1:], features[1:], strict=True):
        total = torch.addcmul(total, weight, feature)
    return total


def mix_channels(x: Tensor, matrix: Tensor) -> Tensor:
    """Multiply the channels of x [N, C_in, H, W] by a matrix [C_out, C_in]."""
    return F.conv2d(x, matrix[:, :, None, None])


def budget_loss(expected: Tensor, likely: Tensor, budget: float, tolerance: float) -> Tensor:
    """Section 3.1, the cost term: log of the expected cost, with a sign.

    The sign is + where the most likely shape costs more than the budget, - where it costs less than
    budget * (1 - tolerance), and 0 in between.
    """
    above = (likely > budget).to(expected.dtype)
    below = (likely < budget * (1 - tolerance)).to(expected.dtype)
    return (above - below) * expected.log()


class Searchable(Protocol):
    """What a search step needs of a supernet; the class is in ``supernet.py``."""

    def draw(self, tau: float | Tensor, generator: Generator | None) -> object: ...
    def __call__(self, images: Tensor, draw: object) -> Tensor: ...
    def weight_parameters(self) -> Iterable[nn.Parameter]: ...
    def logit_parameters(self) -> Iterable[nn.Parameter]: ...
    def expected_cost(self) -> Tensor: ...
    def likely_cost(self) -> Tensor: ...


def as_it_is(taken: Callable[..., dict[str, Tensor]], *given: Tensor | float) -> dict[str, Tensor]:
    """A pass, taken by calling it."""
    return taken(*given)


def search_step(
    supernet: Searchable,
    weight_batch: Batch,
    logit_batch: Batch,
    weight_optimizer: Optimizer,
    logit_optimizer: Optimizer,
    *,
    tau: float,
    budget: float,
    cost_weight: float = 2.0,
    tolerance: float = 0.05,
    generator: Generator | None = None,
    backward: Callable[[Tensor], None] = Tensor.backward,
    take: Take = as_it_is,
) -> dict[str, Tensor]:
    """One step of the search: the weights on one batch, then the logits on another.

    Args:
        tau: temperature of the draw.
        budget: what the derived net may cost, in the unit of ``supernet.expected_cost()``.
        generator: source of the Gumbel noise, on the logits' device.
        backward: how a loss is sent back; Accelerate brings its own.
        take: how a pass, a function of a batch and tau, is taken: as it is, or from a recording.

    Returns:
        Detached scalars: ``loss`` and ``correct`` of the weights' batch, ``logit_loss`` (the
        cross-entropy), ``cost_loss``, ``expected_cost``, ``likely_cost``.
    """

    def weight_pass(images: Tensor, labels: Tensor, tau: float | Tensor) -> dict[str, Tensor]:
        with frozen(supernet.logit_parameters()):
            output = supernet(images, supernet.draw(tau, generator))
        loss = F.cross_entropy(output, labels)
        weight_optimizer.zero_grad()
        backward(loss)
        return {"loss": loss.detach(), "correct": _correct(output, labels)}

    def logit_pass(images: Tensor, labels: Tensor, tau: float | Tensor) -> dict[str, Tensor]:
        # Frozen, not discarded: a third of a training step is the gradient of the weights.
        with frozen(supernet.weight_parameters()):
            output = supernet(images, supernet.draw(tau, generator))
        loss = F.cross_entropy(output, labels)
        cost = _cost(supernet, budget, tolerance)
        logit_optimizer.zero_grad()
        backward(loss + cost_weight * cost["cost_loss"])
        return {"logit_loss": loss.detach(), **_detached(cost)}

    figures = take(weight_pass, *weight_batch, tau)
    weight_optimizer.step()
    figures = figures | take(logit_pass, *logit_batch, tau)
    logit_optimizer.step()
    return figures


def one_pass_step(
    supernet: Searchable,
    batch: Batch,
    weight_optimizer: Optimizer,
    logit_optimizer: Optimizer,
    *,
    tau: float,
    budget: float,
    cost_weight: float = 2.0,
    tolerance: float = 0.05,
    generator: Generator | None = None,
    backward: Callable[[Tensor], None] = Tensor.backward,
    take: Take = as_it_is,
) -> dict[str, Tensor]:
    """Not the paper's: weights and logits learn in one pass on one batch, for half the work.

    The logits then follow the loss on pictures that the weights have been fitted to. Arguments and
    returned figures are those of ``search_step``; ``logit_loss`` is ``loss``.
    """

    def one_pass(images: Tensor, labels: Tensor, tau: float | Tensor) -> dict[str, Tensor]:
        output = supernet(images, supernet.draw(tau, generator))
        loss = F.cross_entropy(output, labels)
        cost = _cost(supernet, budget, tolerance)
        weight_optimizer.zero_grad()
        logit_optimizer.zero_grad()
        backward(loss + cost_weight * cost["cost_loss"])
        scalars = _detached({"loss": loss, "logit_loss": loss, **cost})
        return {**scalars, "correct": _correct(output, labels)}

    figures = take(one_pass, *batch, tau)
    weight_optimizer.step()
    logit_optimizer.step()
    return figures


def _cost(supernet: Searchable, budget: float, tolerance: float) -> dict[str, Tensor]:
    expected, likely = supernet.expected_cost(), supernet.likely_cost()
    cost_loss = budget_loss(expected, likely, budget, tolerance)
    return {"cost_loss": cost_loss, "expected_cost": expected, "likely_cost": likely}


def _detached(scalars: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach() for name, value in scalars.items()}


def _correct(output: Tensor, labels: Tensor) -> Tensor:
    return (output.detach().argmax(-1) == labels).sum()


@contextmanager
def frozen(parameters: Iterable[nn.Parameter]) -> Iterator[None]:
    """What runs inside builds no gradient for these parameters; then each is as it was."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
