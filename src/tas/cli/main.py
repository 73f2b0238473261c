"""``tas``: reads the command line, finds the verb, and turns errors into one line and a status.

Nothing here imports torch, so that help and mistakes are answered at once; a verb's module is
imported when it runs.
"""

import inspect
import io
import re
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stdout
from dataclasses import MISSING, fields
from importlib import import_module
from typing import Any, NoReturn, get_args, get_type_hints

from jsonargparse import ArgumentParser

from .. import model_options, processes
from .. import options as verb_options
from ..cli import early, ending
from ..errors import InputError, TasError, flag, nearest, one_line, one_of, quoted
from ..reading import check_yaml, read_yaml
from ..version import __version__
from .output import heard

__all__ = ["main"]

VERBS = {
    "run": (verb_options.RunOptions, "the whole job: teacher, search, fine-tuning, report"),
    "search": (verb_options.SearchRunOptions, "search widths and depths within a budget"),
    "train": (verb_options.TrainRunOptions, "train a net or a shape, with or without a teacher"),
    "eval": (verb_options.EvalOptions, "test a trained net"),
    "predict": (model_options.PredictOptions, "tell the classes of pictures"),
    "export": (model_options.ExportOptions, "write a model for ONNX Runtime and other programs"),
    "latency": (
        model_options.LatencyOptions,
        "measure how long a net takes, or make a table of it",
    ),
    "macs": (verb_options.MacsOptions, "count multiply-adds and parameters"),
    "doctor": (
        verb_options.DoctorOptions,
        "show what can be searched in a net, and which budgets are possible",
    ),
    "shapes": (verb_options.ShapesOptions, "list the published shapes, or print one"),
    "split": (verb_options.SplitOptions, "write the split of a data set for a search"),
    "report": (verb_options.ReportOptions, "draw the report of a run again, or compare runs"),
}
EXAMPLES = {
    "": ["tas run", "tas run --data PATH --budget 0.5", "tas macs C010-ResNet56"],
    "run": [
        "tas run                                 # digits, on the CPU, in a minute or two",
        "tas run --data PATH --net resnet20 --budget 0.5 --out runs/mine",
        "tas run --data cifar10 --net resnet56 --preset cifar --budget 0.47",
        "tas run --data PATH --teacher teacher.safetensors --budget 20M",
        "tas run --data PATH --net resnet20 --budget 0.3,0.5,0.7   # a net for each",
        "tas run --data PATH --net torchvision:mobilenet_v2 --budget 0.5",
        "tas run --data PATH --net my_package.my_module:make_model --weights mine.safetensors",
        "tas run --data PATH --net torchvision:mobilenet_v2 --budget 8ms --max-params 2M",
        "tas run --data PATH --net timm:resnet18 --pretrained --preset finetune --budget 0.5",
        "tas run --data photos --unlabelled --teacher teacher.safetensors --budget 0.5",
        "tas run --print_config > run.yaml; tas run --config run.yaml",
    ],
    "search": [
        "tas search --data cifar10 --net resnet56 --preset cifar --budget 0.47 --seed -1",
        "tas search --data cifar10 --net resnet110 --what depth --preset cifar --budget 0.57",
        "tas search --data PATH --net resnet20 --residual tied --epochs 40 --budget 22.4M",
    ],
    "train": [
        "tas train --data cifar10 --net resnet110 --preset cifar --out runs/teacher",
        "tas train --data cifar10 --shape C010-ResNet32 --preset cifar",
        "tas train --data PATH --shape runs/found/shape.json "
        "--teacher runs/teacher/model.safetensors",
    ],
    "eval": [
        "tas eval runs/mine",
        "tas eval --shape runs/mine/shape.json --weights runs/mine/model.safetensors --data PATH",
    ],
    "predict": [
        "tas predict runs/mine photo.jpg --top 5",
        "tas predict runs/mine photos --json > answers.jsonl",
        "find photos -name '*.png' | tas predict runs/mine - | cut -f 2 | sort | uniq -c",
    ],
    "export": [
        "tas export runs/mine                               # runs/mine/model.onnx",
        "tas export runs/mine --preprocess --softmax --out mine.onnx",
        "tas export runs/mine --int8                        # runs/mine/model.int8.onnx",
        "tas export runs/mine --to torch-export --out mine.pt2 --data PATH",
    ],
    "latency": [
        "tas latency runs/mine                      # beside the unpruned net, on ONNX Runtime",
        "tas latency torchvision:mobilenet_v2 --runtime torch --threads 4",
        "tas latency mine.onnx --batch-size 8",
        "tas latency runs/mine --measure 'adb push {onnx} /data/n && adb shell bench /data/n'",
        "tas latency table --net torchvision:mobilenet_v2 --out mobilenet.jsonl",
    ],
    "macs": ["tas macs resnet56", "tas macs C010-ResNet56 --json", "tas macs runs/mine/shape.json"],
    "doctor": [
        "tas doctor --net timm:resnet50",
        "tas doctor --net my_package.my_module:make_model --classes 10 --input [3,64,64]",
    ],
    "shapes": ["tas shapes", "tas shapes C010-ResNet20 > shape.json"],
    "split": ["tas split --data cifar10", "tas split --data PATH --seed 3 --out split.json"],
    "report": ["tas report runs/mine", "tas report runs/half runs/third --out both.html"],
}


