"""How long each layer of a net takes, within the net."""

import statistics
import time
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from ..forward import answer, evaluating, on_threads
from ..typed import checked

__all__ = ["layer_times"]

SECONDS, FEWEST, MOST = 0.5, 5, 101  # of all passes, and how many there are


@checked
def layer_times(
    net: nn.Module,
    batch: Any,
    names: Iterable[str],
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Milliseconds of the modules of a net by their names, the median of some passes.

    >>> import tas, torch
    >>> from tas.timing import layer_times
    >>> net = tas.nets.build("resnet20")
    >>> times = layer_times(net, torch.zeros(1, 3, 32, 32), ["stem", "classifier"])
    >>> times["stem"] > 0
    True

    By a clock around each module, on one thread of the CPU: what lies between the modules, and what
    reading the clock costs, is in none of them.
    """
    spent: dict[str, list[float]] = {name: [] for name in names}
    started: dict[str, float] = {}
    hooks = []
    for name, module in net.named_modules():
        if name in spent:

            def before(module: nn.Module, given: Any, name: str = name) -> None:
                started[name] = clock()

            def after(module: nn.Module, given: Any, made: Any, name: str = name) -> None:
                spent[name].append(clock() - started[name])

            hooks += [
                module.register_forward_pre_hook(before),
                module.register_forward_hook(after),
            ]
    try:
        with on_threads(1), evaluating(net), torch.no_grad():
            answer(net, batch)  # what is made once is made now
            for times in spent.values():
                times.clear()
            began = clock()
            for number in range(MOST):
                answer(net, batch)
                if number + 1 >= FEWEST and clock() - began > SECONDS:
                    break
    finally:
        for hook in hooks:
            hook.remove()
    return {name: 1000 * statistics.median(times) for name, times in spent.items() if times}
