"""Batches whose pictures are mixed with one another, and their labels with them."""

from torchvision.transforms import v2

from .options import TrainOptions

__all__ = ["mixer"]


def mixer(options: TrainOptions, classes: int) -> v2.Transform | None:
    """What mixes images [N, C, H, W] and labels [N], which become float [N, classes]; None where
    the options ask for none. It draws from the generator that every epoch seeds anew."""
    kinds: list[v2.Transform] = []
    if options.mixup:
        kinds.append(v2.MixUp(alpha=options.mixup, num_classes=classes))
    if options.cutmix:
        kinds.append(v2.CutMix(alpha=options.cutmix, num_classes=classes))
    if len(kinds) > 1:
        return v2.RandomChoice(kinds)
    return kinds[0] if kinds else None