OTHERS_WAIT_SECONDS = 5.0


class Parser(ArgumentParser):
    """An argument parser whose errors are one line that says what would work."""

    given: Sequence[str] = ()  # the words of the command, for advice that depends on the verb

    def parse_path(self, cfg_path: Any, *given: Any, **how: Any) -> Any:
        try:
            read_yaml(cfg_path, "config file")  # within bounds, which the parser does not know
            return super().parse_path(cfg_path, *given, **how)
        except InputError as error:
            fail(str(error))

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        fail(self._advice(message))

    def _advice(self, message: str) -> str:
        verb = next((word for word in Parser.given if word in VERBS), None)
        help_text = f"see tas {verb} --help" if verb else "see tas --help"
        names = [f.name for f in fields(VERBS[verb][0])] if verb else []
        if found := re.match(r"unrecognized arguments: ([^\s=]+)", message):
            near = nearest(found[1], map(flag, names))
            hint = f"did you mean {near}? " if near else ""
            return f"unknown option '{found[1]}': {hint}{help_text}"
        if found := re.match(r"argument VERB: invalid choice: '(.*?)'", message):
            return one_of("verb", found[1], VERBS)
        if found := re.match(r"the following arguments are required: (\w+)\.(\w+)", message):
            text = next(
                f.metadata["help"] for f in fields(VERBS[found[1]][0]) if f.name == found[2]
            )
            return f"tas {found[1]} needs one more word: {text}"
        if found := re.search(r"Unexpected config:(.*)", message, re.DOTALL):
            held = " ".join(found[1].split())[:40]
            return f"--config holds '{held}', not options: give a YAML file, e.g. with budget: 0.5"
        if found := re.match(r'Parser key "(\w+)":', message):
            return self._bad_value(found[1], message)
        if found := re.search(r"does not accept option '(.*?)'", message):
            return f"in the config file: {one_of('option', found[1], names)}"
        return " ".join(message.split())

    def _bad_value(self, key: str, message: str) -> str:
        if key == "config":
            return " ".join(message.split()).removeprefix('Parser key "config": ')
        value = re.search(r"(?:Given value|Got value): (.*)", message)
        given = value[1] if value else ""
        action = next((a for a in self._actions if a.dest == key), None)
        name = flag(key) if action is None or action.option_strings else key
        literals = "".join(re.findall(r"Literal\[(.*?)\]", message))
        if choices := list(dict.fromkeys(re.findall(r"'([\w.-]+)'", literals))):
            near = nearest(given, choices)
            hint = f"did you mean '{near}'? " if near else ""
            return f"{name} '{given}': {hint}choose from {', '.join(choices)}"
        kinds = {"int": "a whole number", "float": "a number", "bool": "true or false"}
        if "list[" in message or "List[" in message or "'list'" in message:
            example = {"ratios": "[0.5, 1.0]", "input": "[3, 32, 32]"}.get(key, "[stem, head]")
            return f"{name} '{given}': give a list such as {example}"
        wanted = [kinds[k] for k in re.findall(r"<class '(\w+)'>", message) if k in kinds]
        return f"{name} '{given}': give {wanted[0] if wanted else 'another value'}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; exits with 0, with 2 after a mistake of the user, 130 after Ctrl-C, 141
    where nobody reads its output any more."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        first = processes.is_first()
    except InputError as error:  # the launcher's variables make no sense, so that all may speak
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    with heard(), nullcontext() if first else redirect_stdout(io.StringIO()):
        _main(given)
    processes.leave()


