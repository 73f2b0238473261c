"""The shape bench: a space that is small enough to train every shape of it.

ResNet-14 on CIFAR-10 at 16 pixels. One width per stage (the stem goes with the first), each with
four candidates up to 1.5 times the unpruned one, and one or both blocks in the first and in the
last stage: 256 shapes, of 0.17 to 2.24 times the multiply-adds of the unpruned net.

Of the 50,000 training pictures 10,000 train and 5,000 validate; a search may see these. Another
10,000 of them and the 10,000 of the test part measure: so many, that the sampling of pictures adds
little to the noise between seeds.
"""

import csv
from collections import defaultdict
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from tas import data as data_room
from tas import nets, training
from tas.data import Augment, Batches, Data, Images, Split
from tas.inherit import Source
from tas.shape import Shape
from tas.space import Space
from tas.spaces import resnet_space
from tas.training import TrainOptions
from tas.training.pictures import few

NET = "resnet14"  # shallower than any of the paper's nets, so that it is made here
nets.ARCHITECTURES[NET] = replace(
    nets.architecture("resnet20"), name=NET, blocks=(2, 2, 2), widths=((16, 16), (32, 32), (64, 64))
)
RATIOS = (0.5, 0.75, 1.0, 1.5)
STAGES = 3
DEPTHS = {"stages.0": (1, 2), "stages.2": (1, 2)}  # the middle stage keeps its two blocks
SIDE = 16
TRAIN, VALIDATION = 10_000, 5_000
MEASURED = 10_000  # of the training pictures, beside the test part
BUDGETS = (0.35, 0.5, 0.65)

# A training of about 20 seconds on one core; of nets that inherit and are distilled, of 15.
OPTIONS = TrainOptions(epochs=8, warmup_epochs=1, batch_size=64, lr=0.1, precision="bf16")

TEACHER_EPOCHS = 24
# What starts from trained weights: the preset quick, as far as so short a training goes.
INHERITING = replace(OPTIONS, epochs=4, clip_norm=1.0, kd_alpha=0.5)

TABLE = Path(__file__).with_name("table.csv")  # of nets trained from scratch on labels
INHERITED = Path(__file__).with_name("table_inherited.csv")  # of nets that inherit, and distil
TEACHER = Path(__file__).with_name("teacher.pt")  # of which they inherit; not in the repository
CPU = torch.device("cpu")
Key = tuple[int, ...]  # widths of the three stages, blocks of the three stages


@dataclass(frozen=True)
class Pictures:
    """The bench's pictures: ``data`` holds what trains, and what measures as its test part."""

    data: Data
    validation: Images


def space() -> Space:
    """The space of the net, with one width per stage."""
    full = resnet_space(
        nets.full_shape(NET, 10, (3, SIDE, SIDE)), residual="tied", ratios=RATIOS
    ).grouped()
    depths = [replace(d, candidates=DEPTHS[d.name]) for d in full.depths if d.name in DEPTHS]
    fixed = {d.name: d.candidates[-1] for d in full.depths if d.name not in DEPTHS}
    terms = []
    for term in full.terms:
        stage, kept = term.when or ("", frozenset())
        if stage not in fixed:
            terms.append(term)
        elif fixed[stage] in kept:  # what depends on a depth that is fixed is there, or is not
            terms.append(replace(term, when=None))
    return replace(full, depths=tuple(depths), terms=tuple(terms))


def shapes(of: Space) -> list[Shape]:
    """All shapes, in the order of their multiply-adds."""
    widths = product(*(range(len(c.candidates)) for c in of.widths))
    depths = list(product(*(range(len(c.candidates)) for c in of.depths)))
    found = [of.shape(w, d, "shape bench") for w in widths for d in depths]
    return sorted(found, key=lambda s: (s.macs, key(s)))


def key(shape: Shape) -> Key:
    """A shape as six numbers, the columns of the table."""
    widths = [shape.widths[f"stages.{s}.0.conv1"] for s in range(STAGES)]
    return (*widths, *(shape.depths[f"stages.{s}"] for s in range(STAGES)))


