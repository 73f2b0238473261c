"""What can be set of a search by probes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...checks import at_least, between, whole
from ...training import TrainOptions
from ...typed import checked

if TYPE_CHECKING:
    from .method import Probes

__all__ = ["ProbeOptions"]


@checked
@dataclass(frozen=True)
class ProbeOptions(TrainOptions):
    """Settings of a search by probes: short trainings of a few shapes.

    >>> import tas
    >>> from tas.methods import ProbeOptions
    >>> options = ProbeOptions(probes=2, epochs=1, batch_size=64)
    >>> found = tas.search(
    ...     "resnet20", "digits", 0.5, options=options, what="depth", subset=8, progress=False
    ... )
    >>> [line["phase"] for line in found.history.epochs]
    ['probe-01-of-02', 'probe-02-of-02']

    Attributes:
        epochs ... cuda_graphs: of the training of each of these shapes, the probes.
        probes: how many; more than the space has choices, whose slopes are fitted.
        low, high: what a probe may cost, as ratios of the budget.

    Raises:
        InputError: a value is out of range.
    """

    epochs: int = 8
    warmup_epochs: int = 0
    probes: int = 16
    low: float = 0.3
    high: float = 1.15

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("probes", self.probes, 2)
        between("low", self.low, 0, 1)
        at_least("high", self.high, 1)

    def method(self) -> "Probes":
        from .method import Probes

        return Probes(self)
