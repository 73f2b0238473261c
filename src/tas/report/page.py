"""The report of a run: one HTML file with everything inside it."""

from base64 import b64decode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from .. import sums
from ..errors import InputError, shown
from ..reading import read_json, read_text
from ..records import read_log, read_result
from ..shape import Shape
from ..typed import checked
from ..whole import replacing, scratch, write_whole
from .history import history_figure
from .shape import shape_figure
from .svg import inline
from .tables import SHARES, cells, duration, quantity, share_of, time_notes, timed_rows
from .tradeoff import tradeoff_figure

_READ = ("config.yaml", "log.jsonl", "result.json", "shape.json")


@dataclass(frozen=True)
class Picture:
    """A figure on a page."""

    title: str
    drawn: Sequence[Markup]  # for wide windows and paper, and for phones


@checked
def html(run_dir: str | Path) -> Path:
    """Draw the figures of a run into ``figures/`` and write ``report.html``, which holds them all.

    >>> import tas
    >>> from tas.report import html
    >>> directory = tas.RunDir.open("runs/mine", {"net": "resnet20"})
    >>> directory.log({"phase": "teacher", "epoch": 1, "loss": 2.3})
    >>> html("runs/mine").name
    'report.html'

    Reads what there is of ``result.json``, ``shape.json``, ``log.jsonl`` and ``config.yaml``; of a
    run that is not finished, the report says so. The shape is drawn if ``result.json`` has the
    unpruned net's under ``full_shape``.

    Raises:
        InputError: the folder holds no run, one of its files is damaged, or it is not writable.
    """
    run_dir = Path(run_dir)
    sums.check(*(run_dir / name for name in _READ))
    file = run_dir / "result.json"
    result = read_result(file) if file.is_file() else None
    log, damaged = read_log(run_dir / "log.jsonl")
    if result is None and not log:
        raise InputError(f"'{run_dir}' holds no run: it has neither result.json nor log.jsonl")
    result = result or {}
    config = run_dir / "config.yaml"
    try:
        page = template().render(
            title=_title(result) or run_dir.name,
            finished=bool(result),
            table=cells(timed_rows(result)) if result.get("rows") else None,
            facts=_facts(result),
            pictures=_pictures(run_dir, result, log),
            notes=[
                *result.get("notes", []),
                *time_notes(result),
                *([_damaged(damaged)] if damaged else []),
            ],
            details=_details(run_dir / "details.json"),
            parts=[each["name"] for each in result.get("budgets", [])],
            config=_chosen(read_text(config)) if config.is_file() else None,
        )
        path = run_dir / "report.html"
        write_whole(path, page)
    except OSError as error:
        raise InputError(f"cannot write the report in '{run_dir}': {error.strerror}") from None
    return path


def _details(path: Path) -> dict[str, Any]:
    """What ``details.json`` holds, ready to be shown; empty where it is not there or damaged."""
    try:
        held = read_json(path)
        layers = [dict(layer) for layer in held["layers"]]
        _bars(layers, "macs", "unpruned", quantity)
        _bars(layers, "ms", "unpruned_ms", lambda ms: f"{ms:.3f}")
        kinds = (("right_pictures", "Right"), ("wrong_pictures", "Wrong, the most certain first"))
        pictures = [(title, held.get(name, [])) for name, title in kinds]
        for _, cards in pictures:
            for card in cards:
                card["answers"] = [(str(n), f"{100 * p:.1f} %") for n, p in card["answers"]]
                b64decode(card["png"], validate=True)  # it becomes a part of the page
        shown = [kind for kind in pictures if kind[1]]
        timed = any(layer.get("ms") for layer in layers)  # those of earlier versions are not
        held |= {"timed": timed}
        return {**held, "layers": layers, "pictures": shown, "confused": held.get("confused", [])}
    except (ValueError, LookupError, TypeError, AttributeError):
        return {}


def _bars(
    layers: list[dict[str, Any]], name: str, unpruned: str, said: Callable[[float], str]
) -> None:
    """What a figure of every layer comes to beside the unpruned net's, in words and as bars."""
    both = [(layer.get(name) or 0, layer.get(unpruned)) for layer in layers]
    most = max([own if whole is None else max(own, whole) for own, whole in both], default=0) or 1
    for layer, (own, whole) in zip(layers, both, strict=True):
        layer[f"{name}_text"] = said(own) + ("" if whole is None else f" of {said(whole)}")
        layer[f"{name}_part"] = f"{100 * own / most:.2f}"
        layer[f"{name}_whole"] = f"{100 * (own if whole is None else whole) / most:.2f}"


