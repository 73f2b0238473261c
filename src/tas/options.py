"""What the command can be told: a frozen dataclass per verb, one field per option. No torch.

A field's metadata hold its help. ``None`` means: as the preset, the data or the hardware says.
"""

from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, TypeVar

from .errors import InputError, flag, one_of
from .typed import checked

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

UNLABELLED = (
    "the pictures of --data, at any depth, have no labels: a trained net's answers stand for them, "
    "and the result tells the share of equal answers"
)


@dataclass(frozen=True)
class _Files:
    """How the pictures are found and read."""

    data_dir: str | None = option(
        None,
        "folder with the official files of a named data set (default: $TORCH_HOME, else "
        "~/.cache/torch)",
    )
    download: bool = option(False, "fetch the official files into --data-dir first")
    image_size: int | None = option(None, "scale pictures to this height and width, in pixels")
    in_memory: bool | None = option(
        None, "decode the pictures of a folder once and keep them in memory (default: if they fit)"
    )
    workers: int | None = option(
        None,
        "threads or processes that decode pictures, for each training process (default: one "
        "per CPU core)",
    )


@dataclass(frozen=True)
class _Data(_Files):
    """Where the pictures come from."""

    data: str = option("digits", DATA)
    unlabelled: bool = option(False, UNLABELLED)


@dataclass(frozen=True)
class _Compute:
    """Device and precision."""

    device: str = option("auto", "auto, cpu, cuda, cuda:1 or mps")
    precision: Literal["auto", "fp32", "bf16"] | None = option(
        None, "fp32, bf16, or auto: bf16 where the hardware supports it (default: auto)"
    )


@dataclass(frozen=True)
class _Timing:
    """What runs nets where their time counts"""

    runtime: Literal["torch", "torch-compile", "onnxruntime", "openvino"] | None = option(
        None,
        "what runs a net; onnxruntime needs pip install 'torch-tas[onnx]', openvino "
        "'torch-tas[openvino]' (default: onnxruntime where it is installed, else torch)",
    )
    measure: str | None = option(
        None,
        "a device of your own instead: a command in which {onnx} stands for the path of an ONNX "
        "file, and that prints milliseconds, e.g. 'ssh board bench < {onnx}'",
    )
    measure_limit: float = option(300.0, "seconds that --measure may take for one net")
    threads: int = option(1, "threads of one call")


@dataclass(frozen=True)
class _Showing:
    """What is shown of a run"""

    tracker: str | None = option(
        None,
        "tell a tracker of experiments what the log says: tensorboard (writes OUT/trackers), wandb "
        "or mlflow; several: tensorboard,wandb. tensorboard needs pip install "
        "'torch-tas[trackers]', the others their own package",
    )
    quiet: bool = option(False, "print the result alone; warnings and errors are still said")


@dataclass(frozen=True)
class _Training(_Showing, _Compute):
    """How nets are trained; what is not given is the preset's."""

    preset: Literal["quick", "finetune", "cifar", "imagenet", "paper", "paper-imagenet"] = option(
        "quick",
        "a set of hyper-parameters: quick (minutes), finetune (AdamW, for --pretrained nets and "
        "few pictures), cifar or imagenet (full-length training), or paper or paper-imagenet (the "
        "paper's search with the settings of the released code)",
    )
    epochs: int | None = option(None, "epochs of each training")
    warmup_epochs: int | None = option(None, "epochs of learning rate warm-up")
    batch_size: int | None = option(None, "pictures per step, of all processes together")
    lr: float | None = option(
        None,
        "peak learning rate of SGD (default: the preset's; in quick, a long fine-tuning of "
        "inherited weights uses a lower one). In tas run it is that of the trainings, and "
        "the search's is scaled by the same factor",
    )
    optimizer: Literal["sgd", "adamw"] | None = option(
        None, "sgd, or adamw with a far lower --lr (default: the preset's)"
    )
    momentum: float | None = option(None, "momentum of SGD")
    nesterov: bool | None = option(None, "Nesterov momentum in SGD")
    weight_decay: float | None = option(None, "weight decay")
    decay_norms: bool | None = option(
        None, "decay norms, biases and all other vectors as well (default: the preset's)"
    )
    head_epochs: int | None = option(
        None,
        "of a training from --pretrained, or from --weights of other classes: epochs at its start "
        "in which the fresh classifier alone is trained",
    )
    mixup: float | None = option(
        None, "mix pictures and labels in pairs: parameter of the Beta distribution, e.g. 0.2"
    )
    cutmix: float | None = option(
        None, "set a piece of a picture into another: parameter of the Beta distribution, e.g. 1"
    )
    clip_norm: float | None = option(
        None, "clip the norm of the gradients, over all parameters, to this value; 0: no clipping"
    )
    sync_norms: bool | None = option(
        None, "BatchNorms take their statistics over the pictures of all processes, not of one"
    )
    accumulate: int | None = option(
        None,
        "gradient accumulation: split every batch into so many pieces, to save memory (not "
        "in the paper's search)",
    )
    ema: float | None = option(
        None,
        "test and save an exponential moving average of the weights, with this decay per "
        "step, e.g. 0.9999",
    )
    compile: bool = option(
        False,
        "torch.compile for trainings and the paper's search: half a minute or more for each "
        "net, then faster steps; for long trainings on GPUs (tas run does not compile the "
        "search's short trainings)",
    )
    cuda_graphs: bool = option(
        True, "on a single CUDA device, record the passes of a step as CUDA graphs and replay them"
    )
    augment: bool = option(
        True, "augment training pictures: pad or resize, crop, mirror, change colours"
    )
    padding: int | None = option(
        None, "pixels of padding before the random crop (default: height / 8)"
    )
    flip: bool | None = option(
        None, "mirror half of the training pictures (default: true, false for digits)"
    )
    jitter: float = option(
        0.4,
        "for pictures above 64 pixels: change brightness, contrast and saturation by up to "
        "this ratio",
    )
    randaugment: int = option(
        0,
        "change training pictures by two random operations of this magnitude, 1 to 30, in the "
        "place of --jitter",
    )
    seed: int = option(0, "random seed; -1 draws one and prints it")
    out: str | None = option(
        None,
        "run directory; the same command continues the run in it (default: "
        "runs/VERB-NET-DATA-TIME)",
    )


