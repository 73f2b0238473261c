"""What shapes are asked by: norms measure anew, but for those that are frozen."""

from pathlib import Path

import pytest
import torch
from torch import nn

import tas
from tas.costs import Budget
from tas.data import Data, Images, Transform
from tas.inherit import Source
from tas.methods import TrialOptions
from tas.methods.batches import BatchProblem
from tas.methods.method import Problem
from tas.methods.trials.ask import PHASE, Examiner
from tas.runs import RunDir
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


def test_a_generation_is_read_back_with_what_it_was_asked(tmp_path: Path) -> None:
    """And asked again where the log does not tell that, as those of earlier versions."""
    space: Space = trace(Mixed().train(), example())
    given = tuple((5 + torch.randn(64, 3, 8, 8), torch.arange(64) % 5) for _ in range(4))

    def examiner() -> Examiner:
        problem = BatchProblem(
            space=space,
            source=Source.of(space),
            budget=Budget.of(space, 0.5),
            batches=given,
            device="cpu",
            progress=False,
            out=RunDir.open(tmp_path / "run", {"net": "mixed"}),
        )
        return Examiner(problem, space, TrialOptions(precision="fp32"), 1)

    states = torch.randint(2, (8, len(space.choices)), generator=torch.Generator().manual_seed(0))
    first = examiner()
    losses = first(states)
    asked = ~first.race.parts.isnan()
    assert asked.shape == (8, 4)
    assert 8 < asked.sum() < 32
    again = examiner()
    assert len(again.known) == 1
    assert again(states) == losses
    assert torch.equal(again.race.parts.nan_to_num(-1), first.race.parts.nan_to_num(-1))
    out = RunDir.open(tmp_path / "run", {"net": "mixed"})
    lines = [{k: v for k, v in line.items() if k != "parts"} for line in out.log_lines]
    out.keep_log(PHASE, lines)
    assert examiner().known == []


@pytest.mark.parametrize(
    ("norm", "side", "size"),
    [(nn.BatchNorm2d(6), 8, 64), (nn.Identity(), 8, 16), (nn.BatchNorm2d(6), 128, 16)],
)
def test_a_part_has_64_pictures_in_batches_that_suit_the_net(
    norm: nn.Module, side: int, size: int
) -> None:
    """Norms measure all of them together; where there are none, or pictures are large, small
    batches are faster."""
    pixels = torch.randint(256, (512, 1, side, side), dtype=torch.uint8)
    noise = Images(pixels, torch.arange(512) % 10)
    how = Transform.of_size("grey", (side, side), (0.5,), (0.25,), "shift")
    data = Data("noise", tuple("0123456789"), how, noise, noise, flip=False)
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, data.classes))
    space: Space = trace(
        nn.Sequential(nn.Conv2d(data.input[0], 6, 3), norm, nn.ReLU(), *head),
        torch.zeros(1, *data.input),
    )
    problem = Problem(
        space=space,
        source=Source.of(space),
        budget=Budget.of(space, 0.5),
        data=data,
        learn=data.train,
        judge=data.train,
        options=TrialOptions(precision="fp32"),
        augment=tas.data.Augment(),
        device="cpu",
        progress=False,
    )
    examiner = Examiner(problem, space, TrialOptions(precision="fp32"), 1)
    assert {len(pictures) for pictures, _ in examiner.batches} == {size}
    held = [sum(len(examiner.batches[i][0]) for i in part) for part in examiner.parts]
    assert held == [64] * 8