def _main(given: Sequence[str]) -> None:
    parser, Parser.given = _parser(), given
    if not given:
        parser.print_help()
        return
    _check_bounds(given)
    parsed = parser.parse_args(given)
    verb = parsed["verb"]
    kind = VERBS[verb][0]
    values = {f.name: parsed[verb][f.name] for f in fields(kind)}
    if empty := verb_options.empty(values):
        named = any("positional" in f.metadata for f in fields(kind) if f.name == empty)
        fail(f"{empty.upper() if named else flag(empty)}{verb_options.EMPTY}")
    for name, hint in get_type_hints(kind).items():
        if values[name] is None and type(None) not in get_args(hint):
            fail(f"{flag(name)} null: leave it out, or give a value")
    try:
        chosen = kind(**values)
        module = import_module(f".{verb}", __package__)
        early.raise_again()
        module.main(chosen)
    except TasError as error:
        fail(str(error))
    except KeyboardInterrupt:  # before a run has begun; later it says how to go on
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if message := ending.out_of_memory(error):
            fail(message)
        if isinstance(error, OSError) and error.filename and error.strerror:
            fail(f"{quoted(error.filename)} cannot be used: {error.strerror}")
        raise


def _check_bounds(given: Sequence[str]) -> None:
    """Refuse values that would take for ever to be read, or to be quoted: they are YAML."""
    before = ""
    for word in given:
        name, equals, value = word.partition("=")
        if not (equals and name.startswith("--")):
            name, value = before, word
        try:
            check_yaml(value, f"{name} {quoted(value)}".strip())
        except InputError as error:
            fail(f"{error}: give a plain value")
        before = word if word.startswith("--") else ""


def fail(message: str) -> NoReturn:
    """Say what was wrong in one line, and exit with status 2.

    Most mistakes all processes meet: the first says it, and its launcher ends the others.
    """
    if not processes.is_first():
        time.sleep(OTHERS_WAIT_SECONDS)
        message = f"process {processes.rank()}: {message}"
    print(f"error: {one_line(message)}", file=sys.stderr)
    sys.exit(2)


def _parser() -> Parser:
    parser = Parser(
        prog="tas",
        description="Give it a net and a budget of multiply-adds, parameters or milliseconds: tas "
        "searches widths, heads and depths, and returns a smaller plain net, distilled from it.",
        epilog=_examples(""),
        formatter_class=_formatter(),
        version=__version__,
    )
    verbs = parser.add_subcommands(required=True, dest="verb", metavar="VERB", title="verbs")
    for verb, (kind, summary) in VERBS.items():
        verbs.add_subcommand(verb, _verb_parser(verb, kind), help=summary)
    return parser


def _verb_parser(verb: str, kind: type) -> Parser:
    parser = Parser(
        usage=f"tas {verb} [options]",
        description=(kind.__doc__ or "").replace("\n    ", "\n"),
        epilog=_examples(verb),
        formatter_class=_formatter(),
    )
    hints = get_type_hints(kind)
    for f in fields(kind):
        if where := f.metadata.get("positional"):
            word = {"?": f"[{f.name}]", "+": f"{f.name} ..."}.get(where, f.name)
            parser.usage = str(parser.usage).replace("[options]", f"{word} [options]")
            extra: dict[str, Any] = {"nargs": where} if where in ("?", "+") else {}
            hint = get_args(hints[f.name])[0] if where == "+" else hints[f.name]
            parser.add_argument(f.name, type=hint, help=f.metadata["help"], **extra)
    if len(kind.__mro__) > 2:
        parser.add_argument(
            "--config", action="config", help="a YAML file with any of these options"
        )
    # The verb's own options first, then those it shares with others, group by group.
    for owner in (each for each in kind.__mro__ if each is not object):
        own = set(inspect.get_annotations(owner))
        summary = (owner.__doc__ or "").partition(";")[0].rstrip(".\n")
        group = parser.add_argument_group(f"tas {verb}" if owner is kind else summary)
        for f in fields(kind):
            if f.name in own and "positional" not in f.metadata:
                assert f.default is not MISSING
                word, text = flag(f.name), f.metadata["help"]
                if hints[f.name] is bool and f.default is False:
                    group.add_argument(word, action="store_true", help=text)
                else:
                    group.add_argument(word, type=hints[f.name], default=f.default, help=text)
    return parser


def _examples(verb: str) -> str:
    text = "\n".join(f"  {line}" for line in EXAMPLES[verb])
    footer = "\n\nEach verb has its own help: tas VERB --help" if not verb else ""
    return f"examples:\n{text}{footer}"


def _formatter() -> Any:
    from argparse import RawDescriptionHelpFormatter

    from jsonargparse import DefaultHelpFormatter

    class Formatter(DefaultHelpFormatter, RawDescriptionHelpFormatter):
        """Keeps the lines of the examples, and leaves out types and empty defaults."""

        def _expand_help(self, action: Any) -> str:
            text = action.help or ""
            if action.default not in (None, False, "==SUPPRESS==") and "default:" not in text:
                text += f" (default: {action.default})"
            return text.replace("%", "%%") % {} if "%" in text else text

    return Formatter
