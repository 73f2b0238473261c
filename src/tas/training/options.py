"""What can be set of a training and of a search: frozen dataclasses, checked on construction.

The defaults are those of the paper's CIFAR experiments, so far as it states them. Variants are made
with ``dataclasses.replace``.
"""

from dataclasses import dataclass
from numbers import Integral
from typing import Any

from ..errors import InputError, one_of

__all__ = [
    "MIXINGS",
    "PRECISIONS",
    "ProbeOptions",
    "SearchOptions",
    "TrainOptions",
    "TrialOptions",
]

PRECISIONS = ("auto", "fp32", "bf16")
MIXINGS = ("auto", "interpolate", "mask")


@dataclass(frozen=True)
class TrainOptions:
    """How a plain net is trained, with or without a teacher.

    Attributes:
        epochs: passes over the training pictures.
        warmup_epochs: the learning rate rises linearly over these, then falls to 0 by a cosine.
        batch_size: pictures in one step, over all processes.
        lr: the highest learning rate of SGD.
        travel: learning rate times steps, beyond which the rate is lowered, to a quarter at most,
            lest a net forgets what it inherits (``docs/search.md``). 0 for no limit.
        momentum, nesterov: of SGD.
        weight_decay: of SGD, on every parameter (norms and biases included, as in the reference).
        clip_norm: gradients of a step whose norm, over all parameters, is larger are shortened to
            it; 0 for never.
        label_smoothing: share of the label's probability that is spread over all classes.
        kd_alpha: weight of the teacher's answers against the labels; only with a teacher.
        kd_temperature: what both nets' logits are divided by for it; only with a teacher.
        precision: ``bf16`` (autocast), ``fp32``, or ``auto``: bf16 where the hardware computes it.
        sync_norms: BatchNorms measure the pictures of all processes, not each its own.
        accumulate: pieces in which a process computes its share of a batch, to save memory; every
            piece has batch statistics of its own.
        ema: decay per step of a running mean of the weights and norm statistics, which is then what
            is tested and kept; 0 for none.
        compile: steps are compiled by PyTorch: half a minute and more at the first one of each net,
            for less work in all others. Not the tests.
        cuda_graphs: on one CUDA device the passes of a step are recorded once and replayed, which
            spares the host their launches. A net that makes the host wait for the device, or draws
            random numbers in Python, is trained without; one that computes something else from step
            to step for another reason, a counter say, must be told so.

    Raises:
        InputError: a value is out of range.
    """

    epochs: int = 300
    warmup_epochs: int = 5
    batch_size: int = 256
    lr: float = 0.1
    travel: float = 0.0
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    clip_norm: float = 0.0
    label_smoothing: float = 0.0
    kd_alpha: float = 0.9
    kd_temperature: float = 4.0
    precision: str = "auto"
    sync_norms: bool = False
    accumulate: int = 1
    ema: float = 0.0
    compile: bool = False
    cuda_graphs: bool = True

    @property
    def distils(self) -> bool:
        """Whether a teacher's answers count."""
        return self.kd_alpha > 0

    def __post_init__(self) -> None:
        _check_common(self)
        _whole("accumulate", self.accumulate, 1)
        if not 0 <= self.ema < 1:
            raise InputError(f"--ema {self.ema}: must be at least 0 and less than 1, e.g. 0.9999")
        _at_least("travel", self.travel, 0)
        _at_least("clip_norm", self.clip_norm, 0)
        _between("label_smoothing", self.label_smoothing, 0, 1)
        _between("kd_alpha", self.kd_alpha, 0, 1)
        _above_zero("kd_temperature", self.kd_temperature)


