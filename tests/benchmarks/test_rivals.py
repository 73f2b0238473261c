"""The bench beside Torch-Pruning: its table, how it goes on, its bisection and its page."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bisection
import contenders
import hours
import page
import plan
import pytest
import rows
import run
from bench import Bench
from cells import cells
from contenders import METHODS, Method
from plan import Item
from training_runs import Teacher
from zoo import NETS

import tas

ROW = rows.Row(
    *("resnet20", "digits", 1438, 0.5, "ours", 0, "untrained"),
    accuracy=97.5,
    teacher_accuracy=99.5,
    macs_ratio=0.499,
    params_ratio=0.4,
    loss=0.1,
    search_seconds=120.0,
    teacher_seconds=400.0,
    trials=300,
)


def table(path: Path, *of: rows.Row) -> rows.Rows:
    made = rows.Rows(path)
    for row in of:
        made.add(row)
    return made


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    failed = replace(ROW, method="tp-shape", accuracy=None, error='ValueError: "a", b\nc')
    table(tmp_path / "rows.csv", ROW, failed)
    found = list(rows.Rows(tmp_path / "rows.csv"))
    assert found == [ROW, replace(failed, error='ValueError: "a", b c')]


def test_a_line_that_was_cut_short_is_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    table(path, ROW, replace(ROW, seed=1))
    path.write_text(path.read_text()[:-30])
    again = rows.Rows(path)
    assert [row.seed for row in again] == [0]
    again.add(replace(ROW, seed=1))
    assert [row.seed for row in rows.Rows(path)] == [0, 1]


def test_errors_are_forgotten_when_asked(tmp_path: Path) -> None:
    known = table(tmp_path / "rows.csv", ROW, replace(ROW, seed=1, error="no"))
    assert known.forget_errors() == 1
    assert list(rows.Rows(tmp_path / "rows.csv")) == [ROW]


def bench(tmp_path: Path, *given: str) -> Bench:
    """Without pictures: what is planned needs none."""
    made = object.__new__(Bench)
    made.options = run.parsed(["--data", "digits", "--work", str(tmp_path), *given])
    made.rows = rows.Rows(tmp_path / "rows.csv")
    made.data = SimpleNamespace(name="digits", train=range(1438))  # type: ignore[assignment]
    return made


def test_a_plan_goes_on_where_it_stopped(tmp_path: Path) -> None:
    given = ("--nets", "resnet20", "--stage", "untrained", "--budgets", "0.5")
    before = bench(tmp_path, *given)
    items = list(plan.planned(before.options))
    assert not any(before.done(item) for item in items)
    methods = [(item.method, item.seed) for item in items]
    assert methods.count(("ours", 2)) == 1
    assert ("tp-magnitude-global", 1) not in methods  # it draws nothing
    before.rows.add(ROW)
    after = bench(tmp_path, *given)
    assert [item for item in items if after.done(item)] == [
        Item("untrained", "resnet20", 0.5, "ours", 0)
    ]
    shorter = bench(tmp_path, *given, "--trials", "120")
    assert not any(shorter.done(item) for item in items)  # a search of another length


def test_of_torch_pruning_the_settings_of_the_least_loss_are_tuned(tmp_path: Path) -> None:
    from contenders import RIVALS

    made = bench(tmp_path, "--nets", "resnet20", "--stage", "tuned", "--budgets", "0.5")
    for number, name in enumerate(RIVALS):
        made.rows.add(replace(ROW, method=name, loss=float(number), trials=None))
    todo = {item.method for item in plan.planned(made.options) if not made.done(item)}
    assert todo == {*list(RIVALS)[: plan.TUNED], "equal", "random", "tp-shape", "ours"}


def test_what_was_planned_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With nets that nobody trains, and a rival that fails."""
    net = tas.nets.build("resnet20", 10, (1, 8, 8))
    small = tas.nets.build("C010-ResNet20", 10, (1, 8, 8))
    rates: list[float] = []

    def tuned(model: Any, teacher: Any, name: str, data: Any, lr: float, *more: Any) -> Any:
        rates.append(lr)
        return 90.0 + lr, 1.0

    def fails(task: Any) -> Any:
        raise ZeroDivisionError("no channel is left")

    fakes = {
        "teacher_of": lambda *_: Teacher(net, 95.0, 10.0),
        "teacher_file": lambda *_: Path(__file__),
        "seconds_per_picture": lambda *_: 0.001,
        "untrained": lambda *_: (80.0, 0.1),
        "tuned": tuned,
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(f"bench.{name}", fake)
    monkeypatch.setitem(METHODS, "equal", Method("equal", lambda task: small, draws=False))
    monkeypatch.setitem(METHODS, "random", Method("random", fails))
    given = ["--data", "digits", "--work", str(tmp_path), "--table", str(tmp_path / "rows.csv")]
    given += ["--nets", "resnet20", "--budgets", "0.5", "--methods", "equal", "random"]
    options = run.parsed([*given, "--seeds", "0", "1"])
    run.run(Bench(options), options)
    table = list(rows.Rows(tmp_path / "rows.csv"))
    kinds = [(row.stage, row.method, row.seed) for row in table if row.stage != "rate"]
    assert len(kinds) == len(set(kinds)) == 8
    tried = NETS["resnet20"].rates
    assert [row.lr for row in table if row.stage == "rate"] == list(tried)
    assert rates == [*tried, max(tried), max(tried)]  # both seeds by the best rate
    errors = {row.error for row in table if row.method == "random"}
    assert errors == {"ZeroDivisionError: no channel is left"}
    again = Bench(options)
    assert all(again.done(item) for item in plan.planned(options))


def test_a_net_that_no_rival_cuts_is_measured_without_them(tmp_path: Path) -> None:
    made = bench(tmp_path, "--nets", "resnet20", "--budgets", "0.5", "--seeds", "0")
    for method in contenders.RIVALS:
        failed = replace(ROW, method=method, accuracy=None, loss=None, error="IndexError: -1")
        made.rows.add(failed)
    assert made.best_rivals("resnet20", 0.5) == []
    items = [item for item in plan.planned(made.options) if item.stage == "tuned"]
    left = {item.method for item in items if not made.done(item)}
    assert left == set(METHODS) - set(contenders.RIVALS)


@pytest.mark.parametrize("limit", [120, 500, 777, 999])
def test_bisection_ends_at_most_a_hundredth_below(limit: int) -> None:
    def cut(ratio: float) -> tuple[int, str]:
        return round(1000 * (1 - ratio) ** 2), f"{ratio:.4f}"

    cost, _ = bisection.within(cut, limit)
    assert 0.99 * limit <= cost <= limit


def test_bisection_takes_the_dearest_of_coarse_steps() -> None:
    asked = []

    def cut(ratio: float) -> tuple[int, float]:
        asked.append(ratio)
        return 1000 - 300 * round(3 * ratio), ratio

    assert bisection.within(cut, 650)[0] == 400
    assert len(asked) == bisection.MOST


def test_bisection_goes_round_ratios_that_fail() -> None:
    def cut(ratio: float) -> tuple[int, float]:
        if ratio > 0.4:
            raise ZeroDivisionError("no channel is left")
        return round(1000 * (1 - ratio)), ratio

    assert bisection.within(cut, 700)[0] in range(693, 701)
    with pytest.raises(ZeroDivisionError):
        bisection.within(cut, 400)


def test_bisection_says_that_nothing_is_so_small() -> None:
    with pytest.raises(ValueError, match="the smallest net costs 800, more than 500"):
        bisection.within(lambda ratio: (800, None), 500)


def test_the_page_tells_what_was_won_and_lost() -> None:
    beside = {"equal": 95.0, "random": 92.0, "tp-magnitude-local": 80.0, "tp-taylor-global": 94.0}
    some = [ROW, *(replace(ROW, method=m, accuracy=a, trials=None) for m, a in beside.items())]
    some.append(replace(ROW, method="tp-shape", accuracy=None, error="ValueError: no"))
    some.append(
        replace(ROW, method="", stage="steps", budget=1.0, teacher_seconds=360.0, epochs=12)
    )
    (cell,) = cells(some, "untrained")
    assert cell.best_rival == "tp-taylor-global"
    assert cell.ours_is_best
    assert cell.kept == pytest.approx(1 - 2 / 5.5)
    text = page.written(some)
    assert "1 of 1 (100 %)" in text
    assert "| resnet20 | digits, 1,438 | 0.5 | 99.50 | **97.50** | 95.00 | 92.00 |" in text
    assert "| resnet20 | tp-shape | 0.5 | ValueError: no |" in text
    assert "| resnet20 | digits, 1,438 | 0.5 | 400 | 120 | 30 % | 300 |" in text
    assert "1. One teacher for each net" in text


def test_a_loss_is_told_as_well() -> None:
    lost = [replace(ROW, seed=seed, stage="tuned", accuracy=90 + seed) for seed in range(3)]
    won = [replace(row, method="tp-taylor-global", accuracy=94 + row.seed) for row in lost]
    (cell,) = cells([*lost, *won], "tuned")
    assert not cell.ours_is_best
    assert cell.error("ours") == pytest.approx(1 / 3**0.5)
    assert "-4.00 points" in page.written([*lost, *won])


def test_the_readme_says_what_the_table_says() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    known = list(rows.Rows(rows.TABLE))
    cut, tuned = (
        [cell for cell in cells(known, stage) if cell.has("ours")]
        for stage in ("untrained", "tuned")
    )
    best = sum(cell.accuracy("ours") == max(map(cell.accuracy, cell.rows)) for cell in cut)
    assert all(cell.ours_is_best for cell in cut)  # or within noise of it
    assert (
        f"best in {best} of {len(cut)} cases, and within noise of the best in the other." in readme
    )
    wins = sum(cell.ours_is_best for cell in tuned)
    assert f"best or within noise in {wins} of {len(tuned)}:" in readme
    beside = [
        [(cell.accuracy("ours"), cell.accuracy(other)) for cell in tuned if (other := to(cell))]
        for to in (lambda cell: cell.best_rival, lambda cell: "equal")
    ]
    rival, equal = (sum(ours - other for ours, other in of) / len(of) for of in beside)
    told = f"by {rival:.2f} points on average over Torch-Pruning's best setting and {equal:.2f}"
    assert told in readme


def test_more_pictures_have_fewer_epochs_and_the_page_says_so() -> None:
    many = [replace(ROW, pictures=pictures) for pictures in (10_000, 50_000)]
    lines = [line for line in page.written(many).splitlines() if "SGD" in line]
    assert ["16, 0.1, SGD" in line for line in lines] == [True, False]
    assert "| 7, 0.1, SGD |" in lines[1]


def test_each_data_set_and_budget_is_told_apart() -> None:
    many = [
        replace(ROW, data=data, budget=budget, stage="tuned", method=method, accuracy=accuracy)
        for data, budget, accuracies in (
            ("cifar10-jpeg", 0.5, {"ours": 72.0, "equal": 72.4}),
            ("cifar10-jpeg", 0.3, {"ours": 71.0, "equal": 70.0}),
            ("fashion-mnist", 0.5, {"ours": 92.0, "equal": 92.4}),
        )
        for method, accuracy in accuracies.items()
    ]
    text = page.written(many)
    lines = [line for line in text.splitlines() if line.count("|") == 9]
    told = {tuple(line.split(" | ")[:2]): line.split(" | ")[5:] for line in lines}
    # What is chance at 72 % is none at 92 %.
    assert told["| cifar10-jpeg, 1,438", "0.5"] == ["1 of 1 (100 %)", "-", "-0.40 |"]
    assert told["| cifar10-jpeg, 1,438", "0.3"] == ["1 of 1 (100 %)", "-", "+1.00 |"]
    assert told["| fashion-mnist, 1,438", "0.5"] == ["0 of 1 (0 %)", "-", "-0.40 |"]


def test_time_that_is_left_comes_from_rows_alike() -> None:
    steps = replace(ROW, method="", stage="steps", budget=1.0, teacher_seconds=320.0, epochs=16)
    known = [steps, ROW]
    own = ("digits", 1438)
    assert hours.seconds_of(known, *own, Item("untrained", "resnet20", 0.3, "ours")) > 120
    assert hours.seconds_of(known, *own, Item("untrained", "resnet20", 0.3, "equal")) < 60
    assert hours.seconds_of(known, *own, Item("tuned", "resnet56", 0.3, "ours")) is None


def test_the_nets_of_the_command_are_those_of_the_zoo() -> None:
    from zoo import NETS

    assert set(plan.NET_NAMES) == set(NETS)
