"""What nets are given while they are timed."""

from dataclasses import replace
from typing import Any

import torch

from ..errors import InputError
from ..forward import Example, cycled, described, examples_in, mapped

__all__ = ["as_many"]


def as_many(example: Any, count: int) -> Example:
    """So many examples, on the CPU, their floats of 32 bits.

    Pictures are noise, and so is a tensor of floats that is one number throughout: zeros may be
    computed faster. Whole numbers, such as those of tokens, stay as they are.

    >>> import torch
    >>> from tas.timing.given import as_many
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
