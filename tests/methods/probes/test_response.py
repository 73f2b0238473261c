"""What is learnt of a space from the losses of a few shapes."""

import pytest
import torch
from torch import Tensor

from tas.costs import Budget
from tas.methods.choose import choose
from tas.methods.probes.response import design, fit_logits
from tas.methods.sampling import states_near
from tas.space import Space
from tas.spaces import resnet_space

SLOPES = torch.tensor([0.10, 0.15, 0.05, 0.02, 0.01, 0.03])  # nats per doubling, by choice


def pool(space: Space, budget: float = 0.5) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return states_near(space, Budget.of(space, budget), 0.3, 1.15, 2000, generator)


def losses(space: Space, states: Tensor) -> Tensor:
    """Losses that follow the model: every choice's doublings, at its slope."""
    return 2.0 - _doublings(space, states) @ SLOPES


def gains(space: Space, slopes: Tensor, count: int) -> tuple[list[float], list[float]]:
    """Of every choice, what the fit and what the model gives its largest candidate, in nats."""
    states = design(space, pool(space), count)
    widths, depths = fit_logits(space, states, 2.0 - _doublings(space, states) @ slopes)
    found, expected = [], []
    for row, choice, slope in zip(
        [*widths, *depths], [*space.widths, *space.depths], slopes, strict=True
    ):
        ends = torch.tensor([choice.candidates[0], choice.candidates[-1]]).log2()
        expected.append(float(slope * (ends[1] - ends[0])))
        found.append(float(row[len(choice.candidates) - 1] - row[0]) / 100)
    return found, expected


def test_slopes_are_recovered_from_many_losses() -> None:
    space = resnet_space("resnet20", residual="tied").grouped()
    found, expected = gains(space, SLOPES, 200)
    assert found == pytest.approx(expected, rel=0.03, abs=0.002)


def test_slopes_that_are_the_same_for_a_kind_are_recovered_from_a_few() -> None:
    """The prior takes the choices of a kind to be alike, and holds back what sets them apart."""
    space = resnet_space("resnet20", residual="tied").grouped()
    alike = torch.tensor([0.10, 0.10, 0.10, 0.02, 0.02, 0.02])
    found, expected = gains(space, alike, 8)
    assert found == pytest.approx(expected, rel=0.05, abs=0.002)
    found, expected = gains(space, SLOPES, 8)  # 0.15 for the second width, 0.05 for the third
    mean = sum(expected[:3]) / 3
    assert mean < found[1] < expected[1]
    assert expected[2] < found[2] < mean


def test_kinds_of_widths_are_not_held_to_one_another() -> None:
    space = resnet_space("resnet20", residual="tied", what="width").grouped(kinds=True)
    kinds = [choice.kind for choice in space.widths]
    slopes = torch.tensor([0.1 if kind == "stream" else 0.02 for kind in kinds])
    found, expected = gains(space, slopes, 10)
    assert found == pytest.approx(expected, rel=0.05, abs=0.003)


def test_the_shape_chosen_has_the_lowest_modelled_loss() -> None:
    space = resnet_space("resnet20", residual="tied").grouped()
    states = design(space, pool(space), 16)
    logits = fit_logits(space, states, losses(space, states))
    budget = Budget.of(space, 0.5)
    shape = choose(space, *(part.softmax(-1) for part in logits), budget)
    rivals = pool(space)
    fitting = rivals[[space.cost(_shape(space, s)) <= budget.limit for s in rivals.tolist()]]
    widths, depths = space.indices(shape)
    found = losses(space, torch.tensor([[*widths, *depths]]))
    assert found < losses(space, fitting).min()


def test_a_design_tells_more_than_random_shapes() -> None:
    space = resnet_space("resnet20", residual="tied").grouped()
    states = pool(space)
    chosen = design(space, states, 16)
    assert len(torch.unique(chosen, dim=0)) == 16
    assert _information(space, chosen) > max(
        _information(space, states[16 * i : 16 * (i + 1)]) for i in range(20)
    )


def test_a_space_with_fewer_shapes_than_probes_repeats_them() -> None:
    space = resnet_space("resnet20", residual="tied", what="depth")
    states = pool(space)
    chosen = design(space, states, len(states) + 3)
    counts = torch.unique(chosen, dim=0, return_counts=True)[1]
    assert len(counts) == len(states)
    assert set(counts.tolist()) == {1, 2}


def _shape(space: Space, state: list[int]):  # type: ignore[no-untyped-def]
    return space.shape(state[: len(space.widths)], state[len(space.widths) :])


def _doublings(space: Space, states: Tensor) -> Tensor:  # [shapes, choices]
    choices = [*space.widths, *space.depths]
    columns = [torch.tensor(c.candidates).log2()[k] for c, k in zip(choices, states.T, strict=True)]
    return torch.stack(columns, 1)


def _information(space: Space, states: Tensor) -> float:
    x = _doublings(space, states).double()
    x = x - x.mean(0)
    return float(torch.linalg.slogdet(x.T @ x + 0.01 * torch.eye(x.shape[1])).logabsdet)
