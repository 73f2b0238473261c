"""What the command can be told: a frozen dataclass per verb, one field per option. No torch.

A field's metadata hold its help. ``None`` means: as the preset, the data or the hardware says.
"""

from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, TypeVar

from .errors import InputError, one_of

__all__ = [
    "DoctorOptions",
    "EvalOptions",
    "MacsOptions",
    "ReportOptions",
    "RunOptions",
    "SearchRunOptions",
    "ShapesOptions",
    "SplitOptions",
    "TrainRunOptions",
    "asked_input",
    "with_changes",
]


def option(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


def positional(text: str, optional: bool = False, many: bool = False) -> Any:
    where = "?" if optional else "+" if many else True
    return field(default=None, metadata={"help": text, "positional": where})


DATA = (
    "digits, cifar10, cifar100, fashion-mnist, imagenet, or a folder of images: "
    "PATH/{train,val|test}/CLASS/*"
)


@dataclass(frozen=True)
class _Files:
    """How the pictures are found and read."""

    data_dir: str | None = option(
        None, "folder with the official files of a named data set (default: $TORCH_HOME)"
    )
    download: bool = option(False, "fetch the official files into --data-dir first")
    image_size: int | None = option(None, "scale pictures to this height and width, in pixels")
    in_memory: bool | None = option(
        None, "decode a folder once and keep it in memory (default: where it fits)"
    )
    workers: int | None = option(
        None, "threads or processes that decode, for each process (default: one per core)"
    )


@dataclass(frozen=True)
class _Data(_Files):
    """Where the pictures come from."""

    data: str = option("digits", DATA)


@dataclass(frozen=True)
class _Compute:
    """Where and in which precision it is computed."""

    device: str = option("auto", "auto, cpu, cuda, cuda:1 or mps")
    precision: Literal["auto", "fp32", "bf16"] | None = option(
        None, "bf16 where the hardware computes it (auto), or always one of the two"
    )


@dataclass(frozen=True)
class _Training(_Compute):
    """How nets are trained; what is not given is the preset's."""

    preset: Literal["quick", "cifar", "imagenet", "paper", "paper-imagenet"] = option(
        "quick",
        "hyper-parameters that belong together: quick (minutes), full-length training for cifar "
        "and imagenet, or the paper's search with the released code's settings",
    )
    epochs: int | None = option(None, "epochs of each training")
    warmup_epochs: int | None = option(None, "epochs over which the learning rate rises")
    batch_size: int | None = option(None, "pictures per step, over all processes")
    lr: float | None = option(
        None,
        "highest learning rate of SGD; default: the preset's, in quick a lower one for a long "
        "training of a net that inherits; in a run that of its trainings, to which that of its "
        "search keeps the ratio that it has in the preset",
    )
    momentum: float | None = option(None, "of SGD")
    nesterov: bool | None = option(None, "of SGD")
    weight_decay: float | None = option(None, "of SGD")
    clip_norm: float | None = option(
        None, "shorten the gradients of a step to this norm, over all parameters; 0: never"
    )
    sync_norms: bool | None = option(
        None, "BatchNorms measure the pictures of all processes, not each its own"
    )
    accumulate: int | None = option(
        None, "compute a batch in so many pieces, to save memory (not in the paper's search)"
    )
    ema: float | None = option(
        None, "test and keep a running mean of the weights, of this decay per step, e.g. 0.9999"
    )
    compile: bool = option(
        False,
        "have PyTorch compile the steps of trainings and of the paper's search: half a minute and "
        "more for each net, then less work; for long ones, on GPUs (in a run not its search's)",
    )
    cuda_graphs: bool = option(
        True, "on one CUDA device, record the passes of a step once and replay them"
    )
    augment: bool = option(True, "vary training pictures: pad or resize, crop, mirror, colours")
    padding: int | None = option(None, "pixels to pad before cropping (default: height / 8)")
    flip: bool | None = option(None, "mirror pictures (default: where it keeps the class)")
    jitter: float = option(0.4, "how far colours of large pictures are changed, as a ratio")
    seed: int = option(0, "random seed; -1 draws one and prints it")
    out: str | None = option(
        None, "run directory; the same command continues there (default: runs/VERB-NET-DATA-TIME)"
    )


@dataclass(frozen=True)
class _Distilling:
    """How a net learns from labels and a teacher."""

    label_smoothing: float | None = option(None, "share of a label spread over all classes")
    kd_alpha: float | None = option(
        None,
        "weight of the teacher against the labels; 0: labels alone (for --inherit); default: 0.9, "
        "in quick 0.5 where the net inherits",
    )
    kd_temperature: float | None = option(None, "softens the teacher's answers")


@dataclass(frozen=True)
class _Searching:
    """What is searched, and how."""

    budget: str | float = option(
        "0.55", "a ratio of the unpruned net (0.55), or absolute: 22.4M, 1.2G"
    )
    unit: Literal["macs", "params"] = option("macs", "what the budget counts")
    what: Literal["width", "depth", "both"] = option("both", "what is searched")
    residual: Literal["free", "tied"] | None = option(
        None,
        "tied: what is added together shares one width, and no projection is added; free: every "
        "convolution has its own (default: tied; free with --preset paper)",
    )
    ratios: list[float] | None = option(
        None,
        "candidate widths, as ratios of the unpruned ones (default: 0.25 to 1, from fresh weights "
        "up to 1.5; 0.3 to 1 with --preset paper)",
    )
    widths_per: Literal["layer", "kind", "stage"] | None = option(
        None,
        "what has a width of its own: every layer; of every stage what is added up, and what is "
        "within its blocks (kind); or every stage (default: layer; where probes are trained, from "
        "fresh weights, stage)",
    )
    weights: str | None = option(
        None,
        "trained weights of the net (.safetensors or a state dict): shapes are cut from it, and "
        "judged by what they still answer",
    )
    split: str | None = option(None, "a file of `tas split`: which pictures train the logits")
    subset: int | None = option(
        None, "search on so many pictures of every class, as a proxy (default: on all)"
    )
    trials: int | None = option(
        None, "from trained weights: shapes that are cut and asked, without any training"
    )
    probes: int | None = option(
        None, "from fresh weights: shapes that are trained for a short time, to learn from"
    )
    low: float | None = option(None, "what these cost at least, as a ratio of the budget")
    high: float | None = option(None, "and at most")
    logit_lr: float | None = option(None, "paper: learning rate of Adam on the logits")
    logit_decay: float | None = option(None, "paper: weight decay of Adam on the logits")
    tau_start: float | None = option(None, "paper: temperature of the Gumbel-softmax at the start")
    tau_end: float | None = option(None, "paper: and at the end")
    cost_weight: float | None = option(None, "paper: weight of the budget in the logits' loss")
    tolerance: float | None = option(None, "paper: how far below the budget is not punished")
    bilevel: bool | None = option(
        None,
        "paper: weights and logits learn on different pictures (true), or in one pass on all of "
        "them, for half the work (false)",
    )
    mixing: Literal["auto", "interpolate", "mask"] | None = option(
        None,
        "paper: how two widths are mixed: by interpolation, as in the paper, or by masks, for less "
        "work (default: interpolation; masks in a traced net, which has no other)",
    )


@dataclass(frozen=True)
class _Tracing:
    """What may shrink in a net of another library or of your own."""

    ignore: list[str] | None = option(
        None, "modules of the net of which nothing may shrink, e.g. [stem,head]"
    )
    only: list[str] | None = option(None, "modules; nothing else is searched")
    round_to: int = option(1, "candidate widths are multiples of it, e.g. 8")


@dataclass(frozen=True)
class RunOptions(_Distilling, _Searching, _Tracing, _Training, _Data):
    """The whole job: teacher, search, derived net, distillation, report.

    With no option at all: the handwritten digits that ship with scikit-learn, in a few minutes.
    """

    net: str = option(
        "resnet20",
        "the unpruned net: resnet20 ... resnet164, resnet18 ... resnet152, or any other: "
        "timm:NAME, torchvision:NAME, package.module:function",
    )
    teacher: str | None = option(
        None, "weights of the unpruned net (.safetensors or a state dict); default: train it"
    )
    search_epochs: int | None = option(
        None, "epochs of each training of the search (default: the preset's)"
    )
    inherit: bool | None = option(
        None,
        "shapes are searched and derived nets start with the teacher's weights, the channels that "
        "tell most kept first (default: true); paper: the derived net from the supernet's "
        "(default: false)",
    )
    baseline: bool = option(True, "train equal widths as well, for comparison")


@dataclass(frozen=True)
class SearchRunOptions(_Searching, _Tracing, _Training, _Data):
    """Search the widths and depths of a net within a budget; writes shape.json."""

    net: str = option(
        "resnet20",
        "the unpruned net: resnet20 ... resnet164, resnet18 ... resnet152, or any other: "
        "timm:NAME, torchvision:NAME, package.module:function",
    )


@dataclass(frozen=True)
class TrainRunOptions(_Distilling, _Training, _Data):
    """Train a net or a shape, on labels or with a teacher; writes model.safetensors."""

    net: str | None = option(
        None,
        "a net's name, e.g. resnet110 or torchvision:mobilenet_v2; of a --shape whose net is a "
        "function of yours, that function, for no file can have one called",
    )
    shape: str | None = option(
        None, "or a shape: a published one (C010-ResNet32), a shape file, or a .config file"
    )
    teacher: str | None = option(None, "weights of the teacher; without them: labels alone")
    teacher_net: str | None = option(
        None, "the teacher's net or shape (default: the unpruned net of the shape)"
    )
    inherit: bool = option(
        False, "start from the teacher's weights, the channels of each width that tell most"
    )
    weights: str | None = option(None, "start from these weights, of just this shape")


@dataclass(frozen=True)
class EvalOptions(_Compute, _Files):
    """Test a trained net: a run directory, or a net or shape with its weights."""

    run: str | None = positional("a run directory, whose model and data are taken", optional=True)
    net: str | None = option(
        None,
        "a net's name; of a run or a shape whose net is a function of yours, that function, for no "
        "file can have one called",
    )
    shape: str | None = option(None, "or a shape: a published one or a file")
    weights: str | None = option(None, "the weights (.safetensors or a state dict)")
    data: str | None = option(None, f"{DATA} (default: that of the run, else digits)")
    batch_size: int = option(256, "pictures per step")
    json: bool = option(False, "print a JSON object")


@dataclass(frozen=True)
class MacsOptions:
    """Count the multiply-adds of one image, and the parameters."""

    what: str = positional(
        "a net's name (also timm:NAME, torchvision:NAME, package.module:function), a published "
        "shape's name, a shape file or .config file"
    )
    net: str | None = option(
        None, "package.module:function of yours, where a file names it: it is imported and called"
    )
    classes: int | None = option(None, "number of classes (default: what the shape says)")
    input: list[int] | None = option(
        None, "[channels, height, width] of an image (default: likewise)"
    )
    json: bool = option(False, "print a JSON object")


@dataclass(frozen=True)
class DoctorOptions(_Tracing):
    """What can be searched in a net, what not and why, and which budgets that allows."""

    net: str = option(
        "resnet20", "timm:NAME, torchvision:NAME, package.module:function, or one of our own"
    )
    classes: int | None = option(None, "number of classes (default: 1000, of our own nets 10)")
    input: list[int] | None = option(
        None, "[channels, height, width] of an image (default: what the net was made for)"
    )
    ratios: list[float] | None = option(
        None, "candidate widths, as ratios of the unpruned ones (default: 0.25 to 1)"
    )
    json: bool = option(False, "print a JSON object")


@dataclass(frozen=True)
class ShapesOptions:
    """List the published shapes, or print one as JSON."""

    name: str | None = positional("the shape to print", optional=True)


@dataclass(frozen=True)
class SplitOptions(_Data):
    """Write the split of a data set for a search: stratified by class, seeded."""

    fraction: float = option(0.5, "of the training pictures, to train the weights")
    subset: int | None = option(None, "take so many pictures of every class alone")
    seed: int = option(0, "random seed; -1 draws one and prints it")
    out: str | None = option(None, "the file to write (default: split-DATA.json)")


@dataclass(frozen=True)
class ReportOptions:
    """Draw the figures and the report of a run directory again."""

    run: str = positional("the run directory")


OptionsT = TypeVar("OptionsT")


def with_changes(options: OptionsT, changes: dict[str, Any]) -> OptionsT:
    """The options with some in their place, by their names.

    Raises:
        InputError: there is no such option.
    """
    known = [f.name for f in fields(options)]  # type: ignore[arg-type]
    for name in changes:
        if name not in known:
            raise InputError(one_of("option", name, known))
    return replace(options, **changes)  # type: ignore[type-var]


def asked_input(options: MacsOptions | DoctorOptions) -> tuple[int, int, int] | None:
    """``--input``, checked as ``--classes`` is; None where it was not given."""
    given = options.input
    if given is not None and (len(given) != 3 or min(given) < 1):
        raise InputError(f"--input {given}: give [channels, height, width], e.g. [3, 32, 32]")
    if options.classes is not None and options.classes < 1:
        raise InputError(f"--classes {options.classes}: give 1 or more")
    return None if given is None else (given[0], given[1], given[2])