@dataclass(frozen=True)
class ProbeOptions(TrainOptions):
    """How a space is searched by short trainings of a few of its shapes.

    Attributes:
        epochs ... cuda_graphs: of the training of each of these shapes, the probes.
        probes: how many; more than there are doublings and depths to learn of.
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
        _whole("probes", self.probes, 2)
        _between("low", self.low, 0, 1)
        _at_least("high", self.high, 1)


@dataclass(frozen=True)
class TrialOptions(TrainOptions):
    """How a space is searched by what its shapes answer, cut from a trained net and not trained.

    Attributes:
        epochs ... cuda_graphs: of two short trainings at the end, of what was found and of equal
            widths, by which one of them is taken; the whole net is their teacher.
        trials: shapes that are cut and asked.

    Raises:
        InputError: a value is out of range.
    """

    epochs: int = 1
    warmup_epochs: int = 0
    trials: int = 300

    def __post_init__(self) -> None:
        super().__post_init__()
        _whole("trials", self.trials, 1)


@dataclass(frozen=True)
class SearchOptions:
    """How the weights and the logits of a supernet are trained, in the paper's form.

    Attributes:
        epochs ... weight_decay, precision: of the weights; as in ``TrainOptions``.
        logit_lr, logit_betas, logit_decay: of Adam on the logits.
        tau_start, tau_end: temperature of the Gumbel-softmax, falling by a cosine.
        cost_weight: weight of the budget loss against the cross-entropy of the logits' batch.
        tolerance: how far below the budget, as a ratio, the expected cost may lie unpunished.
        sync_norms, compile, cuda_graphs: as in ``TrainOptions``.
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
    batch_size: int = 256
    lr: float = 0.1
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    logit_lr: float = 1e-3
    logit_betas: tuple[float, float] = (0.5, 0.999)
    logit_decay: float = 1e-3
    tau_start: float = 5.0
    tau_end: float = 0.1
    cost_weight: float = 2.0
    tolerance: float = 0.05
    bilevel: bool = True
    mixing: str = "auto"
    precision: str = "auto"
    sync_norms: bool = False
    compile: bool = False
    cuda_graphs: bool = True

    def __post_init__(self) -> None:
        _check_common(self)
        _above_zero("logit_lr", self.logit_lr)
        _at_least("logit_decay", self.logit_decay, 0)
        for beta in self.logit_betas:
            _between("logit_betas", beta, 0, 1)
        _above_zero("tau_start", self.tau_start)
        _above_zero("tau_end", self.tau_end)
        _at_least("cost_weight", self.cost_weight, 0)
        _between("tolerance", self.tolerance, 0, 1)
        if self.mixing not in MIXINGS:
            raise InputError(one_of("mixing", self.mixing, MIXINGS))


def _check_common(options: TrainOptions | SearchOptions) -> None:
    _whole("epochs", options.epochs, 1)
    _whole("warmup_epochs", options.warmup_epochs, 0)
    if options.warmup_epochs >= options.epochs:
        raise InputError(
            f"--warmup-epochs {options.warmup_epochs}: must be less than --epochs {options.epochs}"
        )
    _whole("batch_size", options.batch_size, 1)
    _above_zero("lr", options.lr)
    _between("momentum", options.momentum, 0, 1)
    if options.nesterov and options.momentum == 0:
        raise InputError("--nesterov true needs a --momentum above 0, such as 0.9")
    _at_least("weight_decay", options.weight_decay, 0)
    if options.precision not in PRECISIONS:
        raise InputError(one_of("precision", options.precision, PRECISIONS))


def _at_least(name: str, value: float, lowest: int) -> None:
    if not value >= lowest:  # a NaN is refused too
        raise InputError(f"{_flag(name)} {value}: must be at least {lowest}")


def _whole(name: str, value: Any, lowest: int) -> None:
    if not isinstance(value, Integral):
        raise InputError(f"{_flag(name)} {value}: must be a whole number")
    _at_least(name, int(value), lowest)


def _above_zero(name: str, value: float) -> None:
    if not value > 0:
        raise InputError(f"{_flag(name)} {value}: must be above 0")


def _between(name: str, value: float, lowest: int, highest: int) -> None:
    if not lowest <= value <= highest:
        raise InputError(f"{_flag(name)} {value}: must lie between {lowest} and {highest}")


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
