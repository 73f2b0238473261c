"""``tas search``: the shape within a budget, and the net of it with the supernet's weights."""

from .. import nets, training
from ..data import batches
from ..jobs import search
from ..spaces import resnet_space
from . import runs
from .options import SearchVerbOptions

__all__ = ["main"]


def main(options: SearchVerbOptions) -> None:
    data = runs.load_data(options)
    recipe, ratios = runs.chosen_recipe(options), runs.chosen_ratios(options)
    full = nets.full_shape(options.net, data.classes, data.input)
    space = resnet_space(full, residual=options.residual, what=options.what, ratios=ratios)
    budget = space.budget(options.budget, options.unit)
    split = runs.load_split(options, data)

    run = runs.Run.open("search", options, options.net)
    if run.directory.finished:
        run.show()
        return
    with run.interruptible():
        found = search(
            options.net,
            data,
            options.budget,
            unit=options.unit,
            what=options.what,
            residual=options.residual,
            ratios=ratios,
            options=recipe.search,
            fraction=recipe.fraction,
            split=split,
            **runs.common(options, run),
        )
        found.shape.save(run.directory.shape)
        small = found.derive(inherit=True)
        # The supernet's norms saw other mixtures of channels; theirs are taken on its own.
        pictures = batches(
            data, data.train, recipe.search.batch_size, augment=None, device="cpu", shuffle=False
        )
        training.recompute_norm_statistics(small, pictures, device=options.device)
        run.directory.save_model(small)
        rows = [
            runs.row("unpruned", macs=space.cost(full), params=space.cost(full, "params")),
            runs.row(
                "searched",
                macs=found.shape.macs,
                params=found.shape.params,
                seconds=found.history.seconds,
            ),
        ]
        run.finish(
            {
                "net": options.net,
                "data": data.name,
                "rows": rows,
                "budget": runs.budget_facts(space, budget, options),
                "full_shape": full.replace(macs=space.cost(full)).to_dict(),
                "notes": [*data.notes, "The weights are the supernet's: train the shape next."],
            }
        )
        run.show()
        runs.say(
            f"found {runs.described(found)}; train it: tas train --shape {run.directory.shape}"
        )
