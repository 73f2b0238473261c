"""The model card: what a reader must know of a model, as Markdown with Hugging Face front matter.

Names and texts that users gave are escaped: they show as they are and mark nothing up.
"""

import re
import string
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from ..errors import shown
from ..report import markdown, quantity
from ..runs import ModelConfig
from ..shape import Shape

__all__ = ["card"]

MARKUP = "".join(sorted(set(string.punctuation) - set(",.-%'\"/;?")))
NAMED = ("cifar10", "cifar100", "fashion-mnist", "imagenet")  # data sets that others know, too


def card(config: ModelConfig) -> str:
    """The ``README.md`` of a model folder.

    Args:
        config: with the shape of a net whose cost is counted.
    """
    assert config.shape is not None
    shape, facts = config.shape, config.provenance
    if config.transform is None:
        return "\n".join(part for part in _of_any_net(shape, facts) if part)
    parts = [
        _front_matter(shape, facts),
        f"# {escaped(shape.net)}, {_smaller(facts)}\n",
        _summary(config),
        _table(shape, facts),
        f"## How to use it\n\n{_usage(shape.net)}",
        _pictures(config),
        _origin(facts),
    ]
    return "\n".join(part for part in parts if part)


def _of_any_net(shape: Shape, facts: Mapping[str, Any]) -> list[str]:
    """The parts of the card of a net whose owner prepares its inputs."""
    front: dict[str, Any] = {"library_name": "torch-tas"}
    front["tags"] = ["torch-tas", "pruning", "safetensors"]
    cost = f"{quantity(shape.params or 0)} parameters"
    if shape.macs:
        cost = f"{quantity(shape.macs)} multiply-adds for one example, {cost}"
    load = 'net = tas.load(".", make=make_net)  # the folder of this file; make_net: what makes the'
    return [
        f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---\n",
        f"# {escaped(shape.net)}, made smaller\n",
        f"{cost[0].upper()}{cost[1:]}.\n",
        f"## How to use it\n\n{fenced('pip install torch-tas', 'bash')}",
        fenced(f"import tas\n\n{load} unpruned net", "python"),
        _origin(facts),
    ]


def escaped(text: Any) -> str:
    """A text in one line that Markdown and HTML read as nothing but letters.

    >>> from tas.models.cards import escaped
    >>> escaped("a|b <b> [x](y)")
    'a\\\\|b \\\\<b\\\\> \\\\[x\\\\]\\\\(y\\\\)'
    """
    plain = re.sub(f"([{re.escape(MARKUP)}])", r"\\\1", shown(str(text)))
    # At the start of a line these make a list.
    plain = re.sub(r"^(\d*)([-.])(?=\s|-|$)", r"\1\\\2", plain)
    return re.sub(r"(www)\.", r"\1\\.", plain, flags=re.IGNORECASE)


