"""What can be set of a search by trials."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...checks import whole
from ...training import TrainOptions
from ...typed import checked

if TYPE_CHECKING:
    from .method import Trials

__all__ = ["TrialOptions"]


@checked
@dataclass(frozen=True)
class TrialOptions(TrainOptions):
    """Settings of a search by trials: nets are cut from a trained net and tested untrained.

    >>> from dataclasses import replace
    >>> import tas
    >>> options = tas.recipes.quick().inheriting().search  # what tas.search does by default
    >>> options.trials, options.epochs
    (300, 1)
    >>> longer = replace(options, trials=1000, epochs=3)

    Attributes:
        epochs ... cuda_graphs: of the short trainings at the end, of the best shape, of one that
            has more parameters and of equal widths, which decide between them, on the same quarter
            of the pictures, at least 4,096; the whole net is their teacher.
        trials: number of shapes to try at most; a search that in eight generations of 12, or in a
            third of all, has come less than 1 % further is at its end.

    Raises:
        InputError: a value is out of range.
    """

    epochs: int = 1
    warmup_epochs: int = 0
    trials: int = 300

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("trials", self.trials, 1)

    def method(self) -> "Trials":
        from .method import Trials

        return Trials(self)
