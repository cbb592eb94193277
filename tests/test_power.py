"""What a run can detect, against the formula by hand and against simulated runs."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_vtc.power import CHANGED_SHARE, detectable_drop, samples_needed
from pytest_vtc.statistics import difference_p


def test_detectable_drop_of_many_single_questions_by_hand() -> None:
    # (1.959964 + 0.841621)^2 = 7.84888; drop^2 = k * 0.15 / (1 + k), k = 7.84888 / 10000, t as good as normal.
    assert detectable_drop([1] * 10_000) == pytest.approx(100 * (0.000784888 * 0.15 / 1.000784888) ** 0.5, rel=1e-3)


def test_questions_that_share_an_image_detect_less() -> None:
    assert found([10] * 100) == pytest.approx(found([1] * 1000) * 2.8**0.5, rel=0.02)


@given(st.lists(st.integers(1, 20), min_size=2, max_size=200))
def test_more_images_detect_more_and_a_drop_is_never_beyond_all(sizes: list[int]) -> None:
    assert 0 < found(sizes + sizes) < found(sizes) <= 100


def test_tiny_runs_say_that_only_a_collapse_would_show() -> None:
    assert 15 < found([1] * 5) < 100


def test_a_run_on_one_image_detects_nothing() -> None:
    assert detectable_drop([40]) is None
    assert detectable_drop([]) is None


def test_an_image_without_samples_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one sample"):
        detectable_drop([3, 0])


@pytest.mark.parametrize("n", [150, 600])
def test_a_true_drop_of_that_size_is_significant_in_four_of_five_runs(n: int) -> None:
    drop = found([1] * n) / 100
    rng = np.random.default_rng(0)
    lost, significant = (CHANGED_SHARE + drop) / 2, 0
    for _ in range(400):
        fate = rng.random(n)  # lost, gained, or unchanged
        before = (fate < lost) | (fate > CHANGED_SHARE)
        after = fate >= lost
        p = difference_p(before.astype(float), after.astype(float))
        assert p is not None
        significant += p < 0.05
    assert 0.74 <= significant / 400 <= 0.86


def test_samples_needed_grow_with_the_square_of_how_much_too_wide_the_interval_is() -> None:
    assert samples_needed(-1.0, -4.0, -2.5, 200) == 800
    assert samples_needed(-4.0, -1.0, -2.5, 200) == 800


def test_an_estimate_on_the_margin_is_never_decided() -> None:
    assert samples_needed(-2.5, 0.5, -2.5, 200) is None


def test_collection_can_ask_without_importing_scipy() -> None:
    check = "import sys, pytest_vtc.power; sys.exit(bool({'scipy', 'statsmodels', 'pandas'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def found(sizes: list[int]) -> float:
    drop = detectable_drop(sizes)
    assert drop is not None
    return drop
