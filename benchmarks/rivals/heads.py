"""A ViT of DeiT-tiny's size at half of its multiply-adds: heads and all, or MLPs alone.

    python benchmarks/rivals/heads.py --data PATH --work FOLDER

Patches of 4 on pictures of 32 pixels, 192 channels, 3 heads, 12 blocks; one teacher. Four nets of
half its multiply-adds: searched with heads, their sizes, MLPs, the stream and blocks to choose from
(the default); searched with MLPs alone; equal ratios; and Torch-Pruning, which is told the heads,
by the setting of seven that loses least on training pictures. Each is cut once, and fine-tuned
alike by every seed. All else is as in ``run.py``. Rows are appended to ``heads.csv``; the command
goes on from there, and several may run at once, with other ``--methods`` or ``--seeds``.
"""

import argparse
import os
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plan import RATE_BUDGET, Item
from run import say

if TYPE_CHECKING:
    from bench import Bench
    from torch import nn

NET = "deit_tiny"
OWN = ("equal", "ours", "mlps")
BEST_RIVAL = "torch-pruning"
MLP_RATIOS = tuple(step / 20 for step in range(1, 21))  # a quarter of MLPs is not enough for half


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    add = parser.add_argument
    add("--data", required=True, metavar="PATH", help="pictures, as `tas run --data` takes them")
    add("--work", required=True, type=Path, help="folder for the teacher, nets and checkpoints")
    add("--pictures", type=int, default=10_000, help="to train on")
    add("--methods", nargs="+", choices=(*OWN, BEST_RIVAL), default=[*OWN, BEST_RIVAL])
    add("--seeds", nargs="+", type=int, default=[0, 1, 2])
    add("--table", type=Path, default=Path(__file__).with_name("heads.csv"))
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    warnings.filterwarnings("ignore")
    import torch

    torch.set_num_threads(1)
    bench = _bench(options)
    say(f"teacher: {bench.teacher(NET).accuracy:.2f} %")
    for name in options.methods:
        named = name == BEST_RIVAL
        method = bench.best_rivals(NET, RATE_BUDGET)[0] if named else name
        for item in (Item("untrained", NET, RATE_BUDGET, method), *_tuned(method, options.seeds)):
            if not bench.done(item):
                say(f"{item}: {bench.do(item)}")
    return 0


def _tuned(method: str, seeds: list[int]) -> list[Item]:
    return [Item("tuned", NET, RATE_BUDGET, method, seed) for seed in seeds]


def _bench(options: argparse.Namespace) -> "Bench":
    """The bench of ``run.py``, with one more net and one more method."""
    from bench import Bench
    from contenders import METHODS, Method
    from zoo import NETS

    NETS[NET] = replace(
        NETS["vit_tiny"],
        make=_deit,
        changed="patches of 4, 192 channels, 3 heads, 12 blocks",
        epochs=10,
        tune_epochs=2,
        rates=(5e-4,),
        precision="bf16",
    )
    METHODS["ours"] = replace(METHODS["ours"], draws=False)
    METHODS["mlps"] = Method("searched, MLPs alone", _mlps_alone, draws=False)
    more = {"data_dir": None, "threads": 1, "again": False, "trials": 300}
    return Bench(argparse.Namespace(**vars(options), **more), say)


def _deit(classes: int, input: tuple[int, int, int]) -> "nn.Module":
    from timm.models.vision_transformer import VisionTransformer

    net = VisionTransformer(
        img_size=input[1:],
        patch_size=4,
        in_chans=input[0],
        num_classes=classes,
        embed_dim=192,
        depth=12,
        num_heads=3,
    )
    for block in net.blocks:
        block.attn.fused_attn = False  # Torch-Pruning reads the graph of the plain products
    return net


def _mlps_alone(task: Any) -> "nn.Module":
    from contenders import searched

    mlps = [name for name, _ in task.teacher.named_modules() if name.endswith("mlp.fc1")]
    return searched(task, only=mlps, ratios=MLP_RATIOS)


if __name__ == "__main__":
    sys.exit(main())
