"""Settings of trainings and searches: frozen dataclasses, checked on construction.

The defaults are those of the paper's CIFAR experiments, so far as it states them. Variants are made
with ``dataclasses.replace``.
"""

from dataclasses import dataclass
from typing import Literal

from ..checks import above_zero, at_least, between, whole
from ..errors import InputError, one_of
from ..typed import checked

__all__ = ["PRECISIONS", "StepOptions", "TrainOptions"]

PRECISIONS = ("auto", "fp32", "bf16")
OPTIMIZERS = ("sgd", "adamw")


@checked
@dataclass(frozen=True)
class StepOptions:
    """Settings of every training by SGD, including that of a supernet's weights.

    >>> from tas.training import StepOptions
    >>> StepOptions(epochs=2, warmup_epochs=2)
    Traceback (most recent call last):
    tas.errors.InputError: --warmup-epochs 2: must be less than --epochs 2

    Attributes:
        epochs: passes over the training pictures.
        warmup_epochs: the learning rate rises linearly over these, then falls to 0 by a cosine.
        batch_size: pictures in one step, over all processes.
        lr: the highest learning rate of SGD.
        momentum, nesterov: of SGD.
        weight_decay: of SGD, on every parameter (norms and biases included, as in the reference).
        precision: ``bf16`` (autocast), ``fp32``, or ``auto``: bf16 where the hardware computes it.
        sync_norms: BatchNorms measure the pictures of all processes, not each its own.
        compile: steps are compiled by PyTorch: half a minute and more at the first one of each net,
            for less work in all others. Not the tests.
        cuda_graphs: on one CUDA device the passes of a step are recorded once and replayed, which
            saves the time of launching kernels. A net that makes the host wait for the device, or
            draws random numbers in Python, is trained without. Set it to False for a net that
            computes something else from step to step for another reason, such as a counter.

    Raises:
        InputError: a value is out of range.
    """

    epochs: int = 300
    warmup_epochs: int = 5
    batch_size: int = 256
    lr: float = 0.1
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    precision: str = "auto"
    sync_norms: bool = False
    compile: bool = False
    cuda_graphs: bool = True

    def __post_init__(self) -> None:
        whole("epochs", self.epochs, 1)
        whole("warmup_epochs", self.warmup_epochs, 0)
        if self.warmup_epochs >= self.epochs:
            raise InputError(
                f"--warmup-epochs {self.warmup_epochs}: must be less than --epochs {self.epochs}"
            )
        whole("batch_size", self.batch_size, 1)
        above_zero("lr", self.lr)
        between("momentum", self.momentum, 0, 1)
        if self.nesterov and self.momentum == 0:
            raise InputError("--nesterov true needs a --momentum above 0, such as 0.9")
        at_least("weight_decay", self.weight_decay, 0)
        if self.precision not in PRECISIONS:
            raise InputError(one_of("precision", self.precision, PRECISIONS))


@checked
@dataclass(frozen=True)
class TrainOptions(StepOptions):
    """How a plain net is trained, with or without a teacher.

    >>> from dataclasses import replace
    >>> from tas.training import TrainOptions
    >>> options = TrainOptions(epochs=30, warmup_epochs=3, lr=0.2)
    >>> replace(options, label_smoothing=0.1).lr
    0.2

    Attributes:
        epochs ... cuda_graphs: as in ``StepOptions``.
        travel: learning rate times steps, beyond which the rate is lowered, to a quarter at most,
            so that a net keeps what it inherits (``docs/research``). 0 for no limit.
        clip_norm: gradients of a step whose norm, over all parameters, is larger are shortened to
            it; 0 for never.
        label_smoothing: share of the label's probability that is spread over all classes.
        kd_alpha: weight of the teacher's answers against the labels; only with a teacher.
        kd_temperature: what both nets' logits are divided by for it; only with a teacher.
        accumulate: pieces in which a process computes its share of a batch, to save memory; every
            piece has batch statistics of its own.
        ema: decay per step of a running mean of the weights and norm statistics, which is then what
            is tested and kept; 0 for none. At first it decays faster, (1 + step) / (10 + step).
        optimizer: ``sgd`` or ``adamw``, which takes no momentum and wants a far lower ``lr``.
        decay_norms: the weight decay is on norms, biases and all other vectors as well.
        head_epochs: epochs at the start in which the classifier alone is trained, the last module
            with weights: for one that is fresh on a net that was pretrained.
        mixup, cutmix: pictures of a batch are mixed in pairs, or a piece of one is set into
            another, and so are their labels (torchvision's ``v2.MixUp`` and ``v2.CutMix``); the
            parameter of their Beta distribution, 0 for neither. With both each batch draws one.

    Raises:
        InputError: a value is out of range.
    """

    travel: float = 0.0
    clip_norm: float = 0.0
    label_smoothing: float = 0.0
    kd_alpha: float = 0.9
    kd_temperature: float = 4.0
    accumulate: int = 1
    ema: float = 0.0
    optimizer: Literal["sgd", "adamw"] = "sgd"
    decay_norms: bool = True
    head_epochs: int = 0
    mixup: float = 0.0
    cutmix: float = 0.0

    @property
    def distils(self) -> bool:
        """Whether a teacher's answers count."""
        return self.kd_alpha > 0

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("accumulate", self.accumulate, 1)
        if not 0 <= self.ema < 1:
            raise InputError(f"--ema {self.ema}: must be at least 0 and less than 1, e.g. 0.9999")
        if self.optimizer not in OPTIMIZERS:
            raise InputError(one_of("optimizer", self.optimizer, OPTIMIZERS))
        whole("head_epochs", self.head_epochs, 0)
        if self.head_epochs >= self.epochs:
            raise InputError(
                f"--head-epochs {self.head_epochs}: must be less than --epochs {self.epochs}"
            )
        at_least("mixup", self.mixup, 0)
        at_least("cutmix", self.cutmix, 0)
        at_least("travel", self.travel, 0)
        at_least("clip_norm", self.clip_norm, 0)
        between("label_smoothing", self.label_smoothing, 0, 1)
        between("kd_alpha", self.kd_alpha, 0, 1)
        above_zero("kd_temperature", self.kd_temperature)
