"""Laws of what losses foretell: order, doubt, and no more of the losses than their order."""

import pytest
import torch
from torch import Generator, Tensor

from tas.methods.trials.surrogate import foretold
from tas.space import Space
from tas.spaces import resnet_space


def space() -> Space:
    return resnet_space("resnet20", residual="tied")


def drawn(space: Space, count: int, seed: int) -> Tensor:
    generator = Generator().manual_seed(seed)
    columns = [
        torch.randint(len(c.candidates), (count,), generator=generator) for c in space.choices
    ]
    return torch.stack(columns, 1)


def loss_of(space: Space, states: Tensor) -> Tensor:
    """Wide is good, the less so the wider, and some choices matter more than others."""
    at = space.doublings(states)
    return (torch.linspace(0.2, 2, at.shape[1]) * (0.7**at - 1)).sum(1)


def rank_correlation(a: Tensor, b: Tensor) -> float:
    ranks = torch.stack([a, b]).argsort(1).argsort(1).double()
    return float(torch.corrcoef(ranks)[0, 1])


def test_it_foretells_the_order_of_shapes_that_were_not_asked() -> None:
    of = space()
    known, others = drawn(of, 100, 0), drawn(of, 500, 1)
    mean, deviation = foretold(of.doublings(known), loss_of(of, known), of.doublings(others))
    assert rank_correlation(mean, loss_of(of, others)) > 0.9
    assert mean.shape == deviation.shape == (500,)
    assert mean.isfinite().all()
    assert (deviation >= 0).all()


def test_it_is_surer_the_more_it_knows_and_surest_of_what_it_was_told() -> None:
    of = space()
    known, others = drawn(of, 100, 0), drawn(of, 500, 1)
    losses = loss_of(of, known)
    mean, told = foretold(of.doublings(known), losses, of.doublings(known))
    _, little = foretold(of.doublings(known[:20]), losses[:20], of.doublings(others))
    _, more = foretold(of.doublings(known), losses, of.doublings(others))
    assert rank_correlation(mean, losses) > 0.97
    assert told.mean() < more.mean() < little.mean()


@pytest.mark.parametrize("worst", [1e30, torch.inf])
def test_only_the_order_of_the_losses_counts(worst: float) -> None:
    of = space()
    known, others = drawn(of, 60, 0), drawn(of, 50, 1)
    losses = loss_of(of, known)
    changed = (3 * losses).exp()
    changed[losses.argmax()] = worst
    for one, other in zip(
        foretold(of.doublings(known), losses, of.doublings(others)),
        foretold(of.doublings(known), changed, of.doublings(others)),
        strict=True,
    ):
        assert torch.equal(one, other)


def test_a_single_loss_foretells_nothing() -> None:
    of = space()
    one, _ = foretold(of.doublings(drawn(of, 1, 0)), torch.ones(1), of.doublings(drawn(of, 50, 1)))
    assert torch.equal(one, torch.zeros(50, dtype=one.dtype))
