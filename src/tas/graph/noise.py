"""Nets that draw random numbers in evaluation: each draw is its mean while nets are compared.

A net that is cut draws fewer numbers than the whole one, so that equal seeds are no equal noise.
"""

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["still"]


class still(TorchDispatchMode):  # type: ignore[no-untyped-call] # noqa: N801
    """While it is on, random numbers are their means: a dropout hands on what it is given.

    >>> import torch
    >>> with still():
    ...     torch.nn.functional.dropout(torch.ones(3), 0.5, training=True)
    tensor([1., 1., 1.])
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return out
        name = func.overloadpacket.__name__
        if name == "native_dropout":
            return args[0].clone(), torch.ones_like(out[1])
        if isinstance(out, Tensor) and out.is_floating_point() and name.rstrip("_") in MEANS:
            out.copy_(torch.as_tensor(_mean(name.rstrip("_"), args, kwargs)).to(out))
        return out


MEANS = {"rand": 0.5, "rand_like": 0.5, "randn": 0.0, "randn_like": 0.0}
MEANS |= {"uniform": 0.0, "normal": 0.0, "normal_functional": 0.0, "exponential": 0.0}
MEANS |= {"bernoulli": 0.0}  # these have parameters of their own


def _mean(name: str, args: Any, kwargs: Any) -> Any:
    x, *rest = args
    if name == "bernoulli":
        return rest[0] if rest else kwargs.get("p", x)
    if name == "uniform":
        low, high = (*rest, *(0.0, 1.0)[len(rest) :])[:2]
        return (kwargs.get("from", low) + kwargs.get("to", high)) / 2
    if name.startswith("normal"):
        return kwargs.get("mean", rest[0] if rest else 0.0)
    if name == "exponential":
        return 1 / kwargs.get("lambd", rest[0] if rest else 1.0)
    return MEANS[name]
