"""Nets that draw random numbers in evaluation: each draw is its mean while nets are compared.

A net that is cut draws fewer numbers than the whole one, so that equal seeds are no equal noise.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["still"]


class still(TorchDispatchMode):  # type: ignore[no-untyped-call] # noqa: N801
    """While it is on, random numbers are their means: a dropout hands on what it is given.

    >>> import torch
    >>> from tas.graph.noise import still
    >>> with still():
    ...     torch.nn.functional.dropout(torch.ones(3), 0.5, training=True)
    tensor([1., 1., 1.])

    Attributes:
        calls: of operators, so far.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        self.calls += 1
        out = func(*args, **kwargs)
        name = func.overloadpacket.__name__
        if name == "native_dropout":
            return args[0].clone(), torch.ones_like(out[1])
        if name in MEANS and isinstance(out, Tensor) and out.is_floating_point():
            out.copy_(torch.as_tensor(MEANS[name](*args, **kwargs)).to(out))
        return out


MEANS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(("rand", "rand_like"), lambda *given, **more: 0.5),
    **dict.fromkeys(("randn", "randn_like"), lambda *given, **more: 0.0),
    "uniform_": lambda x, low=0.0, high=1.0, **more: (low + high) / 2,
    "normal_": lambda x, mean=0.0, *rest, **more: mean,
    "normal": lambda mean=0.0, *rest, **more: mean,
    "exponential_": lambda x, rate=1.0, **more: 1 / more.get("lambd", rate),
    "bernoulli_": lambda x, p=0.5, **more: p,
    "bernoulli": lambda x, p=None, **more: x if p is None else p,
}