def _damaged(count: int) -> str:
    return f"{count} line{'s' * (count > 1)} of log.jsonl cannot be read and are left out."


def template() -> Any:
    """The page, for ``render``."""
    text = files(__package__).joinpath("report.html.jinja").read_text(encoding="utf-8")
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Names of files may hold anything; so may what is no UTF-8, which could not be written.
        finalize=lambda value: shown(value, keep="\n") if type(value) is str else value,
    )
    return environment.from_string(text)


def _pictures(run_dir: Path, result: dict[str, Any], log: list[dict[str, Any]]) -> list[Picture]:
    folder = run_dir / "figures"
    folder.mkdir(exist_ok=True)
    budgets = _budgets(result)
    file = run_dir / "shape.json"
    shape = Shape.load(file).to_dict() if file.is_file() else None
    full = result.get("full_shape")
    if full:
        full = Shape.from_dict(full, f"'full_shape' of '{run_dir / 'result.json'}'").to_dict()
    pictures = []

    def add(name: str, title: str, says: str, draw: Callable[..., None]) -> None:
        with replacing(folder / f"{name}.png") as path:
            draw(path)
        pictures.append(drawn(name, title, says, draw))

    if shape and full and full["widths"]:
        macs = full.get("macs") or result["rows"][0]["macs"]
        add(
            "shape",
            "The shape that was found",
            "Bars: the channels of every convolution, found and unpruned; blocks that were cut.",
            partial(shape_figure, shape, {**full, "macs": macs}),
        )
    if share := share_of(result.get("rows", [])):
        says = f"Points: {SHARES[share]} against MACs of every net."
        draw = partial(tradeoff_figure, timed_rows(result), budgets=budgets)
        add("tradeoff", "Accuracy and cost", says, draw)
    if log:
        says = "Lines: accuracy, loss and cost over the epochs."
        add(
            "history",
            "How the run went",
            says,
            partial(history_figure, log, budget=result.get("budget")),
        )
    return pictures


def drawn(name: str, title: str, says: str, draw: Callable[..., None]) -> Picture:
    """A figure for a page, twice: ``draw`` is given a path and whether it is for a phone."""
    kinds = []
    with scratch() as home:
        for kind in ("wide", "narrow"):
            path = home / f"{name}-{kind}.svg"
            draw(path, narrow=kind == "narrow")
            kinds.append(inline(path, says, kind))
    return Picture(title, kinds)


def _chosen(config: str) -> str:
    """The options that say something: those that are not given stand in the file."""
    lines = config.splitlines()
    return "\n".join(line for line in lines if not line.endswith(": null"))


def _title(result: dict[str, Any]) -> str:
    return " on ".join(str(result[key]) for key in ("net", "data") if result.get(key))


def _budgets(result: dict[str, Any]) -> list[dict[str, Any]]:
    """The budget of a result, or all of them."""
    own = result.get("budget")
    return [own] if own else result.get("budgets", [])


def _amount(budget: dict[str, Any]) -> str:
    counted = {"macs": "MACs", "params": "parameters"}.get(budget["unit"])
    amount = quantity(budget["value"]) if counted else f"{budget['value']:.4g}"
    text = f"{amount} {counted or budget['unit']}"
    if budget.get("ratio"):
        text += f" ({100 * budget['ratio']:.0f} % of the unpruned net)"
    return text


def _facts(result: dict[str, Any]) -> list[tuple[str, str]]:
    facts = []
    if budgets := _budgets(result):
        name = "Budgets" if len(budgets) > 1 else "Budget"
        facts.append((name, ", ".join(map(_amount, budgets))))
    if result.get("seconds_total") is not None:
        facts.append(("Whole run", duration(result["seconds_total"])))
    if result.get("seed") is not None:
        facts.append(("Seed", str(result["seed"])))
    if result.get("hardware"):
        facts.append(("Hardware", str(result["hardware"])))
    if versions := result.get("versions"):
        facts.append(("Versions", ", ".join(f"{name} {v}" for name, v in versions.items())))
    return facts
