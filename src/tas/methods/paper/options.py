"""What can be set of the paper's search."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...checks import above_zero, at_least, between
from ...errors import InputError, one_of
from ...training.options import StepOptions
from ...typed import checked

if TYPE_CHECKING:
    from .method import Paper

__all__ = ["MIXINGS", "PaperOptions"]

MIXINGS = ("auto", "interpolate", "mask")


@checked
@dataclass(frozen=True)
class PaperOptions(StepOptions):
    """How the weights and the logits of a supernet are trained, in the paper's form.

    >>> import tas
    >>> from tas.methods import PaperOptions
    >>> options = PaperOptions(epochs=2, batch_size=128, mixing="mask")
    >>> found = tas.search(
    ...     "resnet20", "digits", 0.5, options=options, what="depth", subset=8, progress=False
    ... )
    >>> found.history.last["phase"], found.history.last["epoch"]
    ('search', 2)

    Attributes:
        epochs ... cuda_graphs: of the weights; as in ``tas.training.StepOptions``.
        logit_lr, logit_betas, logit_decay: of Adam on the logits.
        tau_start, tau_end: temperature of the Gumbel-softmax, falling by a cosine.
        cost_weight: weight of the budget loss against the cross-entropy of the logits' batch.
        tolerance: how far below the budget, as a ratio, the expected cost may lie unpunished.
        bilevel: the weights learn on some pictures and the logits on others, as in the paper;
            else both in one pass on all of them, for half the work.
        mixing: of two candidate widths: ``interpolate``, the paper's; ``mask``, which weights the
            channels that one of them lacks, for less work; or ``auto``: interpolation in our own
            nets, masks in those that are traced, which have no other.

    Raises:
        InputError: a value is out of range.
    """

    epochs: int = 600
    warmup_epochs: int = 0
    logit_lr: float = 1e-3
    logit_betas: tuple[float, float] = (0.5, 0.999)
    logit_decay: float = 1e-3
    tau_start: float = 5.0
    tau_end: float = 0.1
    cost_weight: float = 2.0
    tolerance: float = 0.05
    bilevel: bool = True
    mixing: str = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        above_zero("logit_lr", self.logit_lr)
        at_least("logit_decay", self.logit_decay, 0)
        for beta in self.logit_betas:
            between("logit_betas", beta, 0, 1)
        above_zero("tau_start", self.tau_start)
        above_zero("tau_end", self.tau_end)
        at_least("cost_weight", self.cost_weight, 0)
        between("tolerance", self.tolerance, 0, 1)
        if self.mixing not in MIXINGS:
            raise InputError(one_of("mixing", self.mixing, MIXINGS))

    def method(self) -> "Paper":
        from .method import Paper

        return Paper(self)
