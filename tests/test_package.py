"""The package as a whole: what it exports, and what importing it costs."""

import importlib
import pkgutil
import re
import subprocess
import sys
from types import ModuleType

import pytest

import tas

PACKAGES = ["tas", *(m.name for m in pkgutil.walk_packages(tas.__path__, "tas.") if m.ispkg)]


def order(name: str) -> tuple[int, list[tuple[bool, int, str]]]:
    """CONSTANTS, then Classes, then functions; each by name, and conv2 before conv10."""
    kind = 0 if name.isupper() else 1 if name[0].isupper() else 2
    parts = re.split(r"(\d+)", name)
    return kind, [(p.isdigit(), int(p) if p.isdigit() else 0, p) for p in parts]


def own(package: ModuleType) -> set[str]:
    """The public names that a package makes, as against those that it uses: imports and rooms."""

    def made(name: str) -> bool:
        value = getattr(package, name)
        origin = getattr(value, "__module__", package.__name__)  # a constant has none
        inside = f"{origin}.".startswith(f"{package.__name__}.")
        return inside and not isinstance(value, ModuleType)

    names = (name for name in dir(package) if not name.startswith("_"))
    return {name for name in names if name != "TYPE_CHECKING" and made(name)}


@pytest.mark.parametrize("name", PACKAGES)
def test_all_is_what_a_package_exports(name: str) -> None:
    package = importlib.import_module(name)
    listed = list(getattr(package, "__all__", []))
    assert [each for each in listed if not hasattr(package, each)] == []
    assert own(package) - set(listed) == set()
    assert listed == sorted(set(listed), key=order)


def test_there_is_something_to_look_at() -> None:
    assert {"tas", "tas.nets", "tas.report"} <= set(PACKAGES)
    report = importlib.import_module("tas.report")
    assert own(report) == set(report.__all__)
    assert own(importlib.import_module("tas.models.loading")) == {"load"}


def test_importing_the_package_does_not_import_torch() -> None:
    program = "import sys, tas; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
