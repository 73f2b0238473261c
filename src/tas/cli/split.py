"""``tas split``: which training pictures train the weights of a search, and which its logits."""

from pathlib import Path

from .. import processes
from ..api.session import load_data
from ..api.settings import chosen_seed
from ..data import read_split, search_split, write_split
from ..errors import InputError
from ..options import SplitOptions

__all__ = ["main"]


def main(options: SplitOptions) -> None:
    if not processes.is_first():
        return
    data = load_data(options)
    seed = chosen_seed(options.seed)
    path = Path(options.out or f"split-{Path(options.data).name}.json")
    split = search_split(data, options.fraction, seed, options.subset)
    if path.exists():
        same = read_split(path, data)
        if same.weights.equal(split.weights) and same.logits.equal(split.logits):
            print(f"{path} holds this split already")
            return
        raise InputError(
            f"--out {path} holds another split (seed {same.seed}): choose another --out"
        )
    write_split(path, split)
    how = f", {data.classes} classes in equal proportion" if data.labelled else ""
    print(
        f"{path}: {len(split.weights):,} pictures to train weights, {len(split.logits):,} to "
        f"choose by{how}"
    )