@dataclass(frozen=True)
class _Distilling:
    """How a net learns from labels and a teacher."""

    label_smoothing: float | None = option(
        None, "label smoothing: share of a label that is spread over all classes"
    )
    kd_alpha: float | None = option(
        None,
        "weight of the distillation loss, from 0 (labels alone) to 1 (teacher alone); "
        "default: 0.9, in quick 0.5 for inherited weights",
    )
    kd_temperature: float | None = option(None, "temperature of the distillation loss")


@dataclass(frozen=True)
class _Searching:
    """What is searched, and how."""

    budget: str | float | list[str | float] = option(
        "0.55",
        "the most that the net may cost: a ratio of the unpruned net (0.55), or absolute: "
        "22.4M, 1.2G, or 8ms; several, each with a net of its own from one search: 0.3,0.5,0.7",
    )
    unit: Literal["macs", "params", "ms"] = option(
        "macs",
        "what the budget counts: multiply-adds, parameters, or milliseconds of a net on --runtime "
        "or --measure, which are measured first (minutes) unless there is a --latency-table",
    )
    latency_table: str | None = option(
        None, "a file of `tas latency table`: what shapes of the net take, and on what"
    )
    max_macs: str | float | None = option(
        None, "a further limit: multiply-adds, as a ratio or absolute"
    )
    max_params: str | float | None = option(
        None, "a further limit: parameters, as a ratio or absolute, e.g. 3M"
    )
    what: Literal["width", "depth", "both"] = option("both", "search widths, depths, or both")
    residual: Literal["free", "tied"] | None = option(
        None,
        "tied: layers whose outputs are added share one width; free: every convolution has "
        "its own width, and shortcuts get a 1x1 projection where widths differ (default: "
        "tied; free with --preset paper)",
    )
    ratios: list[float] | None = option(
        None,
        "candidate widths, as ratios of the unpruned ones (default: 0.25 to 1; 0.25 to 1.5 "
        "from fresh weights; 0.3 to 1 with --preset paper)",
    )
    widths_per: Literal["layer", "kind", "stage"] | None = option(
        None,
        "how many widths there are: one per layer; two per stage, one where outputs are "
        "added and one inside the blocks (kind); or one per stage (default: layer; stage for "
        "a search from fresh weights)",
    )
    weights: str | None = option(
        None,
        "trained weights of the net (.safetensors or a state dict): the search cuts smaller "
        "nets from it and compares their answers; in tas run those of another number of classes "
        "are what the teacher's training starts from, but for the classifier",
    )
    split: str | None = option(
        None,
        "a file of `tas split`: which training pictures train weights, and which the search "
        "chooses by",
    )
    subset: int | None = option(
        None, "search on only so many pictures of every class, as a proxy (default: on all)"
    )
    trials: int | None = option(
        None, "search from trained weights: number of shapes to try at most, without training"
    )
    probes: int | None = option(
        None, "search from fresh weights: number of shapes to train for a few epochs"
    )
    low: float | None = option(None, "lowest cost of a probe, as a ratio of the budget")
    high: float | None = option(None, "highest cost of a probe, as a ratio of the budget")
    logit_lr: float | None = option(None, "paper: learning rate of Adam on the logits")
    logit_decay: float | None = option(None, "paper: weight decay of Adam on the logits")
    tau_start: float | None = option(None, "paper: temperature of the Gumbel-softmax at the start")
    tau_end: float | None = option(None, "paper: temperature of the Gumbel-softmax at the end")
    cost_weight: float | None = option(
        None, "paper: weight of the cost term in the loss of the logits"
    )
    tolerance: float | None = option(
        None, "paper: how far the cost may lie below the budget without a penalty, as a ratio"
    )
    bilevel: bool | None = option(
        None,
        "paper: train weights and logits on different pictures (true), or both in one pass "
        "on all pictures, for half the work (false)",
    )
    mixing: Literal["auto", "interpolate", "mask"] | None = option(
        None,
        "paper: how two candidate widths are mixed: by interpolation, as in the paper, or by "
        "masks, for less work (default: interpolation; a traced net can only use masks)",
    )


