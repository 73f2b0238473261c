"""The laws of the algorithm's parts."""

import math

import pytest
import torch
import torch.nn.functional as F

from helpers import images
from tas.methods.paper import algorithm as paper
from tas.training import distill_loss


@pytest.mark.parametrize(("c", "n"), [(4, 4), (4, 6), (5, 8), (6, 16), (1, 7), (9, 11)])
def test_channel_matrix_is_adaptive_average_pooling(c: int, n: int) -> None:
    size = 16
    x = images(2, size, 3, 3)
    matrix = paper.channel_matrix(torch.tensor(n), torch.tensor(c), size)
    expected = F.adaptive_avg_pool3d(x[:, :c], (n, 3, 3))
    mixed = paper.mix_channels(x, matrix)
    torch.testing.assert_close(mixed[:, :n], expected)
    assert not mixed[:, n:].any()


def test_width_matrix_mixes_two_widths_as_the_paper_does() -> None:
    x = images(2, 8, 3, 3)
    widths, weights = torch.tensor([[3, 6], [8, 5]]), torch.tensor([[0.3, 0.7], [0.9, 0.1]])
    for matrix, (a, b), (p, q) in zip(
        paper.width_matrix(widths, weights, 8), widths.tolist(), weights.tolist(), strict=True
    ):
        n = max(a, b)
        pooled = [F.adaptive_avg_pool3d(x[:, :c], (n, 3, 3)) for c in (a, b)]
        mixed = paper.mix_channels(x, matrix)
        torch.testing.assert_close(mixed[:, :n], p * pooled[0] + q * pooled[1])
        assert not mixed[:, n:].any()


def test_width_mask_keeps_what_both_widths_have_and_weights_what_one_of_them_lacks() -> None:
    widths, weights = torch.tensor([[3, 6], [8, 5]]), torch.tensor([[0.3, 0.7], [0.9, 0.1]])
    ones, masks = torch.ones, paper.width_mask(widths, weights, 8)
    torch.testing.assert_close(masks[0], torch.cat([ones(3), 0.7 * ones(3), 0 * ones(2)]))
    torch.testing.assert_close(masks[1], torch.cat([ones(5), 0.9 * ones(3)]))


def test_sample_two_draws_without_replacement_from_the_gumbel_softmax() -> None:
    # At a high tau the second noise decides, so that pairs follow softmax(u) ~ uniform; at tau 1
    # the first member of the pair follows softmax(logits) perturbed twice: compare frequencies
    # with a plain multinomial draw from the same perturbed logits.
    logits = torch.tensor([[0.0, 1.0, 2.0, -torch.inf]]).expand(40_000, -1)
    generator = torch.Generator().manual_seed(1)
    indices, weights = paper.sample_two(logits, 1.0, generator)
    assert (indices[:, 0] != indices[:, 1]).all()
    assert (indices != 3).all()
    torch.testing.assert_close(weights.sum(1), torch.ones(len(weights)))
    u = paper.gumbel_logits(logits, 1.0, torch.Generator().manual_seed(2))
    plain = torch.multinomial(u.softmax(1), 2, generator=torch.Generator().manual_seed(3))
    for column in (0, 1):
        ours = indices[:, column].bincount(minlength=4) / len(indices)
        theirs = plain[:, column].bincount(minlength=4) / len(plain)
        torch.testing.assert_close(ours, theirs, atol=0.012, rtol=0)


def test_sample_two_carries_gradient_only_to_existing_candidates() -> None:
    logits = torch.zeros(3, 4, requires_grad=True)
    mask = torch.tensor([0.0, 0.0, 0.0, -torch.inf])
    _, weights = paper.sample_two(logits + mask, 0.5)
    weights[:, 0].sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert logits.grad[:, :3].any()
    assert not logits.grad[:, 3].any()


def test_temperature_is_a_cosine() -> None:
    assert paper.temperature(0.0) == pytest.approx(5.0)
    assert paper.temperature(0.5) == pytest.approx(2.55)
    assert paper.temperature(1.0) == pytest.approx(0.1)


def test_mix_depths_with_and_without_interpolation() -> None:
    features = [images(2, 8, 3, 3, seed=s) for s in range(3)]
    weights = torch.tensor([0.2, 0.3, 0.5])
    plain = sum(w * f for w, f in zip(weights, features, strict=True))
    torch.testing.assert_close(paper.mix_depths(features, weights), plain)
    widths = torch.tensor([4, 6, 5])
    narrow = [
        f * (torch.arange(8) < c)[:, None, None] for f, c in zip(features, widths, strict=True)
    ]
    matrices = paper.channel_matrix(torch.tensor([6, 6, 6]), widths, 8)
    mixed = paper.mix_depths(narrow, weights, matrices)
    pooled = [
        F.adaptive_avg_pool3d(f[:, :c], (6, 3, 3))
        for f, c in zip(narrow, widths.tolist(), strict=True)
    ]
    torch.testing.assert_close(
        mixed[:, :6], sum(w * p for w, p in zip(weights, pooled, strict=True))
    )
    assert not mixed[:, 6:].any()


def test_budget_loss_pushes_towards_the_band() -> None:
    expected = torch.tensor(80.0, requires_grad=True)
    for likely, sign in ((110.0, 1), (97.0, 0), (90.0, -1)):
        loss = paper.budget_loss(expected, torch.tensor(likely), budget=100, tolerance=0.05)
        (gradient,) = torch.autograd.grad(loss, expected)
        assert gradient == pytest.approx(sign / 80)


def test_distill_loss_by_hand() -> None:
    student, teacher = images(5, 4, seed=1), images(5, 4, seed=2)
    labels = torch.tensor([0, 1, 2, 3, 0])
    p, q = (teacher / 4).softmax(1), (student / 4).softmax(1)
    soft = (p * (p / q).log()).sum() / 5 * 16
    expected = 0.1 * F.cross_entropy(student, labels) + 0.9 * soft
    torch.testing.assert_close(distill_loss(student, teacher, labels), expected)
    assert distill_loss(teacher, teacher, labels, alpha=1.0) == pytest.approx(0, abs=1e-6)
    assert not math.isnan(float(distill_loss(student * 1e3, teacher * 1e3, labels)))
