"""One call of an operator, as rules read it: arguments by their names, whatever their places."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_leaves

from ...costs import operator_macs
from ...costs.operators import operator_name
from ...errors import InputError, one_of

__all__ = ["Call", "tensors"]


@dataclass(frozen=True, eq=False)
class Call:
    """An operator's arguments and its result.

    >>> import tas.graph, torch
    >>> x = torch.zeros(2, 8)
    >>> call = tas.graph.Call(torch.ops.aten.sum.dim_IntList, (x, [1]), {}, x.sum(1))
    >>> call.name, call["dim"], call["keepdim"]
    ('sum', [1], False)

    ``call["dim"]`` is an argument by the name that the operator's schema gives it, however it was
    passed; one that was not passed has its default.

    Attributes:
        func: the operator, an ``OpOverload``.
        args: what was passed by place.
        kwargs: what was passed by name.
        out: what it returned.
    """

    func: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    out: Any

    @property
    def name(self) -> str:
        """``topk`` for an operator of PyTorch's, ``my::op`` for another."""
        return operator_name(self.func)

    @property
    def tensors(self) -> list[Tensor]:
        """All tensors among the arguments, those in lists as well."""
        return list(tensors(self.args, self.kwargs))

    @property
    def outs(self) -> list[Tensor]:
        """All tensors among the results."""
        return list(tensors(self.out))

    @property
    def macs(self) -> int | None:
        """Multiply-adds of the call; None where nothing counts it (``tas.costs.counter``)."""
        return operator_macs(self.func, self.args, self.kwargs, self.out)

    def __getitem__(self, argument: str) -> Any:
        known = _arguments(self.func)
        if argument not in known:
            raise InputError(one_of(f"argument of '{self.name}'", argument, known))
        place, default = known[argument]
        if place < len(self.args):
            return self.args[place]
        return self.kwargs.get(argument, default)

    def get(self, argument: str, default: Any = None) -> Any:
        """An argument by its name, or ``default`` where the operator has no such argument."""
        known = argument in _arguments(self.func)
        return self[argument] if known else default


def tensors(*arguments: Any) -> Iterator[Tensor]:
    """All tensors among the arguments of an operator."""
    return (leaf for leaf in tree_leaves(arguments) if isinstance(leaf, Tensor))


@cache
def _arguments(func: Any) -> dict[str, tuple[int, Any]]:
    """By the name of an argument, its place and its default.

    Those that are passed by name alone come last in a schema, behind all that have places.
    """
    arguments = func._schema.arguments
    return {
        argument.name: (place, argument.default_value if argument.has_default_value() else None)
        for place, argument in enumerate(arguments)
    }
