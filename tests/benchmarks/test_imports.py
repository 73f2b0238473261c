"""What benchmarks and examples import of the package is there."""

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(path for name in ("benchmarks", "examples") for path in (ROOT / name).rglob("*.py"))


def imported(path: Path) -> Iterator[tuple[str, str]]:
    """The names that a file imports from modules of the package, with these modules."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "tas":
            yield from ((node.module or "", each.name) for each in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_is_imported_is_there(path: Path) -> None:
    for module, name in imported(path):
        known = hasattr(import_module(module), name)
        assert known or import_module(f"{module}.{name}"), f"{module} has no {name}"


def test_all_of_them_are_looked_at() -> None:
    assert {"imagenet_cost", "score", "your_own_model"} <= {path.stem for path in FILES}
