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

NET = "deit_tiny"
OWN = ("equal", "ours", "mlps")
MLP_RATIOS = tuple(step / 20 for step in range(1, 21))  # a quarter of MLPs is not enough for half


def main() -> int:
    table = Path(__file__).with_name("heads.csv")
    options = parser_of(__doc__, (*OWN, BEST_RIVAL), 10_000, table).parse_args()
    on_one_thread()
    bench = _bench(options)
    say(f"teacher: {bench.teacher(NET).accuracy:.2f} %")
    measure(bench, NET)
    return 0


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
    options.trials = TRIALS
    return Bench(options, say)


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
