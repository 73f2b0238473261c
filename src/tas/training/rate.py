"""The learning rate of every step, as a plain number of the host."""

import math

__all__ = ["learning_rate"]


def learning_rate(step: int, steps: int, warmup_steps: int, highest: float) -> float:
    """Linear warm-up, then a cosine to 0.

    Args:
        step: 0 ... steps - 1, counted over all epochs.
        steps: of the whole training.
        warmup_steps: the rate reaches ``highest`` at the last of these.
    """
    if step < warmup_steps:
        return highest * (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(steps - warmup_steps, 1)
    return highest * (1 + math.cos(math.pi * progress)) / 2
