"""Models go to the hub and come back as data alone; the hub here is a folder."""

import shutil
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

import tas
from helpers import images
from pictures_on_disk import digit
from tas import nets
from tas.cli.main import main
from tas.data import Transform
from tas.errors import InputError
from tas.models.hub import is_hub_name

hub = pytest.importorskip("huggingface_hub")
pytest.importorskip("huggingface_hub.errors")

DIGITS = tuple(map(str, range(10)))
TRANSFORM = Transform.of_size("grey", (8, 8), (0.3,), (0.4,))


class FakeHub:
    """Repositories as folders below a home; has what we use of ``HfApi``."""

    home = Path()
    made: ClassVar[list[dict[str, Any]]] = []

    def __init__(self, **how: Any) -> None: ...

    def create_repo(self, name: str, **how: Any) -> str:
        self.made.append(how)
        (self.home / name).mkdir(parents=True, exist_ok=how["exist_ok"])
        return f"https://hub/{name}"

    def upload_folder(self, *, repo_id: str, folder_path: Path, **how: Any) -> None:
        shutil.copytree(folder_path, self.home / repo_id, dirs_exist_ok=True)


def fetch(repo: str, *, revision: str | None, allow_patterns: list[str], **how: Any) -> str:
    """``snapshot_download`` of the fake hub."""
    there = FakeHub.home / repo
    if not there.is_dir():
        raise not_found()
    into = FakeHub.home.parent / "cache" / repo / (revision or "main")
    into.mkdir(parents=True, exist_ok=True)
    for path in there.iterdir():
        if any(fnmatch(path.name, p) for p in allow_patterns):
            shutil.copy(path, into / path.name)
    return str(into)


def not_found() -> Exception:
    error = hub.errors.RepositoryNotFoundError.__new__(hub.errors.RepositoryNotFoundError)
    return error  # type: ignore[no-any-return]  # its constructor wants an answer of a server


@pytest.fixture(autouse=True)
def _fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeHub, "home", tmp_path / "hub")
    monkeypatch.setattr(FakeHub, "made", [])
    monkeypatch.setattr(hub, "HfApi", FakeHub)
    monkeypatch.setattr(hub, "snapshot_download", fetch)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    net = nets.build("resnet20", 10, (1, 8, 8)).eval()
    facts = {"data": "digits", "accuracy": 98.5}
    return tas.save(net, tmp_path / "mine", transform=TRANSFORM, classes=DIGITS, provenance=facts)


def test_a_folder_goes_up_and_comes_back_as_it_was(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for other in ("log.jsonl", "teacher.safetensors", "report.html"):
        (model / other).write_text("not to be sent")
    assert tas.push_to_hub(model, "someone/small", private=True) == "https://hub/someone/small"
    sent = FakeHub.home / "someone" / "small"
    names = sorted(path.name for path in sent.iterdir())
    assert names == ["README.md", "SHA256SUMS", "config.json", "model.safetensors", "shape.json"]
    assert FakeHub.made == [{"private": True, "exist_ok": True}]
    assert "accuracy" in (sent / "README.md").read_text()
    (sent / "evil.py").write_text("raise SystemExit")
    net = tas.load("someone/small")
    x = images(2, 1, 8, 8)
    torch.testing.assert_close(net(x), tas.load(model)(x), rtol=0, atol=0)
    assert (net.transform, net.classes) == (TRANSFORM, DIGITS)
    fetched = tmp_path / "cache" / "someone" / "small" / "main"
    names = sorted(path.name for path in fetched.iterdir())
    assert names == ["SHA256SUMS", "config.json", "model.safetensors"]
    digit(3).save("three.png")
    main(["predict", "someone/small", "three.png"])
    assert capsys.readouterr().out.startswith("three.png\t")


def test_what_is_exported_from_the_hub_lies_here(model: Path, tmp_path: Path) -> None:
    tas.push_to_hub(model, "someone/small")
    done = tas.export("someone/small@v1", to="torch-export")
    assert done.path.resolve() == tmp_path / "model.pt2"
    assert not list((tmp_path / "cache").rglob("*.pt2"))


def test_a_net_goes_up(tmp_path: Path) -> None:
    net = nets.build("resnet20", 10, (1, 8, 8))
    with pytest.raises(InputError, match="give the transform"):
        tas.push_to_hub(net, "someone/net")
    tas.push_to_hub(net, "someone/net", transform=TRANSFORM, classes=DIGITS)
    assert tas.load("someone/net").classes == DIGITS
    assert FakeHub.made == [{"private": None, "exist_ok": True}]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (not_found(), "'a/b' is no folder here, and no model .* that you may see"),
        (
            hub.errors.LocalEntryNotFoundError("x"),
            "was not fetched before, and the Hugging Face Hub cannot be reached",
        ),
        (ConnectionError("no route\nto host"), r"'a/b' cannot be fetched .*: no route$"),
        (OSError(28, "No space left on device"), "No space left on device"),
    ],
)
def test_what_fails_is_one_line(
    error: Exception, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*given: Any, **how: Any) -> str:
        raise error

    monkeypatch.setattr(hub, "snapshot_download", fails)
    with pytest.raises(InputError, match=message) as caught:
        tas.load("a/b")
    assert "\n" not in str(caught.value)


def test_other_repositories_are_refused(tmp_path: Path) -> None:
    (FakeHub.home / "a" / "b").mkdir(parents=True)
    with pytest.raises(InputError, match=r"'a/b' .* is no model of torch-tas: it has no config"):
        tas.load("a/b")
    with pytest.raises(InputError, match=r"'\.\./b' is no name on the Hugging Face Hub"):
        tas.push_to_hub(tmp_path, "../b")
    with pytest.raises(InputError, match=r"holds no|is no model folder"):
        tas.push_to_hub(tmp_path, "a/b")


def test_without_the_package_its_install_is_named(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"no 'a/b' here.* pip install 'torch-tas\[hub\]'"):
        tas.load("a/b")
    with pytest.raises(InputError, match=r"pip install 'torch-tas\[hub\]'"):
        tas.push_to_hub(model, "a/b")


def test_a_path_is_never_looked_for_on_the_hub(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    for name in ("runs/gone", "mine", "./a", "a/b/c", "a/model.onnx", "/a/b", "~/a", "a/", "../b"):
        assert not is_hub_name(name)
    assert not is_hub_name(Path("a/b"))
    for name in ("a/b", "some-one/net.v2", "a/b@main", "a/b@refs/pr/1"):
        assert is_hub_name(name)
    with pytest.raises(InputError, match="'runs/gone' does not exist"):
        tas.load("runs/gone")
