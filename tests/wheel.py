"""What a wheel has to hold, and what not: ``python tests/wheel.py dist/*.whl``."""

import sys
from email import message_from_bytes
from pathlib import Path
from zipfile import ZipFile

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10; pytest brings it
    import tomli as tomllib  # type: ignore[no-redef]

ROOT = Path(__file__).parents[1]


def faults(path: str) -> list[str]:
    """What is wrong with a wheel, in words."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wheel = ZipFile(path)
    names = set(wheel.namelist())
    (info,) = {name.split("/")[0] for name in names if ".dist-info/" in name}
    told = message_from_bytes(wheel.read(f"{info}/METADATA"))
    source = {
        p.relative_to(ROOT / "src").as_posix()
        for p in (ROOT / "src").rglob("*")
        if p.is_file() and "__pycache__" not in p.parts
    }
    strange = sorted(n for n in names - source if not n.startswith(f"{info}/"))
    checks = {
        f"it lacks {sorted(source - names)[:3]}": source <= names,
        f"it holds {strange[:3]}, which is not in src": not strange,
        "it has no py.typed": "tas/py.typed" in names,
        "its version is another": told["Version"] == project["version"],
        "its extras are others": {*told.get_all("Provides-Extra", [])}
        == {*project["optional-dependencies"]},
        "it has no licence": any("licenses/LICENSE" in name for name in names),
        "its description is not the README": told.get_payload(decode=True)
        == (ROOT / "README.md").read_bytes(),
    }
    return [fault for fault, holds in checks.items() if not holds]


if __name__ == "__main__":
    found = [f"{path}: {fault}" for path in sys.argv[1:] for fault in faults(path)]
    sys.exit("\n".join(found) if found else None)
