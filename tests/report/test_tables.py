"""The tables: what a reader of a result relies on."""

import pytest
from rich.console import Console

from tas.report import Row, duration, markdown, quantity, table

ROWS: list[Row] = [
    {"name": "unpruned", "macs": 40_813_184, "params": 272_282, "accuracy": 92.31, "seconds": 5400},
    {"name": "equal widths", "macs": 22_300_000, "params": 150_000, "accuracy": None},
    {
        "name": "searched",
        "macs": 22_444_472,
        "params": 228_130,
        "accuracy": 90.604,
        "spread": 0.123,
        "runs": 3,
        "seconds": 7800,
    },
]


def cells(text: str) -> list[list[str]]:
    """Header and body of a Markdown table."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    assert all(set(cell) <= set("-:") for cell in lines[1])
    return [lines[0], *lines[2:]]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1_210_757_120, "1.21 G"),
        (999_990_000, "1.00 G"),
        (253_149_824, "253.1 M"),
        (22_444_472, "22.4 M"),
        (272_282, "0.27 M"),
        (99_999, "100.0 k"),
        (4_210, "4.21 k"),
        (940, "940"),
    ],
)
def test_a_count_is_written_with_its_unit(value: float, text: str) -> None:
    assert quantity(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (8.42, "8.4 s"),
        (59.97, "1 min 00 s"),
        (245, "4 min 05 s"),
        (3599.6, "1 h 00 min"),
        (7620, "2 h 07 min"),
    ],
)
def test_a_time_never_shows_sixty_of_anything(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_percentages_are_of_the_first_row() -> None:
    header, *body = cells(markdown(ROWS))
    share = header.index("MACs (%)")
    assert [line[share] for line in body] == ["100.0", "54.6", "55.0"]


def test_what_was_not_measured_is_a_dash_and_a_spread_stands_with_its_runs() -> None:
    header, _, equal, searched = cells(markdown(ROWS))
    assert equal[header.index("accuracy (%)")] == equal[header.index("time")] == "-"
    assert searched[header.index("accuracy (%)")] == "90.60 ± 0.12"
    assert searched[header.index("runs")] == "3"


def test_a_column_that_nobody_measured_is_left_out() -> None:
    rows: list[Row] = [{"name": r["name"], "macs": r["macs"], "params": r["params"]} for r in ROWS]
    assert cells(markdown(rows))[0] == ["net", "MACs", "MACs (%)", "params"]


def test_a_terminal_of_80_columns_shows_every_name_whole() -> None:
    console = Console(width=80)
    with console.capture() as shown:
        console.print(table(ROWS))
    lines = shown.get().splitlines()
    assert all(any(row["name"] in line for line in lines) for row in ROWS)
    assert all(len(line) <= 80 for line in lines)


def test_a_name_is_data_and_no_markup() -> None:
    rows: list[Row] = [{"name": "runs/[red]a|b[/red]", "macs": 1e6, "params": 1e6}]
    with (console := Console(width=120)).capture() as shown:
        console.print(table(rows))
    assert "[red]a|b[/red]" in shown.get()
    assert r"a\|b" in markdown(rows)
