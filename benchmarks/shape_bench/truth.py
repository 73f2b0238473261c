"""What the table knows: its noise, the best shape at a budget, and what needs no search."""

import statistics
from collections.abc import Mapping
from typing import Any

import bench
from scipy.stats import kendalltau

from tas.jobs import equal_widths
from tas.space import Space

Truth = Mapping[bench.Key, float]
Seeds = Mapping[bench.Key, Mapping[int, float]]


def means(table: Seeds) -> dict[bench.Key, float]:
    """Of the seeds, which are the truth as far as it is known."""
    return {key: statistics.mean(seeds.values()) for key, seeds in table.items()}


def noise(table: Seeds, space: Space) -> dict[str, float]:
    """How far the table can be trusted, from the shapes of the space with two seeds or more."""
    grid = {bench.key(s) for s in bench.shapes(space)}
    pairs = [(s[0], s[1]) for k, s in table.items() if k in grid and 0 in s and 1 in s]
    if not pairs:  # a table of one seed
        return {"shapes": 0}
    differences = [a - b for a, b in pairs]
    return {
        "shapes": len(pairs),
        "seed_sd": statistics.pstdev(differences) / 2**0.5,
        "kendall_tau_between_seeds": float(kendalltau(*zip(*pairs, strict=True))[0]),
    }


def baselines(space: Space, truth: Truth, budget: float) -> dict[str, Any]:
    """The best shape within a budget, and what needs no search."""
    limit = int(budget * space.full_cost())
    known = [(s, truth[bench.key(s)]) for s in bench.shapes(space) if bench.key(s) in truth]
    fitting = [(s, accuracy) for s, accuracy in known if (s.macs or 0) <= limit]
    shape, best = max(fitting, key=lambda pair: pair[1])
    equal = equal_widths(space, limit)

    def worth(accuracy: float, **more: Any) -> dict[str, Any]:
        return {"accuracy": accuracy, "regret": best - accuracy, **more}

    dearest = max(fitting, key=lambda pair: pair[0].macs or 0)
    return {
        "shapes": len(fitting),
        "best": worth(best, shape=bench.key(shape)),
        "equal": worth(truth[bench.key(equal)], shape=bench.key(equal)),
        "random": worth(statistics.mean(accuracy for _, accuracy in fitting)),
        "dearest": worth(dearest[1], shape=bench.key(dearest[0])),
    }


def attainable(space: Space, table: Seeds, budget: float) -> dict[str, float] | None:
    """What the best shape by all seeds but one is worth with that one; mean and standard error over
    the seeds. Of the shapes with the most seeds; nothing where that is one."""
    limit = int(budget * space.full_cost())
    rows = [table.get(bench.key(s), {}) for s in bench.shapes(space) if (s.macs or 0) <= limit]
    seeds = max(rows, key=len).keys()
    if len(seeds) < 2:
        return None
    contenders = [row for row in rows if row.keys() == seeds]

    def by_others(seed: int) -> float:
        best = max(contenders, key=lambda row: sum(row.values()) - row[seed])
        return best[seed]

    worth = [by_others(seed) for seed in seeds]
    error = statistics.stdev(worth) / len(worth) ** 0.5
    return {"accuracy": statistics.mean(worth), "standard_error": error}
