"""How good is the search? Its shapes on the bench, where the best shape at every budget is known.

    python benchmarks/shape_bench/score.py --data CIFAR10_FOLDER [--json]

For every budget and seed a search returns a shape, whose true accuracy stands in the table. The
regret is what it lies below the best shape within the budget, in points of accuracy. Beside it:
the mean over all shapes within the budget (what a random one is worth), the most expensive one that
fits, and equal widths. Nothing that measures is seen by a search.

The best of many noisy figures is too good. So the mean over the budgets is printed a second time,
by what all shapes may really be worth, given the table and its noise (``truth.drawn``), with the
standard deviation that is left, and with the probability of the target: at most half of what equal
widths lack, and a third of what a random shape lacks.

With ``--inherit`` the truth is that of nets which inherit trained weights and are distilled. What
searches from such weights is another's affair (``from_trained.py``): no table holds its shapes.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import bench
import truth
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from scipy.stats import kendalltau

import tas
from tas.methods import Found, PaperOptions, ProbeOptions
from tas.methods.choose import choose
from tas.space import Space

METHODS: dict[str, PaperOptions | ProbeOptions] = {
    "probes": ProbeOptions(probes=16, epochs=4, batch_size=64, lr=0.1),
    # The released settings need hundreds of epochs; these are for a short search.
    "paper": PaperOptions(epochs=10, warmup_epochs=1, batch_size=64, logit_lr=1e-2),
}
# Shapes to choose among: in so coarse a space there are one or two 1 % below the budget.
ENOUGH = 32
NAMES = ("search", "equal", "random", "dearest")  # what is held against the best
TRUTHS = {"true": True, "false": False}  # bool("false") is true


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", help="CIFAR-10 as a folder that tas reads; without: no search")
    parser.add_argument("--method", choices=METHODS, default="probes")
    parser.add_argument("--inherit", action="store_true", help="the table of nets that inherit")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(5)))
    parser.add_argument("--budgets", type=float, nargs="+", default=list(bench.BUDGETS))
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="OPTION=VALUE", help="options of the search"
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object, not a table")
    options = parser.parse_args()
    if options.inherit and options.data:
        parser.error("--inherit is without --data: searches from trained weights: from_trained.py")

    space = bench.space()
    table = bench.read_table(bench.INHERITED if options.inherit else bench.TABLE)
    accuracies = truth.means(table)
    result: dict[str, Any] = {"noise": truth.noise(table, space), "budgets": {}}
    for budget in options.budgets:
        result["budgets"][budget] = truth.baselines(space, accuracies, budget)
    if options.data:
        result["method"], result["set"] = options.method, options.set
        how = METHODS[options.method]
        how = changed(how, options.set)
        searches = search_all(space, accuracies, how, options)
        for budget, found in searches.items():
            result["budgets"][budget]["search"] = summary(found)
            result["budgets"][budget]["searches"] = found
    budgets = result["budgets"].values()
    result["mean_regret"] = {
        name: statistics.mean(of[name]["regret"] for of in budgets)
        for name in NAMES
        if all(name in of for of in budgets)
    }
    if draws := truth.drawn(table):
        result |= estimated(space, draws, result["budgets"])
    print(json.dumps(result)) if options.json else show(result)


def estimated(
    space: Space, draws: Mapping[bench.Key, truth.Draws], budgets: Mapping[float, Any]
) -> dict[str, Any]:
    """Regrets by what the shapes may really be worth, and how surely the target is met."""
    each = []
    for budget, of in budgets.items():
        found = [line["shape"] for line in of.get("searches", [])]
        each.append(truth.regrets(space, draws, budget, found))
    mean = {name: sum(of[name] for of in each) / len(each) for name in each[0]}
    result: dict[str, Any] = {
        "estimated_regret": {
            name: {"mean": float(mean[name].mean()), "sd": float(mean[name].std())}
            for name in NAMES
            if name in mean
        }
    }
    if "search" in mean:
        result["probability"] = {
            f"{part} of {name}": float((mean["search"] <= share * mean[name]).mean())
            for part, share, name in (("half", 1 / 2, "equal"), ("a third", 1 / 3, "random"))
        }
    return result


def search_all(
    space: Space,
    accuracies: truth.Truth,
    how: PaperOptions | ProbeOptions,
    options: argparse.Namespace,
) -> dict[float, list[dict[str, Any]]]:
    pictures = bench.pictures(options.data)
    data, split = bench.searched(pictures)
    found: dict[float, list[dict[str, Any]]] = {}
    for seed in options.seeds:
        for budget in options.budgets:
            started = time.perf_counter()
            result = tas.search(
                space, data, budget, options=how, split=split, seed=seed, progress=False
            )
            seconds = time.perf_counter() - started
            line = judged(result, space, accuracies, budget) | {"seed": seed, "seconds": seconds}
            print(f"{budget}: {line}", file=sys.stderr, flush=True)
            found.setdefault(budget, []).append(line)
    return found


def judged(result: Found, space: Space, accuracies: truth.Truth, budget: float) -> dict[str, Any]:
    """What a found shape is worth, and how what the search believes agrees with the truth."""
    assert result.probabilities is not None
    shape_found = choose(space, *result.probabilities, result.budget, enough=ENOUGH)
    key = bench.key(shape_found)
    best = truth.baselines(space, accuracies, budget)["best"]["accuracy"]
    logs = [p.clamp_min(1e-30).log() for p in result.probabilities]
    near, believed = [], []
    limit = result.budget.limit
    for shape in bench.shapes(space):
        if bench.key(shape) in accuracies and 0.7 * limit <= (shape.macs or 0) <= limit:
            widths, depths = space.indices(shape)
            rows = [
                p[i]
                for part, at in ((logs[0], widths), (logs[1], depths))
                for p, i in zip(part, at, strict=True)
            ]
            near.append(accuracies[bench.key(shape)])
            believed.append(float(sum(rows)))
    return {
        "shape": key,
        "ratio": (shape_found.macs or 0) / (space.unpruned.macs or 1),
        "accuracy": accuracies[key],
        "regret": best - accuracies[key],
        "kendall_tau": float(kendalltau(believed, near)[0]),
    }


def summary(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean over the seeds, and the spread of the regret."""
    mean = {k: statistics.mean(f[k] for f in found) for k in ("accuracy", "regret", "seconds")}
    taus = [f["kendall_tau"] for f in found]
    spread = statistics.pstdev(f["regret"] for f in found)
    return {**mean, "regret_sd": spread, "kendall_tau": statistics.mean(taus)}


