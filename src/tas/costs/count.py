"""Counts the multiply-adds and parameters of any net, module by module.

MACs here are the multiply-adds of convolutions and linear layers (matrix products included) for
one image; biases, norms, activations and pooling cost nothing, as in the field's tables. The count
comes from one forward pass under a dispatch mode, so Python control flow does not matter. An
operator that is neither counted nor known to be free is named, never passed over in silence
(``Count.note``). What one operator costs stands in ``operators.py``.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from ..forward import Example, Forward, evaluating, example_for, naming
from ..typed import checked
from ..usable import check_modes
from .operators import is_free, operator_macs, operator_name, run

__all__ = ["Count", "count"]

NAMED = 3  # operators that a note names; of more it tells the number


@dataclass(frozen=True)
class Count:
    """What a net costs.

    >>> import tas
    >>> from torch import nn
    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8, 10))
    >>> tas.costs.count(net, (3, 3, 3)).modules
    {'0': 216, '2': 80}

    Attributes:
        macs: multiply-adds for one image.
        params: number of parameters, each counted once.
        modules: multiply-adds by the path of the module that spends them.
        unknown: operators that were neither counted nor known to be free, and how often they ran.
    """

    macs: int
    params: int
    modules: dict[str, int] = field(default_factory=dict)
    unknown: dict[str, int] = field(default_factory=dict)

    @property
    def note(self) -> str:
        """What was not counted, in one line; empty where nothing was left out.

        >>> from tas.costs import Count
        >>> Count(0, 0, unknown={"my::op in rnn": 2}).note
        "not counted: 'my::op' in rnn (2 times); say what it costs with tas.costs.counter('my::op')"
        """
        places: dict[str, list[tuple[str, int]]] = defaultdict(list)
        for entry, times in self.unknown.items():
            operator, _, place = entry.partition(" in ")
            places[operator].append((place, times))
        if not places:
            return ""
        named = [_where(operator, found) for operator, found in list(places.items())[:NAMED]]
        more = [f"{len(places) - NAMED} more"] if len(places) > NAMED else []
        first = next(iter(places))
        first = first if "::" in first else f"aten::{first}"
        what = "it costs" if len(places) == 1 else "they cost"
        return (
            f"not counted: {', '.join([*named, *more])}; "
            f"say what {what} with tas.costs.counter('{first}')"
        )


def _where(operator: str, places: Sequence[tuple[str, int]]) -> str:
    """An operator that was not counted, the module that ran it, and how often."""
    times = sum(n for _, n in places)
    place = places[0][0] if len(places) == 1 else f"{len(places)} modules"
    return f"'{operator}' in {place}" + (f" ({times} times)" if times > 1 else "")


@checked
def count(
    net: nn.Module, input: tuple[int, int, int] | Any, forward: Forward | None = None
) -> Count:
    """Count one forward pass in evaluation mode.

    >>> import tas
    >>> counted = tas.costs.count(tas.nets.build("resnet20"), (3, 32, 32))
    >>> counted.macs, counted.params
    (40813184, 272282)

    Args:
        net: any module.
        input: channels, height, width of an image; or an example batch, as in
            ``tas.spaces.trace``, the first of which is run: what a net computes once for a batch,
            one example costs in full.
        forward: how the net is called on a batch, as in ``tas.spaces.trace``.

    Returns:
        The cost for one example.

    Raises:
        InputError: the net does not run on it.
    """
    check_modes(net)
    if _is_image_size(input):
        input = example_for(net, input)
    example = Example.of(input, forward).first()
    mode = _Counter()
    with evaluating(net), torch.no_grad(), naming(net, mode.path), mode:
        example.answer(net)
    return Count(
        macs=sum(mode.macs.values()),
        params=sum(p.numel() for p in net.parameters()),
        modules=dict(mode.macs),
        unknown=dict(mode.unknown),
    )


def _is_image_size(input: Any) -> bool:
    return isinstance(input, tuple) and len(input) == 3 and all(type(n) is int for n in input)


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds the multiply-adds of every operator to the module that is running."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.path = [""]
        self.macs: dict[str, int] = defaultdict(int)
        self.unknown: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out, one = run(func, args, kwargs, self)
        if not one:
            return out
        macs = operator_macs(func, args, kwargs, out)
        if macs is not None:
            self.macs[self.path[-1]] += macs
        elif not is_free(func):
            self.unknown[f"{operator_name(func)} in {self.path[-1] or 'the net itself'}"] += 1
        return out
