"""The report of a run, with what only its net and its pictures can tell."""

import base64
import io
import json
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .. import nets
from ..costs import count
from ..data import Images
from ..data.transform import as_image
from ..errors import InputError, TasError
from ..exports import Form
from ..forward import example_for
from ..models import ModelFolder
from ..reading import read_json
from ..records import read_result
from ..report import html
from ..shape import Shape
from ..timing import layer_times
from ..typed import checked
from ..whole import write_whole
from .export_pictures import ExportPictures
from .opening import OpenedFolder
from .predict import scorer

__all__ = ["report"]

DETAILS = "details.json"
SHOWN, TOP, PAIRS = 8, 3, 10  # pictures that were right, and as many that were wrong; their classes
SIDE, BATCH = 96, 64  # pixels of a shown picture at most


@checked
def report(run: str | Path) -> Path:
    """Draw the report of a run; where the page lies.

    >>> import tas.api
    >>> done = tas.api.train_run(net="resnet20", epochs=1, out="runs/small")
    >>> tas.api.report("runs/small").name
    'report.html'

    Of a run with several budgets those of each are drawn as well.

    What its net answers on its test pictures, and where its multiply-adds and its time go, is found
    out where both are at hand, and kept in ``details.json``.

    Raises:
        InputError: the folder holds no run, or cannot be written.
    """
    path = Path(run)
    for part in _parts(path):
        report(part)
    if (path / "result.json").is_file() and not _is_answered(path / DETAILS):
        try:
            details = _details(path)
        except TasError:  # the net is the user's own, or the pictures are gone
            details = None
        if details:
            with suppress(OSError):  # the report says so, which is to be written there as well
                write_whole(path / DETAILS, json.dumps(details) + "\n")
    return html(path)


def _parts(path: Path) -> list[Path]:
    """The runs of several budgets in one."""
    file = path / "result.json"
    budgets = read_result(file).get("budgets", []) if file.is_file() else []
    parts = [path / Path(each["name"]).name for each in budgets]
    return [part for part in parts if (part / "result.json").is_file()]


def _is_answered(path: Path) -> bool:
    """Whether the answers on the test pictures are there already."""
    try:
        return "tested" in read_json(path)
    except (InputError, TypeError):
        return False


def _details(path: Path) -> dict[str, Any]:
    opened = OpenedFolder.of(ModelFolder.of(path))
    folder, net = opened.folder, opened.net
    full = read_result(path / "result.json").get("full_shape")
    details: dict[str, Any] = {"layers": _layers(net, folder.shape, full)}
    if folder.transform is not None and folder.classes is not None:
        form = Form(folder.transform, folder.classes, True, True, {})
        pictures = ExportPictures.own(form, folder)
        tested = pictures.to_test()
        if tested is not None and pictures.data is not None and pictures.data.labelled:
            details |= _answers(net, form, tested)
    return details


def _layers(net: nn.Module, shape: Shape, full: Any) -> list[dict[str, Any]]:
    """Multiply-adds and time of every layer, and those that it had in the unpruned net."""
    own, ms = _costs(net, shape)
    whole: dict[str, int] = {}
    whole_ms: dict[str, float] = {}
    if full:
        whole_shape = Shape.from_dict(full)
        if nets.is_named(whole_shape.net) or whole_shape.net in nets.ARCHITECTURES:
            unpruned = nets.full_shape(whole_shape.net, whole_shape.classes, whole_shape.input)
            whole, whole_ms = _costs(nets.build(unpruned), whole_shape)
    names = [*whole, *(name for name in own if name not in whole)]
    return [
        {
            "name": name,
            "macs": own.get(name, 0),
            "unpruned": whole.get(name),
            "ms": ms.get(name, 0.0),
            "unpruned_ms": whole_ms.get(name),
        }
        for name in names
    ]


def _costs(net: nn.Module, shape: Shape) -> tuple[dict[str, int], dict[str, float]]:
    """Multiply-adds and milliseconds of one picture, by layers."""
    counted = count(net, shape.input).modules
    times = layer_times(net, example_for(net, shape.image), counted)
    return counted, {name: round(ms, 5) for name, ms in times.items()}


def _answers(net: nn.Module, form: Form, tested: Images) -> dict[str, Any]:
    """Which classes are taken for which, and pictures that were right and wrong."""
    score = scorer(net, form.transform, form.classes)
    found = torch.cat([score(pixels) for pixels in torch.split(tested.pixels, BATCH)])
    answer = found.argmax(1)
    right = answer == tested.labels
    pairs = Counter(zip(tested.labels[~right].tolist(), answer[~right].tolist(), strict=True))
    of_class = tested.labels.bincount(minlength=len(form.classes)).tolist()
    confused = sorted(pairs.items(), key=lambda each: (-each[1], each[0]))[:PAIRS]
    by_certainty = found.max(1).values.argsort(descending=True, stable=True)
    wrong = [i for i in by_certainty.tolist() if not right[i]][:SHOWN]
    places = right.nonzero().squeeze(1)
    step = max(1, len(places) // SHOWN)

    def shown(i: int) -> dict[str, Any]:
        best = found[i].sort(descending=True, stable=True)
        top = zip(best.indices[:TOP].tolist(), best.values[:TOP].tolist(), strict=True)
        return {
            "class": form.classes[int(tested.labels[i])],
            "answers": [[form.classes[c], round(p, 4)] for c, p in top],
            "png": _png(tested.pixels[i]),
        }

    return {
        "tested": len(right),
        "right": int(right.sum()),
        "confused": [
            [form.classes[a], form.classes[b], times, of_class[a]] for (a, b), times in confused
        ],
        "right_pictures": [shown(i) for i in places[::step][:SHOWN].tolist()],
        "wrong_pictures": [shown(i) for i in wrong],
    }


def _png(pixels: Tensor) -> str:
    """A picture as the net sees it, in base64."""
    image = as_image(pixels)
    image.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    image.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()