@dataclass(frozen=True)
class _Tracing:
    """What may shrink; --ignore and --only in a net of another library or of your own."""

    ignore: list[str] | None = option(None, "modules to leave as they are, e.g. [stem,head]")
    only: list[str] | None = option(None, "search these modules alone, e.g. [layer3,layer4]")
    round_to: int | None = option(
        None,
        "make candidate widths multiples of this number; 1: any width (default: 16, and 8, 4 or 2 "
        "for narrow layers, which hardware is fast with; any width where --ratios are given)",
    )


@checked
@dataclass(frozen=True)
class RunOptions(_Distilling, _Searching, _Tracing, _Timing, _Training, _Data):
    """The whole job: train a teacher, search, fine-tune the smaller net, write a report.

    Without options: the handwritten digits that ship with scikit-learn, in a minute or two.
    """

    net: str = option(
        "resnet20",
        "the unpruned net: resnet20 ... resnet164, resnet18 ... resnet152, or any other: "
        "timm:NAME, torchvision:NAME, package.module:function",
    )
    teacher: str | None = option(
        None, "weights of the unpruned net (.safetensors or a state dict); default: train it"
    )
    pretrained: bool = option(
        False,
        "start from the pretrained weights of a timm or torchvision net, from its library's cache "
        "or the network; the classifier is fresh where it has other classes, "
        "and the teacher is trained from there",
    )
    search_epochs: int | None = option(
        None, "epochs of the trainings within the search (default: the preset's)"
    )
    inherit: bool | None = option(
        None,
        "start the search and the smaller nets from the teacher's weights (default: true); "
        "with --preset paper: start the smaller net from the supernet's weights (default: "
        "false)",
    )
    baseline: bool = option(True, "also train a net of equal widths, for comparison")


@checked
@dataclass(frozen=True)
class SearchRunOptions(_Searching, _Tracing, _Timing, _Training, _Data):
    """Search the widths and depths of a net within a budget; writes shape.json."""

    net: str = option(
        "resnet20",
        "the unpruned net: resnet20 ... resnet164, resnet18 ... resnet152, or any other: "
        "timm:NAME, torchvision:NAME, package.module:function",
    )


@checked
@dataclass(frozen=True)
class TrainRunOptions(_Distilling, _Training, _Data):
    """Train a net or a shape, on labels or with a teacher; writes model.safetensors."""

    net: str | None = option(
        None,
        "a net's name, e.g. resnet110 or torchvision:mobilenet_v2; beside a --shape whose "
        "file names a function of yours: that function, to allow the call",
    )
    shape: str | None = option(
        None, "or a shape: a published one (C010-ResNet32), a shape file, or a .config file"
    )
    teacher: str | None = option(None, "weights of the teacher (default: no teacher, labels alone)")
    teacher_net: str | None = option(
        None, "the teacher's net or shape (default: the unpruned net of the shape)"
    )
    inherit: bool = option(
        False, "start from the teacher's weights, the most important channels of every width"
    )
    weights: str | None = option(
        None,
        "start from these weights, which must fit the net or shape; the classifier is fresh where "
        "they have another number of classes",
    )
    pretrained: bool = option(
        False,
        "start from the pretrained weights of a timm or torchvision net, from its library's cache "
        "or the network; the classifier is fresh where it has other classes",
    )


