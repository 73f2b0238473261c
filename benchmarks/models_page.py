"""The page of ``models.py``, from what its passes found."""

from typing import Any

__all__ = ["BUDGET", "REACHED", "RIVAL_STEPS", "STEPS", "written"]

Found = dict[tuple[str, str], dict[str, Any]]  # by the name of a net and of a pass

BUDGET = 0.5
STEPS = 3  # of the search
RIVAL_STEPS = 50  # in which Torch-Pruning takes its channels away
REACHED = (0.5, 0.3)  # ratios of the multiply-adds, for the line on top


def written(models: list[str], found: Found, limit: int) -> str:
    """The page, in Markdown."""
    import platform

    import torch
    import torchvision

    page = [HEAD.format(budget=BUDGET, steps=STEPS, reached=reached(models, found)), TABLE]
    for name in models:
        asked, entry = found.get((name, "doctor"), {}), found.get((name, "checks"), {})
        figures = ["-"] * 8
        file = found.get((name, "onnx"), {})
        if "error" in entry:
            figures[0] = tidy(entry["error"])
        elif entry:
            figures = [
                f"{entry['widths']} + {entry['depths']}",
                str(entry["locked"]),
                f"{entry['lowest']:.2f}",
                f"{entry['ratio']:.3f}",
                "yes" if entry["exact"] else "**no**",
                f"{entry['difference']:.0e}",
                "yes" if entry["steps"] else "**no**",
                f"{entry['seconds']:.1f}",
            ]
        figures.append("yes" if "equal" in file else tidy(file.get("error", "-")))
        if "seconds" in asked:
            figures += [f"{asked[key]:.1f}" for key in ("seconds", "cpu")]
            figures.append(f"{asked['memory'] / 2**30:.1f}")
        else:
            figures += [asked.get("error", "-"), "-", "-"]
        page.append(f"| {name} | {' | '.join(figures)} |")
    locks = [(n, found[n, "checks"]) for n in models if found.get((n, "checks"), {}).get("why")]
    if locks:
        page += ["", LOCKED]
        page += [f"| {name} | {e['locked']} | {tidy(e['why'])} |" for name, e in locks]
    rivals = [(n, found[n, "rival"]) for n in models if (n, "rival") in found]
    if rivals:
        told = {name: found.get((name, "heads"), {}) for name, _ in rivals}
        smallest = [
            min(entry.get("lowest", 1.0), told[name].get("lowest", 1.0)) for name, entry in rivals
        ]
        head = {"steps": RIVAL_STEPS, "budget": BUDGET, "limit": limit, "smaller": REACHED[-1]}
        page += ["", RIVAL.format(**head, tried=len(rivals), reached=_shares(smallest))]
        for name, entry in rivals:
            page.append(beside(name, found.get((name, "checks"), {}), entry, told[name]))
    versions = f"torch {torch.__version__.partition('+')[0]}, torchvision "
    versions += f"{torchvision.__version__.partition('+')[0]}, Python {platform.python_version()}"
    page += ["", f"Versions: {versions}{library_versions()}. 2-core AMD EPYC with AVX512-BF16."]
    return "\n".join(page) + "\n"


def reached(models: list[str], found: Found) -> str:
    """How many nets can be made how small, in words."""
    tried = [found[name, "checks"] for name in models if (name, "checks") in found]
    lowest = [entry.get("lowest", 1.0) for entry in tried]
    wrong = sum(not entry.get("exact", True) for entry in tried)
    return (
        f"Of {len(tried)} nets that were tried, {_shares(lowest)} of their multiply-adds or "
        f"less can be had; the count is wrong in {wrong}."
    )


def _shares(lowest: list[float]) -> str:
    return " and ".join(f"{sum(low <= ratio for low in lowest)} at {ratio}" for ratio in REACHED)


def beside(name: str, ours: dict[str, Any], theirs: dict[str, Any], heads: dict[str, Any]) -> str:
    """One net's line of the table with both tools."""
    us = [f"{ours[k]:.{n}f}" if k in ours else "-" for k, n in (("ratio", 3), ("seconds", 1))]
    seconds = f"{theirs['seconds']:.1f}" if "seconds" in theirs else "-"
    told = _rivals(heads) if heads else ""
    return f"| {name} | {' | '.join([*us, _rivals(theirs), seconds, told])} |"


def _rivals(theirs: dict[str, Any]) -> str:
    """How far Torch-Pruning came, or what it says."""
    if "error" in theirs:
        return tidy(theirs["error"])
    if theirs["ratio"] == 1:
        return "nothing changed"
    over = " (above the budget)" if theirs["ratio"] > BUDGET else ""
    short = "" if over or theirs["lowest"] <= REACHED[-1] else f", not at {REACHED[-1]}"
    return f"{theirs['ratio']:.3f}{over}{short}"


def tidy(text: str) -> str:
    return text.replace("|", "/").replace("\n", " ")


def library_versions() -> str:
    from importlib.metadata import PackageNotFoundError, version

    found = ""
    for package in ("timm", "torch-pruning"):
        try:
            found += f", {package} {version(package)}"
        except PackageNotFoundError:
            continue
    return found


HEAD = """# Which nets can be searched

{reached}

Written by `benchmarks/models.py`. Every net is built with fresh weights and traced on one image \
of the size that it was made for; then a random shape at {budget} of its multiply-adds (or as near \
as it gets) is derived.

- **choices**: widths + depths that can be searched. **locked**: layers whose output channels must \
stay, but for the classifier, and stages whose depth must.
- **from**: the smallest shape, as a ratio of the net's multiply-adds. **derived**: those of the \
derived net, counted on it.
- **exact**: the space's own count of multiply-adds and parameters is that of the derived net.
- **one-hot**: the largest difference between the scores of the derived net and of the supernet \
at its shape, in standard deviations of the scores.
- **steps**: {steps} steps of the paper's search ran with finite losses.
- **trace**: the processor's seconds, of one thread, from the net that is built to the one that is \
cut.
- **ONNX**: `tas.export` writes the derived net, and ONNX Runtime answers as PyTorch does.
- **seconds**: of the command `tas doctor --net NET`, from start to end, imports included, on two \
cores. **of CPU**: the processor's time in it; where it is much less, the machine was at other \
work, too. **GiB**: peak memory of the process. Without figures: not timed yet."""
TABLE = """
| net | choices | locked | from | derived | exact | one-hot | steps | trace | ONNX | seconds \
| of CPU | GiB |
|---|---|---|---|---|---|---|---|---|---|---|---|---|"""
LOCKED = """## What is locked

The reason that keeps most channels, where some must stay; `tas doctor` lists them all.

| net | layers | because |
|---|---|---|"""
RIVAL = """## Beside Torch-Pruning

Of {tried} nets that were tried with it, {reached} of their multiply-adds or less can be had by \
Torch-Pruning, with its defaults or told the heads.

The same nets, pruned by its magnitude pruner with one ratio for all layers, in steps of a \
{steps}th of 0.9, until the multiply-adds are at most {budget} of the net's, and on to {smaller}, \
counted by the same counter; only the classifier is excluded. **Told the heads**: where a module \
has `qkv` and `num_heads`, these are given as `num_heads=`, and set anew in the net after every \
step. A shape of ours is drawn at random within 2 % below the budget.

**Seconds** are of the CPU, of one thread, from the net that is built to the one that is cut: with \
us the trace, its trial and the cut; with Torch-Pruning the graph and all steps to {budget}, \
without the counting in between. It was given {limit} of them for each net.

| net | ours | seconds | Torch-Pruning | seconds | told the heads |
|---|---|---|---|---|---|"""
