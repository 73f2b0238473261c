"""What a search and its trainings cost on ImageNet, by calculation.

    python benchmarks/imagenet_cost.py [--rate 2470] [--budget 0.55]

Nothing is measured here. Multiply-adds are counted, the trials are as many as the preset's, the
probes are those that a search would draw, and the rest are the assumptions below, which the options
change.
"""

import argparse

import torch
from rich.console import Console
from rich.table import Table

from tas import nets, recipes
from tas.api import search_space
from tas.costs import Budget
from tas.data import Data, Images, Transform
from tas.methods.method import telling
from tas.methods.probes import POOL
from tas.methods.probes.response import design
from tas.methods.sampling import states_near
from tas.methods.trials.ask import ON_AVERAGE
from tas.methods.trials.evolution import generations
from tas.methods.trials.method import TRAINED
from tas.methods.trials.options import TrialOptions
from tas.training import dealt_out

PICTURES = 1_281_167
GPUS = (1, 8, 64)
# Share of the single GPU's pace that each of so many keeps when they exchange gradients. That of 8
# is measured (see --rate); that of 64 is assumed.
KEPT = {1: 1.0, 8: 0.84, 64: 0.75}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--rate",
        type=float,
        default=2470,
        help="pictures per second that one GPU trains ResNet-50 on (default: NVIDIA's for an A100)",
    )
    parser.add_argument("--budget", type=float, default=0.55, help="a ratio (default 0.55)")
    parser.add_argument("--probes", type=int, default=16, help="from fresh weights (default 16)")
    parser.add_argument(
        "--cutting",
        type=float,
        default=2.0,
        help="seconds that a trial takes beside its forward passes (default 2, ResNet-50)",
    )
    parser.add_argument(
        "--step-ratio",
        type=float,
        default=2.3,
        help="a step of the paper's search in plain steps (default 2.3, see performance.md)",
    )
    options = parser.parse_args()
    table = Table("net", "phase", *(f"hours on {g} GPU{'s' * (g > 1)}" for g in GPUS))
    for name in ("resnet18", "resnet50"):
        for what, hours in phases(name, options).items():
            table.add_row(name, what, *(f"{h:.1f}" if h >= 1 else f"{h:.2f}" for h in hours))
    Console().print(table)


def phases(name: str, options: argparse.Namespace) -> dict[str, list[float]]:
    """Hours on each number of GPUs, by phase."""
    full = nets.full_shape(name, 1000, (3, 224, 224))
    reference = nets.measured(nets.full_shape("resnet50", 1000, (3, 224, 224))).macs or 0
    macs = nets.measured(full).macs or 0
    epoch = PICTURES / (options.rate * reference / macs) / 3600  # hours of the unpruned net

    def together(epochs: float) -> list[float]:
        return [epochs * epoch / (gpus * KEPT[gpus]) for gpus in GPUS]

    recipe, paper = recipes.imagenet(), recipes.paper_imagenet()
    # The teacher's answers are a forward pass, a third of a training step.
    student = options.budget + 1 / 3
    # A step trains on one batch of each half of the pictures.
    paper_search = paper.search.epochs * 0.5 * options.step_ratio

    probes = probe_costs(name, options.budget, options.probes)
    each = [recipe.search.epochs * recipe.fraction * cost * epoch for cost in probes]
    trials = recipe.inheriting().search
    assert isinstance(trials, TrialOptions)
    asked = ON_AVERAGE / PICTURES / 3  # forward passes, a third of a training step
    trial = asked * options.budget * epoch + options.cutting / 3600
    learn = telling(round(recipe.fraction * PICTURES)) / PICTURES
    final = trials.epochs * learn * (options.budget + 1 / 3) * epoch
    return {
        f"search by {trials.trials} trials": [
            sum(-(-size // gpus) for size in generations(trials.trials)) * trial
            + final * -(-TRAINED // gpus)
            for gpus in GPUS
        ],
        f"search by {len(probes)} probes": [
            max(sum(each[n] for n in own) for own in dealt_out(probes, gpus)) for gpus in GPUS
        ],
        "the paper's search": together(paper_search),
        "training of the teacher": together(recipe.teacher.epochs),
        "distilling the found net": together(recipe.student.epochs * student),
    }


def probe_costs(name: str, budget: float, count: int) -> list[float]:
    """What each probe costs, as a ratio of the unpruned net."""
    none = Images(torch.empty(0, 3, 224, 224, dtype=torch.uint8), torch.empty(0, dtype=torch.long))
    names = tuple(str(i) for i in range(1000))
    transform = Transform.of_size("rgb", (224, 224), (0.5,) * 3, (0.25,) * 3)
    data = Data("imagenet", names, transform, none, none, flip=True)
    options = recipes.imagenet().search
    space, _ = search_space(name, data, options.method())
    generator = torch.Generator().manual_seed(0)
    limit = Budget.of(space, budget)
    near = states_near(space, limit, options.low, options.high, POOL, generator)
    chosen = design(space, near, count)
    costs = limit.expected(space).of_states(chosen)
    return (costs / (space.unpruned.macs or 1)).tolist()


if __name__ == "__main__":
    main()
