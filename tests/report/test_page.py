"""The HTML report: one file, from whatever a run directory holds."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tas.errors import InputError
from tas.report import compare, html
from tas.shape import Shape

SHAPE = Shape(
    "tiny", 10, (3, 32, 32), "tied", {"stem": 4, "s.0.conv1": 4}, {"s": 1}, macs=6_000_000
).to_dict()
RESULT: dict[str, Any] = {
    "rows": [
        {"name": "unpruned", "macs": 1e7, "params": 1e6, "accuracy": 92.0, "seconds": 10.0},
        {"name": "searched", "macs": 6e6, "params": 7e5, "accuracy": 91.0, "seconds": 20.0},
    ],
    "budget": {"unit": "macs", "value": 6e6, "ratio": 0.6},
    "hardware": "2 CPU cores",
    "versions": {"tas": "0.1.0", "torch": "2.6.0"},
    "seed": 7,
    "notes": ["skipped <script>alert(1)</script>.jpg & one more"],
    "data": "digits",
    "net": "tiny",
    "seconds_total": 30.0,
    "full_shape": {**SHAPE, "widths": {"stem": 8, "s.0.conv1": 8}, "macs": 10_000_000},
}
LOG = '{"phase": "student", "epoch": 1, "loss": 1.5, "accuracy": 60.0}\n'


class Page(HTMLParser):
    """What a browser would see of a report."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    @property
    def figures(self) -> list[str]:
        """What the figures show; each is drawn twice, for wide windows and for phones."""
        drawn = [attributes for tag, attributes in self.tags if tag == "svg"]
        kinds = [str(attributes["class"]) for attributes in drawn]
        assert kinds == ["wide", "narrow"] * (len(kinds) // 2)
        assert all(attributes["role"] == "img" for attributes in drawn)
        return [str(attributes["aria-label"]) for attributes in drawn][::2]

    @property
    def addresses(self) -> list[str]:
        """All that a browser would fetch, or could be led to."""
        names = ("src", "href", "xlink:href", "srcset", "data", "action")
        return [str(of[name]) for _, of in self.tags for name in names if name in of]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The directory of a finished run."""
    (tmp_path / "result.json").write_text(json.dumps(RESULT))
    (tmp_path / "shape.json").write_text(json.dumps(SHAPE))
    (tmp_path / "log.jsonl").write_text(LOG)
    (tmp_path / "config.yaml").write_text("net: tiny\nepochs: 1  # <b>one</b>\n")
    return tmp_path


def test_a_report_holds_everything_and_needs_nothing(run: Path) -> None:
    path = html(run)
    assert path == run / "report.html"
    page = Page(path)
    for text in ("searched", "91.00", "2 CPU cores", "torch 2.6.0", "epochs: 1", "60 % of the"):
        assert text in page.text
    assert "Seed7" in page.text
    assert len(page.figures) == 3
    assert all(address.startswith(("data:image/png;base64,", "#")) for address in page.addresses)
    source = path.read_text(encoding="utf-8")
    assert not re.findall(r"@import|url\((?!#)", source)
    assert {*re.findall(r"https?://[^\"' ]+", source)} == {"http://www.w3.org/2000/svg"}
    assert not re.findall(r"class=\"[^\"]*\" style=\"width: \d+px", source)
    assert not {tag for tag, _ in page.tags} & {"link", "script", "iframe"}
    assert all(attributes["alt"] for tag, attributes in page.tags if tag == "img")
    assert sorted(p.name for p in (run / "figures").iterdir()) == [
        "history.png",
        "shape.png",
        "tradeoff.png",
    ]


def test_what_comes_from_users_is_text(run: Path) -> None:
    page = Page(html(run))
    assert "skipped <script>alert(1)</script>.jpg & one more" in page.text
    assert "<b>one</b>" in page.text


def test_a_report_can_be_written_again(run: Path) -> None:
    first = html(run).read_bytes()
    assert html(run).read_bytes() == first


def test_an_unfinished_run_says_so(run: Path) -> None:
    assert "not finished" not in Page(html(run)).text
    (run / "result.json").unlink()
    page = Page(html(run))
    assert "not finished" in page.text
    assert len(page.figures) == 1


def test_a_search_without_training_has_a_shape_and_no_tradeoff(run: Path) -> None:
    rows = [{**row, "accuracy": None} for row in RESULT["rows"]]
    (run / "result.json").write_text(json.dumps({"rows": rows, "full_shape": RESULT["full_shape"]}))
    page = Page(html(run))
    assert len(page.figures) == 2
    assert "accuracy (%)" not in [attributes.get("data-name") for _, attributes in page.tags]


def test_a_line_that_is_half_written_is_not_there_yet(run: Path) -> None:
    whole = html(run).read_bytes()
    (run / "log.jsonl").write_text(LOG + LOG[:20])
    assert html(run).read_bytes() == whole


def test_what_is_no_run_is_refused(run: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(InputError, match=re.escape(f"'{empty}' holds no run")):
        html(empty)
    assert not list(empty.iterdir())


def test_damaged_lines_are_left_out_and_counted(run: Path) -> None:
    (run / "log.jsonl").write_text(f"{LOG}[{{\n{LOG}")
    assert "1 line of log.jsonl cannot be read" in Page(html(run)).text


@pytest.mark.parametrize("name", ["result.json", "shape.json"])
def test_a_damaged_file_is_named(run: Path, name: str) -> None:
    (run / name).write_text('{"rows": [\n')
    with pytest.raises(InputError, match=name):
        html(run)


def test_where_nothing_can_be_written_it_says_so(run: Path) -> None:
    (run / "figures").write_text("a file in the way")
    with pytest.raises(InputError, match="cannot write the report"):
        html(run)


def test_the_letters_of_figures_are_letters_and_have_the_colours_of_the_page(run: Path) -> None:
    source = html(run).read_text(encoding="utf-8")
    figures = re.findall(r"<svg.*?</svg>", source, re.DOTALL)
    assert all("<text" in figure for figure in figures)
    assert not re.findall(r"#222222|#ffffff", "".join(figures), re.IGNORECASE)
    names = re.findall(r' id="([^"]*)"', source)
    assert len(names) == len(set(names))
    meant = {*re.findall(r'href="#([^"]*)"', source), *re.findall(r"url\(#([^)]*)\)", source)}
    assert meant <= set(names)


def test_the_letters_of_figures_are_legible_on_a_phone(run: Path) -> None:
    figures = re.findall(r"<svg.*?</svg>", html(run).read_text(encoding="utf-8"), re.DOTALL)
    for narrow in figures[1::2]:
        width = float(re.search(r'viewBox="0 0 ([\d.]+)', narrow)[1])  # type: ignore[index]
        sizes = [float(size) for size in re.findall(r"font(?:-size)?: (?:\w+ )*([\d.]+)px", narrow)]
        assert sizes
        assert min(sizes) * (390 - 30) / width > 7


def test_what_the_net_answers_is_shown(run: Path) -> None:
    png = "iVBORw0KGgo="
    card = {"class": "<cat>", "answers": [["<cat>", 0.9], ["dog", 0.1]], "png": png}
    layers = [{"name": "stem", "macs": 500_000, "unpruned": 1_000_000}]
    details = {
        "layers": layers,
        "tested": 20,
        "right": 19,
        "confused": [["<cat>", "dog", 1, 10]],
        "right_pictures": [card],
        "wrong_pictures": [{**card, "class": "dog"}],
    }
    (run / "details.json").write_text(json.dumps(details))
    page = Page(html(run))
    for text in ("<cat>", "90.0 %", "<cat> taken for dog", "1 of 10", "0.50 M of 1.00 M"):
        assert text in page.text
    (run / "details.json").write_text(json.dumps({**details, "layers": 3}))
    assert "taken for" not in Page(html(run)).text


def test_runs_are_compared(run: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    home = tmp_path_factory.mktemp("runs")
    for name, accuracy in (("half", 91.0), ("third", 88.5)):
        (home / name).mkdir()
        searched = {**RESULT["rows"][1], "accuracy": accuracy}
        result = {**RESULT, "rows": [RESULT["rows"][0], searched]}
        (home / name / "result.json").write_text(json.dumps(result))
    page = Page(compare([home / "half", home / "third"], home / "both.html"))
    for text in ("half: searched", "third: searched", "91.00", "88.50"):
        assert text in page.text
    assert len(page.figures) == 1
    assert [attributes.get("data-name") for tag, attributes in page.tags].count("accuracy (%)") == 3
    (home / "half" / "result.json").unlink()
    with pytest.raises(InputError, match="holds no finished run"):
        compare([home / "third", home / "half"], home / "both.html")
