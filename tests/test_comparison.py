"""One variant against another on the same samples."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from statsmodels.stats.contingency_tables import mcnemar

from pytest_vtc.comparison import Comparison, Flips, compare_scores
from pytest_vtc.statistics import difference_p, paired_difference, share_of_stock

BEFORE = np.array([1, 1, 1, 0, 0, 1, 0, 1], dtype=np.float64)
AFTER = np.array([1, 0, 0, 1, 0, 1, 0, 0], dtype=np.float64)


def compared(before: NDArray[np.float64], after: NDArray[np.float64], groups: NDArray[np.intp]) -> Comparison:
    found = compare_scores(before, after, groups)
    assert found is not None
    return found


def test_no_samples_give_no_comparison() -> None:
    nothing = np.zeros(0)
    assert compare_scores(nothing, nothing, nothing) is None


def test_figures_are_those_of_the_statistics() -> None:
    images = np.array([0, 0, 1, 1, 2, 2, 3, 3])
    found = compared(BEFORE, AFTER, images)
    assert (found.n, found.n_images) == (8, 4)
    assert found.difference_pp == paired_difference(BEFORE, AFTER, images).scaled(100)
    assert found.share == share_of_stock(BEFORE, AFTER, images)


def test_where_every_image_has_one_sample_p_is_exact_mcnemar() -> None:
    found = compared(BEFORE, AFTER, np.arange(8))
    exact = mcnemar([[2, 3], [1, 2]], exact=True).pvalue
    assert found.p == found.p_mcnemar == pytest.approx(exact)


def test_where_images_have_several_samples_p_is_cluster_robust() -> None:
    images = np.array([0, 0, 1, 1, 2, 2, 3, 3])
    found = compared(BEFORE, AFTER, images)
    assert found.p == difference_p(BEFORE, AFTER, images)
    assert found.p_mcnemar == pytest.approx(mcnemar([[2, 3], [1, 2]], exact=True).pvalue)


def test_fractions_of_a_point_have_no_mcnemar() -> None:
    found = compared(BEFORE, AFTER * 0.3, np.arange(8))
    assert found.p_mcnemar is None
    assert found.p == difference_p(BEFORE, AFTER * 0.3)


def test_there_is_no_share_of_nothing() -> None:
    assert compared(np.zeros(8), AFTER, np.arange(8)).share is None


def test_a_bootstrap_is_made_where_it_is_asked_for() -> None:
    assert compared(BEFORE, AFTER, np.arange(8)).bootstrap_pp is None
    checked = compare_scores(BEFORE, AFTER, np.arange(8), check=True)
    assert checked is not None
    assert checked.bootstrap_pp is not None
    assert checked.bootstrap_pp.estimate == checked.difference_pp.estimate


def test_answers_are_counted_by_what_became_of_them() -> None:
    said_before = ["a", "b", "c", "x", "x", "d", "x", "e"]
    said_after = ["a", "y", "y", "b", "y", "d", "x", "y"]
    found = compare_scores(BEFORE, AFTER, np.arange(8), (said_before, said_after))
    assert found is not None
    assert found.flips == Flips(gained=1, lost=3, wrong_otherwise=1, same_answer=3)
    assert found.agreement == 3 / 8
