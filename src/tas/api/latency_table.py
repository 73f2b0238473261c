"""Measure what shapes of a net take, into a table by which budgets of time are searched."""

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from .. import nets
from ..checks import above_zero, whole
from ..costs.latency import LatencyTable, Measurement, errors
from ..errors import InputError
from ..forward import example_for
from ..inherit import Source
from ..methods.timed import fill
from ..model_options import LatencyOptions
from ..options import asked_input, with_changes
from ..space import Space
from ..spaces import FINE_RATIOS, resnet_space, trace
from ..timing.bench import Bench
from ..typed import checked
from .latency import chosen_runtime
from .provenance import hardware

__all__ = ["Tabled", "latency_table", "space_of"]


@dataclass(frozen=True)
class Tabled:
    """A table that was measured; ``tas.api.latency_table`` returns it, with an example.

    Attributes:
        table: of measurements, in its file.
        errors: of predictions, as parts of the times, on shapes that they were not fitted to.
    """

    table: LatencyTable
    errors: tuple[float, ...]

    @property
    def median(self) -> float:
        """The error of the shape in the middle; NaN where no shape tests the table."""
        return statistics.median(self.errors) if self.errors else math.nan

    @property
    def worst(self) -> float:
        """The error that 95 % of the shapes stay below; NaN where there are too few."""
        if len(self.errors) < 2:
            return math.nan
        return statistics.quantiles(self.errors, n=20, method="inclusive")[-1]


def space_of(options: Any) -> Space:
    """The space of a net that is named, with fresh weights."""
    shape = nets.read_shape(options.net)
    full = nets.full_shape(shape.net, options.classes, asked_input(options))
    if not nets.is_named(full.net):
        return resnet_space(full, residual="tied", ratios=FINE_RATIOS, round_to=options.round_to)
    model = nets.build(full)
    return trace(
        model,
        example_for(model, full.image),
        ignore=options.ignore or (),
        only=options.only or (),
        round_to=options.round_to,
        ratios=FINE_RATIOS,
        name=options.net,
    )


@checked
def latency_table(
    options: LatencyOptions | None = None,
    *,
    told: Callable[[int, Measurement], None] = lambda number, line: None,
    **changes: Any,
) -> Tabled:
    """What ``tas latency table`` does: measures shapes of a net, and tells how well others follow.

    >>> import tas.api
    >>> done = tas.api.latency_table(
    ...     net="resnet20", measure="echo {onnx} 5", nets=6, out="phone.jsonl"
    ... )
    >>> len(done.table.lines), len(done.errors), done.table.lines[0].ratio
    (6, 2, 1.0)

    A table that is there goes on: what it holds is not measured again.

    Args:
        options: see ``tas.model_options.LatencyOptions``, or ``tas latency --help``.
        told: called with the number of each shape and its ``Measurement``.
        changes: options by their names, in the place of those of ``options``.

    Raises:
        InputError: an option cannot be used, or a shape could not be measured; all that was
            measured before is kept.
    """
    options = with_changes(options or LatencyOptions(what="table"), changes)
    if options.net is None or options.out is None:
        raise InputError(
            "tas latency table needs a net and a file: --net torchvision:mobilenet_v2 --out "
            "mobilenet.jsonl"
        )
    whole("nets", options.nets, 3)
    above_zero("minutes", options.minutes)
    runtime = chosen_runtime(options)
    space = space_of(options)
    facts = {**runtime.facts(), "hardware": hardware()}
    table = LatencyTable.of(space, facts, options.out)
    source = Source.of(space, trained=False)
    bench = Bench(space, source, torch.zeros(1, *space.unpruned.image), runtime, table)
    fill(bench, options.nets, options.minutes, told)
    return Tabled(table, tuple(errors(table, space)))
