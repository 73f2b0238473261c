"""What shapes are asked by: norms measure anew, but for those that are frozen."""

import pytest
import torch

from tas.costs import Budget
from tas.inherit import Source
from tas.methods import TrialOptions
from tas.methods.batches import BatchProblem
from tas.methods.trials.ask import Examiner
from tas.space import Space
from tas.spaces import trace
from traced_nets import Mixed, example


def batches() -> tuple[tuple[torch.Tensor, torch.Tensor], ...]:
    generator = torch.Generator().manual_seed(0)
    return ((5 + torch.randn(16, 3, 8, 8, generator=generator), torch.arange(16) % 5),) * 2


@pytest.mark.parametrize("how", ["training", "evaluation", "one is frozen"])
def test_a_frozen_norm_keeps_its_statistics(how: str) -> None:
    net = Mixed().train(how != "evaluation")
    if how == "one is frozen":
        net.blocks[1].norm.eval()
    space: Space = trace(net, example())
    problem = BatchProblem(
        space=space,
        source=Source.of(space),
        budget=Budget.of(space, 0.5),
        batches=batches(),
        device="cpu",
        progress=False,
    )
    examiner = Examiner(problem, space, TrialOptions(precision="fp32"), 1)
    norms = [block.norm for block in net.blocks]
    for norm in norms:  # statistics of other pictures, which only a frozen norm goes by
        norm.running_mean.fill_(100.0)
    before = examiner.answers
    after = Examiner(problem, space, TrialOptions(precision="fp32"), 1).answers
    same = all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert same == (how != "one is frozen")
    assert [norm.training for norm in norms] == [
        how != "evaluation",
        how == "training",
        how != "evaluation",
    ]