@checked
@dataclass(frozen=True)
class EvalOptions(_Compute, _Files):
    """Test a trained net: a run directory, or a net or shape with its weights."""

    run: str | None = positional(
        "a run or model folder, or user/name on the Hugging Face Hub: its model and its data are "
        "used",
        optional=True,
    )
    net: str | None = option(
        None,
        "a net's name; beside a run or shape whose file names a function of yours: that "
        "function, to allow the call",
    )
    shape: str | None = option(None, "or a shape: a published one or a file")
    weights: str | None = option(None, "the weights (.safetensors or a state dict)")
    data: str | None = option(None, f"{DATA} (default: that of the run, else digits)")
    unlabelled: bool = option(
        False,
        "the pictures have no labels: tell the share of them that the net answers as the unpruned "
        "net of its run does",
    )
    batch_size: int = option(256, "pictures per step")
    json: bool = option(False, "print a JSON object")


@checked
@dataclass(frozen=True)
class MacsOptions:
    """Count the multiply-adds of one image, and the parameters."""

    what: str = positional(
        "a net's name (also timm:NAME, torchvision:NAME, package.module:function), a published "
        "shape's name, a shape file or .config file"
    )
    net: str | None = option(
        None, "package.module:function of yours that the shape file names, to allow the call"
    )
    classes: int | None = option(None, "number of classes (default: what the shape says)")
    input: list[int] | None = option(
        None, "[channels, height, width] of an image (default: what the shape says)"
    )
    json: bool = option(False, "print a JSON object")


@checked
@dataclass(frozen=True)
class DoctorOptions(_Tracing):
    """Show what can be searched in a net, what cannot and why, and which budgets are possible."""

    net: str = option(
        "resnet20", "timm:NAME, torchvision:NAME, package.module:function, or a built-in net"
    )
    classes: int | None = option(
        None, "number of classes (default: 1000; 10 for the built-in CIFAR nets)"
    )
    input: list[int] | None = option(
        None, "[channels, height, width] of an image (default: what the net was made for)"
    )
    ratios: list[float] | None = option(
        None, "candidate widths, as ratios of the unpruned ones (default: 0.25 to 1)"
    )
    latency_table: str | None = option(
        None, "a file of `tas latency table`: the budgets in milliseconds are shown as well"
    )
    json: bool = option(False, "print a JSON object")


@checked
@dataclass(frozen=True)
class ShapesOptions:
    """List the published shapes, or print one as JSON."""

    name: str | None = positional("the shape to print", optional=True)


@checked
@dataclass(frozen=True)
class SplitOptions(_Data):
    """Write the split of a data set for a search: stratified by class, seeded."""

    fraction: float = option(0.5, "share of the training pictures that train weights")
    subset: int | None = option(None, "take only so many pictures of every class")
    seed: int = option(0, "random seed; -1 draws one and prints it")
    out: str | None = option(None, "the file to write (default: split-DATA.json)")


@checked
@dataclass(frozen=True)
class ReportOptions:
    """Draw the figures and the report of a run again, or one page that compares several runs."""

    run: list[str] = positional("the run directory, or several", many=True)
    out: str | None = option(None, "of several runs: the page to write (default: comparison.html)")


OptionsT = TypeVar("OptionsT")


EMPTY = " is empty: leave it out, or give a value"


def empty(values: dict[str, Any]) -> str | None:
    """The first of some options that was given as nothing, as ``--teacher "$UNSET"`` is."""
    for name, value in values.items():
        texts = value if isinstance(value, list | tuple) else [value]
        if any(isinstance(text, str) and not text.strip() for text in texts):
            return name
    return None


def with_changes(options: OptionsT, changes: dict[str, Any]) -> OptionsT:
    """The options with some in their place, by their names.

    Raises:
        InputError: there is no such option.
    """
    known = [f.name for f in fields(options)]  # type: ignore[arg-type]
    for name in changes:
        if name not in known:
            raise InputError(one_of("option", name, known))
    if nothing := empty(changes):
        raise InputError(f"{flag(nothing)}{EMPTY}")
    return replace(options, **changes)  # type: ignore[type-var]


def asked_input(options: Any) -> tuple[int, int, int] | None:
    """``--input``, checked as ``--classes`` is; None where it was not given."""
    given = options.input
    if given is not None and (len(given) != 3 or min(given) < 1):
        raise InputError(f"--input {given}: give [channels, height, width], e.g. [3, 32, 32]")
    if options.classes is not None and options.classes < 1:
        raise InputError(f"--classes {options.classes}: give 1 or more")
    return None if given is None else (given[0], given[1], given[2])
