"""A module imports from its own floor and lower ones only.

The floors are written down once, here. The check reads the source and imports nothing; what stands
under ``if TYPE_CHECKING`` counts as well, because a type that a module needs is a thing it knows.
"""

import ast
from pathlib import Path

import pytest

import tas.errors

PACKAGE = Path(tas.errors.__file__).parent

FLOORS = (
    ("errors", "hints", "lazy", "version", "whole"),
    ("sums",),
    ("reading", "typed"),
    ("checks", "forward", "options", "processes", "seeds", "sides"),
    ("shape", "usable"),
    ("model_options", "records", "space", "weights"),
    ("costs",),
    ("graph", "report", "runs"),  # rooms of one floor do not import one another
    ("nets",),
    ("data", "spaces"),
    ("exports", "inherit", "models"),
    ("timing", "training"),
    ("methods",),
    ("recipes",),
    ("api",),
    ("cli",),
    ("__main__",),
    ("__init__",),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def imported(source: str, module: str, *, is_package: bool) -> set[str]:
    """The modules of this package that the source of ``module`` imports, with their full names."""
    # What a relative import starts from: the package that the module is in, or is.
    package = module.split(".") if is_package else module.split(".")[:-1]
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*start, *([node.module] if node.module else [])])
            # `from tas import x` is room x, if there is one, or a name of the package itself.
            names |= {f"tas.{a.name}" for a in node.names} if origin == "tas" else {origin}
    return {name for name in names if name.split(".")[0] == "tas"}


def room_of(module: str) -> str:
    """The room of a module: ``nets`` of ``tas.nets.resnet``; the package itself is ``__init__``."""
    return [*module.split("."), "__init__"][1]


def violations(module: str, source: str, *, is_package: bool = False) -> list[str]:
    """What is wrong with the imports of a module, in words."""
    room = room_of(module)
    if room not in FLOOR:
        return [f"{module} is on no floor: give '{room}' one in tests/test_floors.py"]
    found = []
    for name in sorted(imported(source, module, is_package=is_package)):
        other = room_of(name)
        if other not in FLOOR:  # a name that tas/__init__.py exports
            other = "__init__"
        if FLOOR[other] > FLOOR[room]:
            found.append(f"{module} (floor {FLOOR[room]}) imports {name} (floor {FLOOR[other]})")
        elif FLOOR[other] == FLOOR[room] and other != room:
            found.append(f"{module} imports {name}: rooms of one floor stand alone")
    return found


def modules() -> dict[str, Path]:
    """The files of the package, by the names of their modules."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = ["tas", *path.relative_to(PACKAGE).with_suffix("").parts]
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


@pytest.mark.parametrize("module", modules())
def test_imports_go_down(module: str) -> None:
    path = modules()[module]
    source = path.read_text(encoding="utf-8")
    assert violations(module, source, is_package=path.stem == "__init__") == []


def test_every_module_is_looked_at() -> None:
    assert {"tas", "tas.errors", "tas.nets", "tas.nets.resnet", "tas.report"} <= set(modules())


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("tas.shape", "from tas.training import fit"),
        ("tas.shape", "from .training.loop import fit"),
        ("tas.shape", "import tas.cli.main"),
        ("tas.shape", "from . import space"),
        ("tas.shape", "from tas import space"),
        ("tas.nets.resnet", "from .. import methods"),
        ("tas.nets.resnet", "from ..methods.paper import Supernet"),
        ("tas.shape", "def late():\n    from .recipes import quick"),
        ("tas.shape", "if TYPE_CHECKING:\n    from .space import Space"),
        ("tas.data.folder", "from ..training.loop import fit"),
        ("tas.data.folder", "from ..spaces import trace"),
        ("tas.report.page", "from tas.data import Data"),
        ("tas.report.page", "import tas.graph"),
        ("tas.api", "from tas import __version__"),
        ("tas.api", "import tas"),
        ("tas.attic", ""),
    ],
)
def test_the_check_finds_what_is_forbidden(module: str, source: str) -> None:
    assert len(violations(module, source)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("tas.api", "import torch, tasks\nfrom .training import fit\nfrom tas.report import html"),
        ("tas.shape", "from . import errors\nfrom .lazy import lazy"),
        ("tas.data.folder", "from .parts import Images\nfrom ..errors import DataError"),
        ("tas.cli.main", "from .. import api\nfrom ..version import __version__"),
        ("tas.report.page", "'from tas.training import fit'  # a string imports nothing"),
    ],
)
def test_the_check_allows_what_is_allowed(module: str, source: str) -> None:
    assert violations(module, source) == []


def test_a_relative_import_starts_from_the_package_that_a_file_is_in_or_is() -> None:
    source = "from . import methods"  # of the room itself, and of the one that has this name
    assert violations("tas.nets", source, is_package=True) == []
    assert len(violations("tas.nets", source)) == 1


LONGEST_FUNCTION, LONGEST_MODULE = 60, 400  # lines, docstrings of functions not counted
TABLES = {"tas.options"}  # modules that are one table


@pytest.mark.parametrize("module", modules())
def test_no_function_and_no_module_is_long(module: str) -> None:
    source = modules()[module].read_text(encoding="utf-8")
    assert module in TABLES or len(source.splitlines()) <= LONGEST_MODULE
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            doc = node.body[0]
            if ast.get_docstring(node) is not None:
                lines -= (doc.end_lineno or 0) - doc.lineno + 1
            assert lines <= LONGEST_FUNCTION, f"{node.name} has {lines} lines"