def pictures(folder: str | Path) -> Pictures:
    """CIFAR-10, from a folder that ``tas`` reads, at half its side and in the bench's parts."""
    data = data_room.load(folder)
    if not isinstance(data.train, Images) or len(data.train) != 50_000:
        raise SystemExit(f"'{folder}' does not hold the 50,000 training pictures of CIFAR-10")
    small = Images(_halved(data.train.pixels), data.train.labels)
    seen, rest = data_room.stratified_split(small.labels, (TRAIN + VALIDATION) / 50_000, 0)
    train, validation = data_room.stratified_split(
        small.labels[seen], TRAIN / (TRAIN + VALIDATION), 0
    )
    rest = rest[data_room.stratified_split(small.labels[rest], MEASURED / len(rest), 0)[0]]
    measured = [small.take(rest), Images(_halved(data.test.pixels), data.test.labels)]
    test = Images(*(torch.cat([getattr(m, f) for m in measured]) for f in ("pixels", "labels")))
    transform = replace(data.transform, size=(SIDE, SIDE), resize=(SIDE, SIDE))
    bench = replace(data, transform=transform, train=small.take(seen[train]), test=test)
    return Pictures(bench, small.take(seen[validation]))


def searched(of: Pictures) -> tuple[Data, Split]:
    """The pictures that a search may see, and which of them train and which validate."""
    both = (of.data.train, of.validation)
    seen = Images(*(torch.cat([getattr(p, field) for p in both]) for field in ("pixels", "labels")))
    numbers = torch.arange(len(seen))
    sides = numbers[:TRAIN], numbers[TRAIN:]
    data = replace(of.data, train=seen, test=of.validation)
    return data, Split(data.name, 0, TRAIN / len(seen), len(seen), *sides)


def train(
    shape: Shape,
    of: Pictures,
    seed: int,
    teacher: nn.Module | None = None,
) -> float:
    """Accuracy in percent on the pictures that measure, after one training.

    Args:
        teacher: of which the net inherits its weights, and by which it is distilled; None: from
            scratch, on labels.
    """
    torch.manual_seed(seed)
    if teacher is None:
        return fitted(nets.build(shape), of, seed, OPTIONS)
    plain, given = shape.replace(macs=None, params=None), few(teacher, batches(of, 0, 256), CPU)
    source = Source.teaching(plain, teacher, of.data.input).ordered(of.data.input, *given)
    net = source.derive(plain)
    return fitted(net, of, seed, INHERITING, teacher)


def trained_teacher(of: Pictures) -> nn.Module:
    """The unpruned net, trained: once, so that a table and what is held against it share it."""
    torch.manual_seed(0)
    net = nets.build(space().unpruned)
    if not TEACHER.exists():
        fitted(net, of, 0, replace(OPTIONS, epochs=TEACHER_EPOCHS))
        torch.save(net.state_dict(), TEACHER)
    net.load_state_dict(torch.load(TEACHER, weights_only=True))
    return net


def fitted(
    net: nn.Module,
    of: Pictures,
    seed: int,
    options: TrainOptions,
    teacher: nn.Module | None = None,
) -> float:
    test = data_room.batches(of.data, of.data.test, 500, augment=None, device="cpu", shuffle=False)
    history = training.fit(
        training.Distillation(net, teacher, options)
        if teacher
        else training.Classification(net, options),
        batches(of, seed, options.batch_size),
        evaluate_on=test,
        evaluate_every=0,
        device="cpu",
        seed=seed,
        progress=False,
    )
    return float(history.last["test_accuracy"])


def batches(of: Pictures, seed: int, size: int) -> Batches:
    """Shuffled and varied batches of what trains."""
    return data_room.batches(
        of.data,
        of.data.train,
        size,
        augment=Augment(),
        device="cpu",
        seed=seed,
        shuffle=True,
        drop_last=True,
    )


def read_table(path: Path = TABLE) -> dict[Key, dict[int, float]]:
    """Accuracies in percent by shape and seed."""
    rows: dict[Key, dict[int, float]] = defaultdict(dict)
    if path.exists():
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                place = tuple(int(row[c]) for c in COLUMNS[:6])
                rows[place][int(row["seed"])] = float(row["accuracy"])
    return dict(rows)


COLUMNS = ("w1", "w2", "w3", "d1", "d2", "d3", "macs", "params", "seed", "accuracy", "seconds")


def _halved(pixels: torch.Tensor) -> torch.Tensor:  # uint8 [N, C, H, W] -> [N, C, H / 2, W / 2]
    return torch.cat([F.avg_pool2d(p.float(), 2).round().byte() for p in pixels.split(5000)])
