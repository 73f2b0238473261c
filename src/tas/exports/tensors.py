"""A net of any task as exporters and runtimes know it: named tensors in, tensors out."""

import re
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..forward import Example, cycled, described, examples_in, leaves, mapped

__all__ = ["OfTensors", "as_many", "names_in", "tensors_in"]


def as_many(example: Any, count: int) -> Example:
    """So many examples, on the CPU, their floats of 32 bits.

    Pictures are noise, and so is a tensor of floats that is one number throughout: zeros may be
    computed faster. Whole numbers, such as those of tokens, stay as they are.

    >>> import torch
    >>> from tas.exports.tensors import as_many
    >>> as_many({"ids": torch.tensor([[5, 7]])}, 3).batch["ids"].tolist()
    [[5, 7], [5, 7], [5, 7]]

    Args:
        example: a batch such as the net takes, or an ``Example``.

    Raises:
        InputError: what is one example of the batch cannot be told, and more than one is asked for.
    """
    own = Example.of(example)
    if not examples_in(own.batch) and count > 1:
        raise InputError(
            f"batch_size {count}: what is one example of {described(own.batch)} cannot be told; "
            "leave it out, and give a batch of that size"
        )
    batch = mapped(cycled(own.batch, count), lambda x: x.detach().cpu())
    return replace(own, batch=batch).to(torch.float32).noise()


def tensors_in(example: Example) -> dict[str, Tensor]:
    """The tensors that a net is given, by the names that they have in a file.

    >>> import torch
    >>> from tas.exports.tensors import tensors_in
    >>> from tas.forward import Example
    >>> batch = {"ids": torch.zeros(2, 7), "image": [torch.zeros(2, 3)]}
    >>> list(tensors_in(Example(batch))), list(tensors_in(Example(torch.zeros(2, 3))))
    (['ids', 'image_0'], ['input'])

    Raises:
        InputError: there are none within mappings, tuples and lists.
    """
    found: list[Tensor] = []
    mapped(example.batch, lambda x: found.append(x) or x)  # type: ignore[func-returns-value]
    names = names_in(example.batch, "input")
    if not found or len(found) != len(names):
        raise InputError(
            f"what is an input of a file cannot be told of {described(example.batch)}: give a "
            "tensor, or a mapping, tuple or list of them"
        )
    return dict(zip(names, found, strict=True))


def names_in(value: Any, kind: str) -> list[str]:
    """Names of the tensors in a batch or an answer: words of where they are.

    >>> import torch
    >>> from tas.exports.tensors import names_in
    >>> names_in((torch.zeros(1), {"boxes": torch.zeros(1)}), "output")
    ['output_0', '1_boxes']

    Args:
        kind: what one is called that has none.
    """
    ways = [re.sub(r"\W+", "_", way).strip("_") for way, _ in leaves(value)]
    names = [f"{kind}_{way}" if way.isdigit() else way or kind for way in ways]
    before = [names[:i].count(name) for i, name in enumerate(names)]
    return [f"{name}_again_{n}" if n else name for name, n in zip(names, before, strict=True)]


class OfTensors(nn.Module):
    """A net that takes the tensors of its batch one by one, and gives its answer if it is a tensor,
    else a tuple of the tensors in it."""

    def __init__(self, net: nn.Module, example: Example) -> None:
        super().__init__()
        self.net, self.example = net, example

    def forward(self, *given: Tensor) -> Tensor | tuple[Tensor, ...]:
        rest = iter(given)
        batch = mapped(self.example.batch, lambda _: next(rest))
        answer = self.example.forward(self.net, batch)
        return answer if isinstance(answer, Tensor) else tuple(x for _, x in leaves(answer))
