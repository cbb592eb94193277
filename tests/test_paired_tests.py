"""McNemar's exact test and the corrections for many tests, against counts done by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from pytest_vtc.paired_tests import benjamini_hochberg, holm, mcnemar_p

P = st.one_of(st.none(), st.floats(0, 1))


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 20))
@settings(deadline=None)  # the first example pays for importing statsmodels or scipy
def test_mcnemar_is_the_binomial_test_of_the_changed_answers(lost: int, gained: int, same: int) -> None:
    before = [1.0] * lost + [0.0] * gained + [1.0] * same
    after = [0.0] * lost + [1.0] * gained + [1.0] * same
    changed = lost + gained
    tail = sum(math.comb(changed, k) for k in range(min(lost, gained) + 1)) / 2**changed
    assert mcnemar_p(before, after) == pytest.approx(min(1.0, 2 * tail))


def test_mcnemar_of_soft_scores_is_no_test() -> None:
    assert mcnemar_p([1.0, 0.5], [0.0, 1.0]) is None


def test_mcnemar_where_nothing_changed_finds_nothing() -> None:
    assert mcnemar_p([1.0, 0.0], [1.0, 0.0]) == 1.0


def test_mcnemar_of_unequal_lengths_is_refused() -> None:
    with pytest.raises(ValueError, match="2 before, 1 after"):
        mcnemar_p([1.0, 0.0], [1.0])


def test_holm_by_hand() -> None:
    # Sorted .01 .02 .04: times 3, 2, 1, never falling.
    assert holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])


def test_benjamini_hochberg_by_hand() -> None:
    # Sorted .01 .02 .04: times 3/1, 3/2, 3/3, the least from there on.
    assert benjamini_hochberg([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.03])


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
def test_what_is_no_test_does_not_count(adjust: object) -> None:
    assert callable(adjust)
    assert adjust([None, 0.03, None, 0.01]) == pytest.approx([None, adjust([0.03, 0.01])[0], None, 0.02])
    assert adjust([None, None]) == [None, None]
    assert adjust([]) == []


@given(st.lists(P, max_size=12))
@settings(deadline=None)  # the first example pays for importing statsmodels or scipy
def test_adjusting_never_lowers_a_p_and_holm_is_the_stricter(p: list[float | None]) -> None:
    for raw, strict, lenient in zip(p, holm(p), benjamini_hochberg(p), strict=True):
        if raw is None:
            assert strict is None
            assert lenient is None
        else:
            assert strict is not None
            assert lenient is not None
            assert raw - 1e-12 <= lenient <= strict + 1e-12 <= 1 + 2e-12


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
@settings(max_examples=10, deadline=None)  # statsmodels collects garbage on every call
def test_corrections_are_those_of_statsmodels(p: list[float]) -> None:
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1].tolist())
    assert benjamini_hochberg(p) == pytest.approx(multipletests(p, method="fdr_bh")[1].tolist())
