"""Reports in a real browser: quiet, on their own, and within the window of a phone.

The browser is that of ``TAS_BROWSER`` (the path of a Chromium), one on PATH, or Playwright's own;
without one, or without ``pip install 'torch-tas[browser]'``, these tests are skipped.
"""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tas.report import compare, html

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
PNG = (  # of one pixel
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5Erk"
    "Jggg=="
)
LONG = "a_name_that_somebody_has_given_without_a_single_space_in_it"
LETTERS = """() => [...document.querySelectorAll('svg text')]
    .map(text => text.getBoundingClientRect().height).filter(height => height > 0)"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        found = (shutil.which(name) for name in (os.environ.get("TAS_BROWSER") or "", *NAMES))
        path = next((path for path in found if path), driver.chromium.executable_path)
        if not Path(path).exists():
            pytest.skip("there is no Chromium: set TAS_BROWSER, or run `playwright install`")
        opened = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()


def row(name: str, macs: float, **more: Any) -> dict[str, Any]:
    return {"name": name, "macs": macs, "params": macs / 100, "seconds": 4000.0, **more}


def card(name: str) -> dict[str, Any]:
    return {"class": name, "answers": [[name, 0.9], ["cat", 0.1]], "png": PNG}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that a report can hold, with names that are too long."""
    run = tmp_path_factory.mktemp("runs") / "run"
    run.mkdir()
    rows = [row("unpruned", 4e7, accuracy=92.0)]
    for ratio in (0.3, 0.5):
        for kind in ("equal widths", "searched"):
            name = f"{ratio}: {kind}, distilled"
            rows.append(row(name, ratio * 4e7, accuracy=90 + ratio, series=kind))
    times = {"torch": {each["name"]: each["macs"] / 1e7 for each in rows}}
    amounts = [{"name": str(r), "unit": "macs", "value": r * 4e7, "ratio": r} for r in (0.3, 0.5)]
    result = {"rows": rows, "budgets": amounts, "net": LONG, "data": f"/{LONG}/{LONG}", "seed": 1}
    result |= {"notes": [f"'{LONG}{LONG}' was left out"], "times": {"ms": times}}
    (run / "result.json").write_text(json.dumps(result))
    (run / "config.yaml").write_text(f"data: /{LONG}/{LONG}/{LONG}\n")
    lines = [
        {"phase": phase, "epoch": epoch, "loss": 2 / epoch, "accuracy": 50.0 + epoch}
        for phase in ("teacher", "search", "equal", "student")
        for epoch in (1, 2, 3)
    ]
    (run / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    layers = [
        {"name": f"layer{i}.{LONG}", "macs": 10**i, "unpruned": 2 * 10**i, "ms": 0.01 * i}
        for i in range(1, 8)
    ]
    details = {"layers": layers, "tested": 100, "right": 90, "confused": [[LONG, "dog", 3, 10]]}
    details |= {"right_pictures": [card(LONG)] * 8, "wrong_pictures": [card("dog")] * 8}
    (run / "details.json").write_text(json.dumps(details))
    return html(run)


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_quiet_alone_and_within_the_window(
    browser: Any, page: Path, width: int, scheme: str
) -> None:
    both = compare([page.parent, page.parent], page.parent.parent / "both.html")
    size = {"width": width, "height": 844}
    with browser.new_context(viewport=size, color_scheme=scheme) as context:
        for path in (page, both):
            tab = context.new_page()
            said: list[str] = []
            asked: list[str] = []
            tab.on("console", lambda message, said=said: said.append(message.text))
            tab.on("pageerror", lambda error, said=said: said.append(str(error)))
            tab.on("request", lambda request, asked=asked: asked.append(request.url))
            tab.goto(path.as_uri())
            assert said == []
            assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]
            wide = "document.documentElement.scrollWidth"
            assert tab.evaluate(wide) <= width
            letters = tab.evaluate(LETTERS)
            assert letters
            assert min(letters) >= 8  # pixels
            ground = tab.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
            tab.emulate_media(media="print")
            ground = tab.evaluate("getComputedStyle(document.body).backgroundColor")
            assert ground == "rgb(255, 255, 255)"
