"""Who is not beaten at equal ratio, and the mean share of stock, on the terminal."""

from __future__ import annotations

from pytest_vtc.analysis import analyse
from pytest_vtc.cells import Cell
from pytest_vtc.report.rankings import Contender, ranking_lines
from pytest_vtc.report.rows import rows_of
from pytest_vtc.report.share_table import share_table
from pytest_vtc.results import Results
from tests.run_of import HALF, STOCK, manifest, run_of


def contender(name: str, accuracy: float, n_better: int, ratio: float = 0.5) -> Contender:
    return Contender(name, ratio, accuracy, (0, n_better, 0))


def test_those_that_nobody_beats_stand_by_accuracy_the_largest_ratio_first() -> None:
    found = [
        contender("a", 0.8, 0),
        contender("b", 0.9, 0),
        contender("c", 0.2, 2),
        contender("a", 0.5, 0, 0.25),
        contender("c", 0.1, 1, 0.25),
    ]
    assert ranking_lines(found, 80)[1:] == ["   0.5  b, a (of 3)", "  0.25  a (of 2)"]


def test_where_no_two_are_told_apart_nobody_is_named() -> None:
    lines = ranking_lines([contender("a", 0.8, 0), contender("b", 0.9, 0)], 80)
    assert lines[1:] == ["  0.5  all 2: no difference is significant"]


def test_without_anybody_to_compare_nothing_is_said() -> None:
    assert ranking_lines([], 80) == []


def test_many_names_go_on_below_the_first() -> None:
    found = [contender(f"compressor{i}", 0.5, 0) for i in range(20)] + [contender("last", 0.1, 3)]
    lines = ranking_lines(found, 80)
    assert max(map(len, lines)) <= 80
    assert all(line.startswith(" " * 7 + "compressor") for line in lines[2:])


def shares(results: Results, width: int = 80) -> list[str]:
    analysis = analyse(results)
    rows = [
        row
        for dataset in results.manifest["datasets"]
        for row in rows_of([s for s in analysis.cells if s.cell.dataset == dataset], analysis.seed_groups)
    ]
    return share_table(analysis.shares, rows, width)


def on(dataset: str, right: int, of: int = 50, name: str = "divprune") -> dict[Cell, list[float]]:
    cell = Cell("tiny", dataset, name, 0.5)
    return {cell.stock: [1.0] * of, cell: [1.0] * right + [0.0] * (of - right)}


def test_the_mean_share_stands_beside_the_shares_that_it_is_of() -> None:
    lines = shares(run_of({**on("probes", 40), **on("easyvqa", 50)}))
    assert lines[0] == "tiny: mean share of stock's accuracy, each of 2 datasets counting alike"
    assert lines[2].split() == ["Compressor", "Ratio", "probes", "easyvqa", "Mean"]
    assert lines[4].split()[:5] == ["divprune", "0.5", "80.0%", "100.0%", "90.0%"]


def test_one_dataset_has_no_mean_share() -> None:
    assert shares(run_of({STOCK: [1.0] * 50, HALF: [1.0] * 50})) == []


def test_a_mean_over_fewer_datasets_says_over_how_many() -> None:
    scores = {**on("probes", 40), **on("easyvqa", 50), **on("probes", 45, name="fps")}
    lines = shares(run_of(scores))
    assert lines[2].split()[-1] == "Over"
    assert [line.split()[-3:] for line in lines[4:6]] == [["2", "of", "2"], ["1", "of", "2"]]
    assert lines[5].split()[3] == "--"


def test_many_datasets_take_several_tables_that_fit() -> None:
    names = [f"dataset number {i}" for i in range(12)]
    scores = {cell: values for name in names for cell, values in on(name, 40).items()}
    lines = shares(run_of(scores, manifest=manifest(*names)))
    assert max(map(len, lines)) <= 80
    assert sum(line.startswith("divprune") for line in lines) > 1
