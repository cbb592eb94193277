"""Sentences below a table."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_vtc.analysis import Analysis, analyse
from pytest_vtc.report.notes import notes, wider
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


def test_few_clusters_of_a_dataset_of_pairs_or_sets_are_groups() -> None:
    results = run_of({STOCK: [1.0] * 29, HALF: [1.0] * 20 + [0.0] * 9})
    datasets = {"probes": {**results.manifest["datasets"]["probes"], "whole_groups": True}}
    (note,) = said(replace(results, manifest={**results.manifest, "datasets": datasets}))  # type: ignore[arg-type]
    assert note.startswith("probes: 29 groups only; ")


def judged(own_words: bool, n_unread: int = 0, n_blank: int = 0) -> Results:
    """RUN, graded by a judge."""
    about = {"model": "grader", "prompt": "ab", "own_words": own_words}
    datasets = {"probes": {**RUN.manifest["datasets"]["probes"], "judge": about}}
    rows = [replace(m, unparsed=i < n_unread + n_blank) for i, m in enumerate(RUN.measurements)]
    blank = [replace(m, generation=replace(m.generation, answer=" ")) for m in rows[n_unread : n_unread + n_blank]]
    rows[n_unread : n_unread + n_blank] = blank
    return replace(RUN, manifest={**RUN.manifest, "datasets": datasets}, measurements=rows)  # type: ignore[arg-type]


def test_grades_are_said_to_be_a_judges_and_not_to_be_compared_with_published_ones() -> None:
    assert said(judged(own_words=True)) == [
        "probes: scores are grades by grader, asked in the words of pytest-vtc: not to be compared with published ones"
    ]
    assert said(judged(own_words=False)) == ["probes: scores are grades by grader"]


def test_replies_that_could_not_be_read_are_counted_and_blank_answers_are_none_of_them() -> None:
    assert "probes: of 3 of 120 answers no reply of the judge could be read; they count as wrong" in said(
        judged(own_words=False, n_unread=3, n_blank=2)
    )


def test_images_that_have_no_interval_are_not_called_few() -> None:
    assert said(run_of({STOCK: [1.0], HALF: [0.0]})) == []


def test_a_bootstrap_that_is_less_sure_is_told_with_its_interval() -> None:
    (note,) = said(RUN, with_bootstrap(-40.0, -1.0))
    assert note.startswith(
        "divprune@0.5: a bootstrap over images gives [-40.0, -1.0] for the difference to stock, not ["
    )


def test_a_bootstrap_of_few_images_is_not_mentioned() -> None:
    few = run_of({STOCK: [1.0] * 20, HALF: [1.0] * 15 + [0.0] * 5})
    assert len(said(few)) == 1


@pytest.mark.parametrize(
    ("check", "expected"),
    [
        (Interval(0.0, -4.0, 4.0), False),
        (Interval(0.0, -4.9, 4.0), False),  # within a quarter of the half width
        (Interval(0.0, -5.1, 4.0), True),
        (Interval(0.0, -4.0, 5.1), True),
        (Interval(0.0, -1.0, 1.0), False),  # the interval shown is the careful one
        (Interval(0.0, 0.0, 0.0), False),
        (Interval(0.0, None, None), False),
    ],
)
def test_an_end_counts_from_a_quarter_of_the_half_width_outside(check: Interval, expected: bool) -> None:
    assert wider(check, Interval(0.0, -4.0, 4.0)) is expected


def test_less_than_half_a_point_outside_is_not_mentioned() -> None:
    assert not wider(Interval(0.0, -0.6, 0.2), Interval(0.0, -0.2, 0.2))
