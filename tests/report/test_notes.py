"""Sentences below a table."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_vtc.analysis import Analysis, analyse
from pytest_vtc.report.notes import disagree, notes
from pytest_vtc.report.rows import rows_of
from pytest_vtc.results import Results
from pytest_vtc.statistics import Interval
from tests.run_of import HALF, STOCK, run_of

RUN = run_of({STOCK: [1.0] * 60, HALF: [1.0] * 50 + [0.0] * 10})


def said(results: Results, analysis: Analysis | None = None) -> list[str]:
    found = analysis or analyse(results)
    return notes(results, "tiny", "probes", rows_of(found.cells, found.seed_groups))


def with_bootstrap(low: float, high: float) -> Analysis:
    """The analysis of RUN, with this interval from the bootstrap."""
    analysis = analyse(RUN)
    stock, half = analysis.cells
    assert half.versus is not None
    checked = replace(half.versus, bootstrap_pp=Interval(half.versus.difference_pp.estimate, low, high))
    return replace(analysis, cells=[stock, replace(half, versus=checked)])


def test_a_run_of_enough_images_has_nothing_to_note() -> None:
    assert said(RUN) == []


def test_few_images_are_told() -> None:
    results = run_of({STOCK: [1.0] * 29, HALF: [1.0] * 20 + [0.0] * 9})
    assert said(results) == ["probes: 29 images only; with fewer than about 30, intervals and * are rough"]


def test_images_that_have_no_interval_are_not_called_few() -> None:
    assert said(run_of({STOCK: [1.0], HALF: [0.0]})) == []


def test_a_bootstrap_that_disagrees_is_told_with_its_interval() -> None:
    (note,) = said(RUN, with_bootstrap(-30.0, -1.0))
    assert note.startswith(
        "divprune@0.5: a bootstrap over images gives [-30.0, -1.0] for the difference to stock, not ["
    )


def test_a_bootstrap_that_agrees_is_not_mentioned() -> None:
    half = analyse(RUN).cells[1].versus
    assert half is not None
    low, high = half.difference_pp.low, half.difference_pp.high
    assert low is not None
    assert high is not None
    assert said(RUN, with_bootstrap(low + 0.4, high - 0.4)) == []


@pytest.mark.parametrize(
    ("check", "expected"),
    [
        (Interval(0.0, -4.0, 4.0), False),
        (Interval(0.0, -4.9, 4.0), False),  # within a quarter of the half width
        (Interval(0.0, -5.1, 4.0), True),
        (Interval(0.0, -4.0, 2.9), True),
        (Interval(0.0, 0.0, 0.0), False),  # no image changed in any draw
        (Interval(0.0, None, None), False),
    ],
)
def test_ends_disagree_by_more_than_a_quarter_of_the_half_width(check: Interval, expected: bool) -> None:
    assert disagree(Interval(0.0, -4.0, 4.0), check) is expected


def test_less_than_half_a_point_is_no_disagreement() -> None:
    assert not disagree(Interval(0.0, -0.2, 0.2), Interval(0.0, -0.6, 0.2))
