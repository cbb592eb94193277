"""The terminal's table of a dataset's own metric."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pytest

from pytest_vtc.analysis import analyse
from pytest_vtc.cells import Cell
from pytest_vtc.report.published_table import published_table
from pytest_vtc.report.rows import rows_of
from pytest_vtc.report.terminal import render
from pytest_vtc.results import Results
from pytest_vtc.scoring.published import Answered
from tests.made_up_metric import Pairs, known, run_on_pairs
from tests.run_of import HALF, QUARTER, STOCK, of_seed, run_of, seeded

SCORES: dict[Cell, list[float | None]] = {
    STOCK: [1] * 6,
    HALF: [1, 1, 1, 0, 1, None],
    QUARTER: [0] * 6,
    of_seed(0): [1, 1, 0, 0, 0, 0],
    of_seed(1): [1, 1, 1, 0, 0, 0],
}


class Many(Pairs):
    """As many figures as the widest metrics have, the first of them of long names."""

    headings = ("Health and Medicine", "Regular Text Recognition", *(f"figure_{i}" for i in range(8)))
    decimals = 1

    def figures(self, rows: Sequence[Answered]) -> dict[str, float]:
        return {heading: sum(row.score for row in rows) / len(rows) for heading in self.headings}


@pytest.fixture(autouse=True)
def pairs() -> Iterator[None]:
    with known(Pairs()):
        yield


def table(results: Results, width: int = 80) -> list[str]:
    analysis = analyse(results)
    rows = rows_of(analysis.cells, analysis.seed_groups)
    return published_table(results.manifest, "probes", rows, width)


def whole(results: Results, width: int = 80) -> list[str]:
    return render(results, analyse(results), [], [], width, colour=False)


def with_seeds(scores: Mapping[Cell, Sequence[float | None]] = SCORES, whole_groups: bool = False) -> Results:
    return run_on_pairs(scores, whole_groups, manifest=seeded(0, 1))


def test_values_stand_with_their_difference_to_stock_and_missing_samples_are_counted() -> None:
    assert table(with_seeds()) == [
        "Published metrics: tiny on probes, by images with every answer right, in %",
        "",
        "Compressor        Ratio           pairs         sum  Missing",
        "----------------  -----  --------------  ----------  -------",
        "stock                 1  100.0           6.0               0",
        "divprune            0.5   66.7 ( -33.3)  4.0 (-1.0)        1",
        "random (2 seeds)    0.5   33.3 ( -66.7)  2.5 (-3.5)        0",
        "divprune           0.25    0.0 (-100.0)  0.0 (-6.0)        0",
        "",
        "Groups with samples missing, their others counted: 1 at divprune@0.5",
        "",
    ]


def test_groups_that_are_left_out_are_said_to_be() -> None:
    assert "Groups with samples missing, left out: 1 at divprune@0.5" in table(with_seeds(whole_groups=True))


def test_stock_alone_has_values_alone() -> None:
    assert [line.split() for line in table(run_on_pairs({STOCK: [1, 1, 1, 0]}))[4:5]] == [["stock", "1", "50.0", "3.0"]]


def test_a_metric_says_how_many_decimal_places_it_has() -> None:
    class Shares(Many):
        decimals = 3

    with known(Shares()):
        lines = table(run_on_pairs({STOCK: [1, 1, 1], HALF: [1, 1, 0]}))
    assert "0.667 (-0.333)" in lines[-2]


def test_a_figure_that_only_some_rows_have_is_not_made_up_for_the_others() -> None:
    class Sparse(Pairs):
        headings = ("pairs", "inverse", "never")
        decimals = 3

        def figures(self, rows: Sequence[Answered]) -> dict[str, float]:
            right = sum(row.score for row in rows)
            return {"pairs": right} | ({"inverse": 1 / right} if right else {})

    with known(Sparse()):
        lines = table(run_on_pairs({STOCK: [0, 0], HALF: [1, 0]}))
    assert lines[2].split() == ["Compressor", "Ratio", "pairs", "inverse"]
    assert lines[4].split()[-1] == "--"
    assert lines[5].endswith("1.000 (+1.000)    1.000")


@pytest.mark.parametrize("width", [80, 100, 160])
def test_no_line_is_longer_than_the_terminal_and_every_figure_is_shown(width: int) -> None:
    with known(Many()):
        lines = whole(with_seeds(), width)
    assert max(map(len, lines)) <= width
    assert all(any(f"figure_{i}" in line for line in lines) for i in range(8))


def test_what_the_difference_is_and_that_it_has_no_interval_is_said_once() -> None:
    said = " ".join(whole(with_seeds()))
    assert said.count("( ) at published metrics: difference to stock") == 1
    assert "point estimates, as intervals and tests are of the accuracy" in said


def test_nothing_is_shown_of_a_dataset_without_a_metric() -> None:
    results = run_of({STOCK: [1.0] * 4, HALF: [1.0, 0.0, 1.0, 1.0]})
    assert table(results) == []
    assert not any("ublished" in line for line in whole(results))


def test_nothing_is_shown_where_nothing_has_figures() -> None:
    assert table(run_on_pairs({STOCK: [None, None], HALF: [None]})) == []
