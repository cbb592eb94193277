"""What is shown of cells that were judged while the run went on: nothing that holds for one look only."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pytest_vtc.analysis import Analysis, analyse
from pytest_vtc.cells import Cell
from pytest_vtc.gates import Limit, Verdict
from pytest_vtc.sequential_results import samples_to_judge, tell
from pytest_vtc.sequential_trials import AllJudged, Judged
from pytest_vtc.statistics import Interval
from tests.run_of import HALF, STOCK, of_seed, run_of, seeded

OTHER = Cell("tiny", "probes", "fps", 0.5)
LIMIT = Limit("max_drop", 2.5)
DIFFERENCE = Interval(-0.3, -0.4, -0.2, anytime=True)
ACCURACY = Interval(0.7, 0.6, 0.8, anytime=True)
SHARE = Interval(0.7, 0.6, 0.9, anytime=True)
RIGHT, SOME_LOST = [1.0] * 40, [0.0] * 12 + [1.0] * 28


def judged(cell: Cell = HALF, **more: Any) -> Judged:
    return Judged(
        **{
            "cell": cell,
            "n_seeds": 1,
            "n_rows": 40,
            "n_samples": 40,
            "n_groups": 40,
            "of_rows": 200,
            "of_groups": 200,
            "decided": True,
            "limits": (LIMIT,),
            "decided_after": {LIMIT: 30},
            "difference": DIFFERENCE,
            "accuracy": ACCURACY,
            "share": SHARE,
            "p": 0.001,
            **more,
        }
    )


def analysed(found: Judged, scores: dict[Cell, list[float]] | None = None, **more: Any) -> Analysis:
    results = run_of(scores or {STOCK: RIGHT, HALF: SOME_LOST, OTHER: SOME_LOST}, **more)
    return analyse(results, AllJudged(cells={found.cell: found}))


def test_intervals_and_p_of_a_judged_cell_are_the_anytime_valid_ones() -> None:
    _, half, other = analysed(judged()).cells
    assert half.versus is not None
    assert half.versus.difference_pp == Interval(pytest.approx(-30), -40.0, -20.0, anytime=True)
    assert half.accuracy == ACCURACY
    assert half.versus.share == SHARE
    assert (half.versus.p, half.versus.bootstrap_pp, half.versus.p_mcnemar) == (0.001, None, None)
    assert half.p_holm is not None
    assert half.p_holm <= 0.002
    assert other.sequential is None
    assert other.versus is not None
    assert not other.versus.difference_pp.anytime
    assert other.versus.bootstrap_pp is not None


def test_a_cell_with_more_measurements_than_could_be_judged_has_no_intervals() -> None:
    _, half, _ = analysed(judged(n_rows=20, decided=False)).cells
    assert half.versus is not None
    assert half.versus.difference_pp == Interval(pytest.approx(-30), None, None)
    assert half.versus.p is None
    assert half.accuracy == Interval(pytest.approx(0.7), None, None)


def test_categories_of_a_judged_cell_keep_their_accuracies_alone() -> None:
    (category,) = analysed(judged()).categories
    _, half, other = category.variants
    assert half.accuracy == pytest.approx(0.7)
    assert (half.delta_pp, half.p, half.q) == (None, None, None)
    assert other.q == pytest.approx(other.p)


def test_a_judged_cell_is_in_no_pair_of_compressors() -> None:
    assert len(analyse(run_of({STOCK: RIGHT, HALF: SOME_LOST, OTHER: SOME_LOST})).pairs) == 1
    assert analysed(judged()).pairs == []


def test_the_mean_share_over_datasets_has_no_interval_where_a_judged_cell_is_part_of_it() -> None:
    elsewhere = {replace(cell, dataset="easy"): scores for cell, scores in ((STOCK, RIGHT), (HALF, SOME_LOST))}
    (share,) = analysed(judged(), {STOCK: RIGHT, HALF: SOME_LOST, **elsewhere}).shares
    assert share.share.estimate == pytest.approx(0.7)
    assert (share.share.low, share.share.high) == (None, None)


def test_seeds_that_were_judged_together_have_the_interval_of_their_mean() -> None:
    scores = {STOCK: RIGHT, of_seed(0): SOME_LOST, of_seed(1): SOME_LOST}
    results = run_of(scores, manifest=seeded(0, 1))
    cells = {cell: judged(cell, limits=(), decided_after={}) for cell in (of_seed(0), of_seed(1))}
    (group,) = analyse(results, AllJudged(cells=cells, groups={of_seed(0): judged(of_seed(0), n_seeds=2)})).seed_groups
    assert group.accuracy == ACCURACY
    assert group.delta_pp == Interval(pytest.approx(-30), -40.0, -20.0, anytime=True)


def test_seeds_of_which_one_was_judged_by_itself_have_a_mean_without_interval() -> None:
    results = run_of({STOCK: RIGHT, of_seed(0): SOME_LOST, of_seed(1): SOME_LOST}, manifest=seeded(0, 1))
    (group,) = analyse(results, AllJudged(cells={of_seed(1): judged(of_seed(1))})).seed_groups
    assert group.delta_pp == Interval(pytest.approx(-30), None, None)


def test_a_gate_asks_a_cell_that_ended_early_for_the_samples_it_ended_with() -> None:
    every = AllJudged(cells={HALF: judged(), OTHER: judged(OTHER, decided=False)})
    assert samples_to_judge({HALF.id: 200, OTHER.id: 200}, every) == {HALF.id: 40, OTHER.id: 200}


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (judged(), "too much (decided after 30 of 200; anytime-valid interval)"),
        (judged(decided_after={}), "too much (undecided after all 200; anytime-valid interval)"),
    ],
)
def test_a_verdict_says_when_it_was_known(found: Judged, said: str) -> None:
    verdict = Verdict("divprune@0.5 max_drop=2.5", HALF, "fail", "too much")
    assert tell(verdict, AllJudged(cells={HALF: found})).reason == said
    assert tell(verdict, AllJudged()) == verdict
    unjudged = replace(verdict, outcome="not judged")
    assert tell(unjudged, AllJudged(cells={HALF: found})) == unjudged


def test_what_could_not_be_judged_to_its_end_for_want_of_stock_is_not_judged_and_says_so() -> None:
    stuck = judged(decided=False, decided_after={}, n_rows=30)
    verdict = Verdict("divprune@0.5 min_accuracy=80", HALF, "inconclusive", "77.5 %", estimate=77.5, n=200)
    told = tell(verdict, AllJudged(cells={HALF: stuck}))
    assert (told.outcome, told.estimate, told.n) == ("not judged", None, None)
    assert told.reason.startswith("only the first 30 of 200 samples could be judged: a stock case")
