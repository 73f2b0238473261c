"""``tas predict``: ``tas.predict``, a line for each picture."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .. import processes
from ..api.predict import Prediction, predictions, scorer
from ..data import chosen_pictures
from ..errors import InputError
from ..model_options import PredictOptions
from .text import put, shown

__all__ = ["main"]

MANY = 1_000  # pictures, from which on their number is shown


def main(options: PredictOptions) -> None:
    if not processes.is_first():  # one computes them all
        return
    pictures = chosen_pictures([word for given in options.pictures for word in _words(given)])
    if not pictures:
        raise InputError("there are no pictures: standard input names none")
    score = scorer(
        options.model,
        net=options.net,
        device=options.device,
        precision=options.precision or "auto",
    )
    failed = False
    found = predictions(
        score,
        pictures,
        top=options.top,
        batch_size=options.batch_size,
        workers=options.workers,
    )
    with _bar(len(pictures)) as bar:
        for number, guess in enumerate(found, 1):
            if guess.error:
                failed = True
                why = f"{shown(guess.picture)} ({shown(guess.error)})"
                print(f"cannot be read: {why}", file=sys.stderr, flush=True)
            else:
                put(_line(guess, options.json))
            if number % options.batch_size == 0:
                sys.stdout.flush()  # here a reader that left is noticed
                bar.update(0, completed=number)  # type: ignore[arg-type]
    sys.stdout.flush()
    if failed:
        sys.exit(1)


def _words(given: str) -> list[str]:
    """What a word of the command names: ``-`` the lines of standard input."""
    if given != "-":
        return [given]
    lines = sys.stdin.buffer.read().splitlines()
    return [os.fsdecode(line) for line in lines if line.strip()]


def _line(guess: Prediction, as_json: bool) -> str:
    pairs = list(zip(guess.classes, guess.probabilities, strict=True))
    if as_json:
        told = [{"class": name, "probability": value} for name, value in pairs]
        return json.dumps({"picture": guess.picture, "classes": told})
    cells = [shown(guess.picture), *(f"{shown(name)}\t{value:.4f}" for name, value in pairs)]
    return "\t".join(cells)


@contextmanager
def _bar(total: int) -> Iterator[Progress]:
    """How far it is, on a terminal alone, and where the lines themselves do not show it."""
    console = Console(stderr=True)
    columns = (TextColumn("pictures"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    show = total >= MANY and console.is_terminal and not sys.stdout.isatty()
    with Progress(*columns, console=console, transient=True, disable=not show) as progress:
        progress.add_task("pictures", total=total)
        yield progress
