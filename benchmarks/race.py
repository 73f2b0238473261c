"""What a search saves by asking most shapes on few examples, and what that costs in what it finds.

    python benchmarks/race.py --data PATH --epochs 8 --seeds 0 1 2 3 4
    python benchmarks/race.py --nets timm:resnet50 timm:vit_small_patch16_224 --raced --threads 2

Every search is made twice, in one process: *raced* as it is (``tas.methods.trials.race``), and
*whole*, with every shape asked on all examples. A row for each says how many forward passes of one
example that took, seconds of the wall from the trained net to the shape (the short training at the
end is left out), and the loss of what was found on 2,048 other training pictures.

Without ``--data`` the pictures are noise and the weights fresh: seconds depend on neither, and
losses tell nothing. A teacher is trained on labels for ``--epochs``.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Generator, nn

import tas
from tas.api import search_space
from tas.costs import Budget
from tas.data import Augment, Data, Images, Transform
from tas.inherit import Source
from tas.methods.method import Problem
from tas.methods.question import Decision
from tas.methods.trials import ask
from tas.recipes import quick
from tas.runs import RunDir
from tas.shape import Shape
from tas.training import Classification, TrainOptions, fit, seeded
from tas.training.pictures import training_batches

NOISE = 2560  # pictures of it
OTHERS = 2048  # on which what was found is asked


class Untested(Problem):
    """A search without the short training at its end."""

    def decide(self, finalists: Sequence[Shape], *_: Any) -> Decision:
        return finalists[0], []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--nets", nargs="+", default=["resnet20"], metavar="NAME")
    parser.add_argument("--data", metavar="PATH", help="as `tas run` takes it (default: noise)")
    parser.add_argument("--pictures", type=int, default=10_000, help="to train on")
    parser.add_argument("--epochs", type=int, default=8, help="of the teacher's training")
    parser.add_argument("--budgets", nargs="+", type=float, default=[0.5], metavar="RATIO")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--raced", action="store_true", help="leave out the search that asks all")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for name in options.nets:
        data = given(name, options)
        net = teacher(name, data, options)
        for budget in options.budgets:
            for seed in options.seeds:
                for raced in (True,) if options.raced else (True, False):
                    row = searched(net, data, budget, seed, raced, options)
                    print(json.dumps({"net": name, **row}), flush=True)


def given(name: str, options: argparse.Namespace) -> Data:
    """The pictures, or noise that the net takes."""
    if options.data:
        data = tas.data.load(options.data, progress=False)
        order = torch.randperm(len(data.train), generator=Generator().manual_seed(0))
        return replace(data, train=data.train.take(order[: options.pictures]))
    channels, *size = tas.nets.full_shape(name).input
    generator = Generator().manual_seed(0)
    shape = (NOISE, channels, *size)
    pixels = torch.randint(256, shape, generator=generator, dtype=torch.uint8)
    noise = Images(pixels, torch.randint(1000, (NOISE,), generator=generator))
    names = tuple(str(number) for number in range(1000))
    transform = Transform.of_size("rgb", (size[0], size[1]), (0.5,) * 3, (0.25,) * 3)
    return Data("noise", names, transform, noise, noise, flip=True)


def teacher(name: str, data: Data, options: argparse.Namespace) -> nn.Module:
    """The net, trained on labels where there are pictures."""
    with seeded(0):
        net = tas.nets.build(name, data.classes, data.input)
    if options.data:
        how = TrainOptions(epochs=options.epochs, warmup_epochs=1)
        fit(Classification(net, how), batches(data, how, 0), progress=False)
    return net.eval()


def batches(data: Data, options: TrainOptions, seed: int) -> Any:
    return training_batches(data, data.train, options, Augment(), "cpu", 0, seed)


def searched(
    net: nn.Module, data: Data, ratio: float, seed: int, raced: bool, options: argparse.Namespace
) -> dict[str, Any]:
    """One search: its seconds, what it asked, and the loss of what it found."""
    how = replace(quick().inheriting().search, trials=options.trials)
    space, _ = search_space(net, data, how.method())
    problem = Untested(
        space=space,
        source=Source.of(space, net),
        budget=Budget.of(space, ratio),
        data=data,
        learn=data.train,
        judge=data.train,
        options=how,
        augment=Augment(),
        seed=seed,
        workers=0,
        device="cpu",
        progress=False,
    )
    usual, ask.PART = ask.PART, ask.PART if raced else ask.EXAMPLES
    try:
        with TemporaryDirectory() as folder:
            out = RunDir.open(Path(folder) / "run", {})
            started = time.perf_counter()
            problem = replace(problem, out=out).ordered()
            ordered = time.perf_counter()
            found = how.method().find(problem)
            ended = time.perf_counter()
            lines = [line for line in out.log_lines if line["phase"] == ask.PHASE]
    finally:
        ask.PART = usual
    # Of a state that was asked again the last row tells all.
    rows = {
        tuple(state): row
        for line in lines
        for state, row in zip(line["states"], line["parts"], strict=True)
    }
    known = sum(loss is not None for row in rows.values() for loss in row)
    parts = len(lines[0]["parts"][0])
    return {
        "budget": ratio,
        "seed": seed,
        "raced": raced,
        "trials": len(rows),
        "passes": round(known / parts * ask.EXAMPLES),
        "ordering": round(ordered - started, 1),
        "seconds": round(ended - started, 1),
        "loss": round(on_others(problem, found.shape), 4) if options.data else None,
        "threads": options.threads,
        "torch": torch.__version__,
    }


def on_others(problem: Problem, shape: Shape) -> float:
    """What a shape's net loses on other pictures than those of the search."""
    usual, ask.EXAMPLES = ask.EXAMPLES, OTHERS
    try:
        other = replace(problem, seed=1000 + problem.seed, out=None)
        return ask.Examiner(other, problem.space, problem.options, 1).lost(shape)
    finally:
        ask.EXAMPLES = usual


if __name__ == "__main__":
    main()