def fenced(code: str, language: str) -> str:
    """A code block; its fence is longer than any that the code holds."""
    longest = max((len(ticks) for ticks in re.findall("`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{code.rstrip()}\n{fence}\n"


def _front_matter(shape: Shape, facts: Mapping[str, Any]) -> str:
    """What the hub reads: YAML between two lines of ``---``."""
    content: dict[str, Any] = {
        "library_name": "torch-tas",
        "pipeline_tag": "image-classification",
        "tags": ["torch-tas", "image-classification", "pruning", "safetensors"],
    }
    data, accuracy = facts.get("data"), facts.get("accuracy")
    if data in NAMED:
        content["datasets"] = [data]
    if isinstance(accuracy, int | float):
        result = {
            "task": {"type": "image-classification"},
            "dataset": {"name": str(data or "not said"), "type": str(data or "not said")},
            "metrics": [{"type": "accuracy", "value": round(accuracy / 100, 6)}],
        }
        content["model-index"] = [{"name": f"{shape.net}, {_smaller(facts)}", "results": [result]}]
    return f"---\n{yaml.safe_dump(content, sort_keys=False, allow_unicode=True)}---\n"


def _smaller(facts: Mapping[str, Any]) -> str:
    return "made smaller" if facts.get("unpruned") else "trained"


def _summary(config: ModelConfig) -> str:
    """Cost, and the accuracy with all that it depends on."""
    shape, facts = config.shape, config.provenance
    assert shape is not None
    assert config.classes is not None
    lines = [
        f"An image classifier of {len(config.classes)} classes: {quantity(shape.macs or 0)} "
        f"multiply-adds for one picture, {quantity(shape.params or 0)} parameters."
    ]
    accuracy, agreement = facts.get("accuracy"), facts.get("agreement")
    data = escaped(facts["data"]) if facts.get("data") else ""
    share = accuracy if isinstance(accuracy, int | float) else agreement
    if isinstance(share, int | float):
        count = facts.get("test_pictures")
        pictures = f"{count:,} test pictures" if isinstance(count, int) else "test pictures"
        of = f" of {data}" if data else ""
        seed = f", seed {escaped(facts['seed'])}" if "seed" in facts else ""
        epochs = facts.get("epochs")
        last = (
            f", after the last of {epochs} epochs; nothing was chosen by it"
            if isinstance(epochs, int)
            else ""
        )
        what = "Accuracy" if share is accuracy else "Answers as the unpruned net does"
        lines.append(f"{what}: **{share:.2f} %** of the {pictures}{of}{seed}{last}.")
    else:
        made = f" Its weights were learnt on {data}." if data else ""
        lines.append(f"Its accuracy was not measured.{made}")
    return "\n\n".join(lines) + "\n"


def _table(shape: Shape, facts: Mapping[str, Any]) -> str:
    """The net below the unpruned one, where it is a smaller one."""
    unpruned = facts.get("unpruned")
    if not isinstance(unpruned, dict) or not {"macs", "params"} <= unpruned.keys():
        return ""
    if shape.macs is None or shape.params is None:
        return ""
    shares = {share: facts.get(share) for share in ("accuracy", "agreement")}
    own = {"macs": shape.macs, "params": shape.params, **shares}
    rows: list[Any] = [{"name": "unpruned", **unpruned}, {"name": "this net", **own}]
    return markdown(rows)


def _usage(net: str) -> str:
    """Code that works where this card lies."""
    module, _, function = net.partition(":")
    load = 'tas.load(".")  # the folder of this file'
    first, lines = "import tas", []
    if module not in ("timm", "torchvision") and (function or "." in module):
        named = function.isidentifier() and all(p.isidentifier() for p in module.split("."))
        make = function if named else "make_net"
        lines = [f"from {module} import {make}  # makes the unpruned net"] if named else []
        load = f'tas.load(".", make={make})  # the folder of this file'
        if not named:
            lines = ["# make_net: a function of yours that returns the unpruned net"]
    code = "\n".join(
        [
            first,
            *lines,
            "",
            f"net = {load}",
            'for guess in tas.predict(net, "picture.png"):',
            "    print(guess.picture, guess.label, guess.probability)",
        ]
    )
    install = fenced("pip install torch-tas", "bash")
    more = "`net` is an ordinary module in evaluation mode; `net.transform` and `net.classes` say "
    more += "what it takes and gives. On the command line, with this folder in place of `.`:\n\n"
    return f"{install}\n{fenced(code, 'python')}\n{more}" + fenced(
        "tas predict . picture.png --top 3", "bash"
    )


def _pictures(config: ModelConfig) -> str:
    """What happens to a picture, and what the scores mean."""
    t = config.transform
    assert t is not None
    assert config.classes is not None
    shown: Sequence[str] = config.classes[:100]
    names = ", ".join(escaped(name) for name in shown)
    rest = len(config.classes) - len(shown)
    more = f", and {rest} more in `config.json`" if rest else ""

    def both(name: str) -> str:
        return escaped(" x ".join(str(side) for side in t[name]))

    return (
        "## Pictures and classes\n\n"
        f"A picture becomes {escaped(t['colour'])}, is scaled ({escaped(t['interpolation'])}) "
        f"until it covers {both('resize')} pixels, and {both('size')} are cut out of its centre. "
        f"Then (pixel / 255 - mean) / std, with the mean {escaped(list(t['mean']))} and the std "
        f"{escaped(list(t['std']))}. `tas predict`, `tas eval` and `net.transform` do so.\n\n"
        f"Classes, in the order of the scores: {names}{more}.\n"
    )


def _origin(facts: Mapping[str, Any]) -> str:
    """How the model came about, as far as it is known."""
    parts = []
    if command := facts.get("command"):
        parts.append(fenced(str(command), "bash" if str(command).startswith("tas ") else "python"))
    lines = []
    for name in ("data", "seed", "hardware"):
        if facts.get(name) is not None:
            lines.append(f"- {name}: {escaped(facts[name])}")
    versions = facts.get("versions")
    if isinstance(versions, dict):
        shown = ", ".join(f"{escaped(k)} {escaped(v)}" for k, v in versions.items())
        lines.append(f"- versions: {shown}")
    notes = facts.get("notes")
    lines += [f"- {escaped(note)}" for note in notes] if isinstance(notes, list) else []
    if lines:
        parts.append("\n".join(lines) + "\n")
    return "## Where it comes from\n\n" + "\n".join(parts) if parts else ""
