"""``tas search``: the shape within a budget, and the weights that its net inherits."""

import shlex

from .. import nets, training
from ..api import session as runs
from ..api.options import SearchVerbOptions
from ..api.plan import Plan
from ..data import batches
from ..errors import InputError

__all__ = ["main"]

NOTE = "The weights are inherited, not trained on their own: train the shape from them next."


def main(options: SearchVerbOptions) -> None:
    named = nets.is_named(options.net)
    if options.weights and options.preset.startswith("paper") and not named:
        raise InputError(
            f"--weights: the paper's search of {options.net} starts from fresh weights; leave it "
            "out, or choose --preset quick, cifar or imagenet"
        )
    plan = Plan.of(options, inheriting=options.weights is not None)
    run = runs.Run.open("search", options, options.net)
    if run.finished:
        run.show()
        return
    with run.interruptible():
        found = plan.search(run)
        notes = plan.notes()
        command = ["tas", "train", "--data", options.data, *_how(options)]
        command += ["--shape", str(run.directory.shape)]
        if found.supernet is not None or options.weights:
            small = found.derive(inherit=True)
            # The norms saw other mixtures of channels; these are taken on its own.
            size = plan.recipe.search.batch_size
            where = training.accelerator(options.device)
            pictures = batches(
                plan.data,
                plan.data.train,
                size,
                augment=None,
                device=where.device,
                shuffle=True,  # a batch of one class has the statistics of none
                drop_last=len(plan.data.train) >= size,  # every process is to have some
                workers=options.workers,
                rank=where.process_index,
                world=where.num_processes,
            )
            training.recompute_norm_statistics(small, pictures, device=options.device)
            run.directory.save_model(small)
            notes.append(NOTE)
            command += ["--weights", str(run.directory.model)]
        rows = [
            runs.row("unpruned", macs=plan.full.macs, params=plan.full.params),
            runs.row(
                "searched",
                macs=found.shape.macs,
                params=found.shape.params,
                seconds=found.history.seconds,
            ),
        ]
        run.finish({**plan.facts(), "rows": rows, "notes": notes})
        run.show()
        runs.say(f"train it: {shlex.join(command)}")


def _how(options: SearchVerbOptions) -> list[str]:
    """What else of the command says which pictures these are, and how nets are trained."""
    given = []
    for name in ("data_dir", "image_size", "in_memory", "preset"):
        value = getattr(options, name)
        if value != getattr(SearchVerbOptions(), name):
            text = str(value).lower() if isinstance(value, bool) else str(value)
            given += [f"--{name.replace('_', '-')}", text]
    return given