def changed(how: PaperOptions | ProbeOptions, settings: list[str]) -> Any:
    """The options of a search with some of them set, as in ``epochs=4``."""
    values = {}
    for setting in settings:
        name, _, value = setting.partition("=")
        kind = type(getattr(how, name))
        values[name] = TRUTHS[value.lower()] if kind is bool else kind(value)
    return replace(how, **values)


def show(result: dict[str, Any]) -> None:
    console = Console()
    table = Table("", "best", *NAMES, "tau", box=SIMPLE_HEAD)
    for budget, of in result["budgets"].items():
        regrets = [f"{of[name]['regret']:.2f}" if name in of else "" for name in NAMES]
        tau = f"{of['search']['kendall_tau']:.2f}" if "search" in of else ""
        table.add_row(str(budget), f"{of['best']['accuracy']:.2f}", *regrets, tau)
    means = result["mean_regret"]
    table.add_row("mean", "", *(f"{means[n]:.2f}" if n in means else "" for n in NAMES), "")
    if estimates := result.get("estimated_regret"):
        cells = [estimates.get(name) for name in NAMES]
        spread = [f"{of['mean']:.2f} ± {of['sd']:.2f}" if of else "" for of in cells]
        table.add_row("estimated", "", *spread, "")
    console.print(table)
    console.print(
        "best: the highest accuracy in the table; then how much of it the others lack, in points; "
        "estimated: of the accuracies that noise leaves likely"
    )
    for target, probability in result.get("probability", {}).items():
        console.print(f"the search lacks at most {target}: probability {probability:.2f}")
    console.print(result["noise"])


if __name__ == "__main__":
    main()
