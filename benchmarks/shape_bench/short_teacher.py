"""Does a short teacher tell what shapes are worth from scratch? Beside ``score.py``, for probes.

    python benchmarks/shape_bench/short_teacher.py --data CIFAR10_FOLDER

A net is trained about as long as 16 probes take, the widest of the bench or the unpruned one, and
every shape of the bench that it can be cut to is cut from it, compensated, and asked, as in a
search by trials. Of those within a budget that which loses least would be returned, its weights
forgotten. Printed: its regret against the best shape of the table of nets that start from scratch,
as the table has it and estimated (``truth``), and Kendall's tau between loss and table.
"""

import argparse
import time
from dataclasses import replace

import bench
import torch
import truth
from scipy.stats import kendalltau
from untrained import losses

from tas import nets
from tas.api import search_space
from tas.costs import Budget
from tas.methods import TrialOptions
from tas.recipes import quick

WIDEST = "resnet14-widest"
EPOCHS = {WIDEST: 14, bench.NET: 32}  # 16 probes of 4 epochs at half of the multiply-adds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True, help="CIFAR-10 as a folder that tas reads")
    parser.add_argument("--nets", nargs="+", choices=EPOCHS, default=list(EPOCHS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    full = nets.architecture(bench.NET)
    most = tuple(
        (round(a * max(bench.RATIOS)), round(b * max(bench.RATIOS))) for a, b in full.widths
    )
    nets.ARCHITECTURES[WIDEST] = replace(full, name=WIDEST, widths=most)

    grid, pictures = bench.space(), bench.pictures(options.data)
    table = bench.read_table()
    known, draws = truth.means(table), truth.drawn(table)
    for name in options.nets:
        for seed in options.seeds:
            started = time.process_time()
            accuracy, lost = asked(name, seed, pictures)
            print(f"{name}, seed {seed}: {accuracy:.2f} %, {time.process_time() - started:.0f} s")
            for budget in bench.BUDGETS:
                limit = Budget.of(grid, budget).limit
                within = {key: loss for key, (macs, loss) in lost.items() if macs <= limit}
                found = min(within, key=lambda key: within[key])
                best = truth.baselines(grid, known, budget)["best"]["accuracy"]
                estimate = float(truth.regrets(grid, draws, budget, [found])["search"].mean())
                near = [
                    (-loss, known[key])
                    for key, (macs, loss) in lost.items()
                    if 0.7 * limit <= macs <= limit
                ]
                tau = float(kendalltau(*zip(*near, strict=True))[0])
                print(
                    f"  {budget}: {found}, regret {best - known[found]:.2f}, estimated "
                    f"{estimate:.2f}, tau {tau:.2f}",
                    flush=True,
                )


def asked(
    name: str, seed: int, pictures: bench.Pictures
) -> tuple[float, dict[bench.Key, tuple[int, float]]]:
    """A teacher's accuracy; by a shape that it can be cut to, multiply-adds and the loss."""
    torch.manual_seed(seed)
    unpruned = nets.full_shape(name, 10, (3, bench.SIDE, bench.SIDE))
    teacher = nets.build(unpruned)
    training = replace(bench.OPTIONS, epochs=EPOCHS[name])
    accuracy = bench.fitted(teacher, pictures, seed, training)
    data, split = bench.searched(pictures)
    how = quick().inheriting().search
    assert isinstance(how, TrialOptions)
    space, source = search_space(teacher, data, how.method())
    return accuracy, losses(space, source, (data, split), how)


if __name__ == "__main__":
    main()
