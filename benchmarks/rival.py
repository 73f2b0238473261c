"""Torch-Pruning at the same multiply-adds, fine-tuned as ``tas train`` trains.

    pip install torch-pruning
    python benchmarks/rival.py --data PATH --net resnet20 --teacher teacher.safetensors \\
        --budget 0.55 --epochs 8 --out runs/rival

Group-norm importance over the whole net (DepGraph, CVPR 2023), pruned step by step until the budget
is met, as in that project's own benchmark; then fine-tuned with the unpruned net as its teacher,
which ``tas train --inherit`` weighs alike. Prints one JSON object.
"""

import argparse
import json
import time
from copy import deepcopy
from dataclasses import replace

import torch
import torch_pruning
from torch import nn

import tas
from tas.costs.count import count
from tas.recipes import INHERITED, quick
from tas.runs import RunDir
from tas.weights import load_weights

STEPS = 400  # of the pruning; that project's own number


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--net", default="resnet20")
    parser.add_argument("--teacher", required=True, help="weights of the unpruned net")
    parser.add_argument("--budget", type=float, default=0.55, help="of the multiply-adds")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--warmup-epochs", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--lr", type=float, default=0.2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kd-alpha", type=float, default=INHERITED["kd_alpha"], help="0: labels")
    parser.add_argument("--out", required=True, help="run directory")
    options = parser.parse_args()

    data = tas.data.load(options.data)
    teacher = tas.nets.build(options.net, data.classes, data.input)
    load_weights(teacher, options.teacher)
    started = time.perf_counter()
    net = pruned(teacher, data.input, options.budget)
    seconds = {"prune": time.perf_counter() - started}
    how = replace(
        quick().student,
        epochs=options.epochs,
        warmup_epochs=options.warmup_epochs,
        batch_size=options.batch_size,
        lr=options.lr,
        kd_alpha=options.kd_alpha,
    )
    started = time.perf_counter()
    result = tas.train(
        net,
        data,
        teacher=teacher,
        options=how,
        seed=options.seed,
        out=RunDir.open(options.out, vars(options)),
    )
    seconds["fine-tune"] = time.perf_counter() - started
    full = count(teacher, data.input).macs
    widths = {n: m.out_channels for n, m in net.named_modules() if isinstance(m, nn.Conv2d)}
    print(
        json.dumps(
            {
                "macs": result.macs,
                "ratio": result.macs / full,
                "params": result.params,
                "accuracy": result.accuracy,
                "seconds": seconds,
                "torch_pruning": torch_pruning.__version__,
                "widths": widths,
            }
        )
    )


def pruned(teacher: nn.Module, input: tuple[int, int, int], budget: float) -> nn.Module:
    """A copy of the teacher, with channels taken away until it meets the budget."""
    net = deepcopy(teacher).eval()
    limit = budget * count(net, input).macs
    example = torch.zeros(1, *input)
    pruner = torch_pruning.pruner.GroupNormPruner(
        net,
        example,
        importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
        global_pruning=True,
        pruning_ratio=1.0,
        iterative_steps=STEPS,
        ignored_layers=[m for m in net.modules() if isinstance(m, nn.Linear)],
    )
    for _ in range(STEPS):
        if count(net, input).macs <= limit:
            return net
        pruner.step()
    raise SystemExit(f"Torch-Pruning did not reach {budget} of the multiply-adds")


if __name__ == "__main__":
    main()
