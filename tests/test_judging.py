"""Gates held against runs: what passes, what fails, what is undecided, and what is not judged at all."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pytest_vtc.gates import Verdict
from pytest_vtc.judging import decide
from pytest_vtc.statistics import Interval
from tests.run_of import HALF, STOCK, measured, run_of
from tests.verdicts import judged, lost_and_gained, verdicts_of, with_kv


def ends(verdict: Verdict, factor: float = 1, flipped: bool = False) -> str:
    """The interval of a verdict as reasons show it."""
    assert verdict.low is not None
    assert verdict.high is not None
    low, high = (-verdict.high, -verdict.low) if flipped else (verdict.low, verdict.high)
    return f"[{factor * low:.1f}, {factor * high:.1f}]"


# The rule


@pytest.mark.parametrize(
    ("low", "high", "outcome"),
    [
        (0.2, 2.4, "pass"), (0.2, 2.5, "pass"), (0.2, 2.6, "inconclusive"), (2.4, 2.6, "inconclusive"),
        (2.5, 2.6, "inconclusive"), (2.6, 3.0, "fail"), (-3.0, -1.0, "pass"), (None, None, "inconclusive"),
    ],
)  # fmt: skip
def test_an_upper_limit_is_kept_by_the_whole_interval_or_broken_by_all_of_it(
    low: float | None, high: float | None, outcome: str
) -> None:
    assert decide(Interval(2.5, low, high), 2.5, is_upper=True, rule="interval") == outcome


@pytest.mark.parametrize(
    ("low", "high", "outcome"), [(90, 95, "pass"), (89, 95, "inconclusive"), (80, 90, "inconclusive"), (80, 89, "fail")]
)
def test_a_lower_limit_likewise(low: float, high: float, outcome: str) -> None:
    assert decide(Interval(90, low, high), 90, is_upper=False, rule="interval") == outcome


FIGURES = st.floats(-100, 100)


@st.composite
def intervals(draw: st.DrawFn) -> Interval:
    low, estimate, high = sorted([draw(FIGURES), draw(FIGURES), draw(FIGURES)])
    return Interval(estimate, low, high)


@given(intervals(), FIGURES)
def test_what_passes_as_an_upper_limit_fails_as_a_lower_one_unless_they_are_equal(
    interval: Interval, limit: float
) -> None:
    upper, lower = (decide(interval, limit, is_upper, "interval") for is_upper in (True, False))
    assume(all(end is not None and abs(end - limit) > 1e-6 for end in (interval.low, interval.high)))
    assert (upper, lower) in [("pass", "fail"), ("fail", "pass"), ("inconclusive", "inconclusive")]


@given(intervals(), FIGURES, st.booleans(), st.floats(0, 1), st.floats(0, 1))
def test_a_narrower_interval_never_turns_a_verdict_round(
    interval: Interval, limit: float, is_upper: bool, left: float, right: float
) -> None:
    assert interval.low is not None
    assert interval.high is not None
    low = interval.low + left * (interval.estimate - interval.low)
    high = interval.high - right * (interval.high - interval.estimate)
    wide = decide(interval, limit, is_upper, "interval")
    narrow = decide(
        Interval(interval.estimate, min(low, interval.estimate), max(high, interval.estimate)),
        limit,
        is_upper,
        "interval",
    )
    assert wide in ("inconclusive", narrow)


@given(intervals(), FIGURES, st.booleans())
def test_the_point_rule_compares_the_estimate(interval: Interval, limit: float, is_upper: bool) -> None:
    assume(interval.estimate == limit or abs(interval.estimate - limit) > 1e-6)
    kept = interval.estimate <= limit if is_upper else interval.estimate >= limit
    assert decide(interval, limit, is_upper, "point") == ("pass" if kept else "fail")


@given(intervals(), FIGURES, st.booleans())
def test_a_decided_interval_agrees_with_the_point_rule(interval: Interval, limit: float, is_upper: bool) -> None:
    assert decide(interval, limit, is_upper, "interval") in ("inconclusive", decide(interval, limit, is_upper, "point"))


@settings(deadline=None)  # the first example pays for importing scipy
@given(st.integers(2, 60), st.data())
def test_an_undecided_gate_says_how_many_samples_and_a_decided_one_does_not(n: int, data: st.DataObject) -> None:
    results = lost_and_gained(n, lost=data.draw(st.integers(0, n // 2)))
    (verdict,) = verdicts_of(results, f"*: max_drop={data.draw(st.integers(0, 100))}")
    assert verdict.estimate is not None
    assert verdict.limit is not None
    if verdict.outcome == "inconclusive" and abs(verdict.estimate - verdict.limit) > 1e-6:
        assert verdict.n_needed is not None
        assert verdict.n_needed > n
        assert "would decide" in verdict.reason
    else:
        assert verdict.n_needed is None


# A drop


def test_a_drop_that_is_surely_within_the_limit_passes() -> None:
    (verdict,) = verdicts_of(lost_and_gained(200, lost=8, gained=5), "*: max_drop=10")
    assert (verdict.name, verdict.outcome) == ("divprune@0.5 max_drop=10", "pass")
    assert verdict.reason == f"drop 1.5 pp {ends(verdict)} on 200 samples, at most 10 allowed"


def test_a_drop_that_is_surely_beyond_the_limit_fails() -> None:
    (verdict,) = verdicts_of(lost_and_gained(200, lost=40), "*: max_drop=2.5")
    assert verdict.outcome == "fail"
    assert verdict.reason == f"drop 20.0 pp {ends(verdict)} on 200 samples, at most 2.5 allowed"


def test_a_drop_that_may_be_either_is_inconclusive_and_says_what_would_decide() -> None:
    (verdict,) = verdicts_of(lost_and_gained(200, lost=8, gained=5), "*: max_drop=4")
    assert (verdict.outcome, verdict.limit, verdict.n, verdict.estimate) == ("inconclusive", 4, 200, 1.5)
    assert verdict.n_needed is not None
    about = math.ceil(verdict.n_needed / 10) * 10
    assert verdict.reason == (
        f"drop 1.5 pp {ends(verdict)} on 200 samples, at most 4 allowed: about {about} samples "
        f"({about - 200} more) would decide"
    )


@pytest.mark.parametrize(
    ("needed", "said"),
    [
        (4083, "about 4,100 samples (2,600 more) would decide"), (1593, "about 1,600 samples (8 more) would decide"),
        (123_456, "about 130,000 samples (130,000 more) would decide, but there are only 2,000"),
    ],
)  # fmt: skip
def test_the_number_that_would_decide_is_round(needed: int, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_vtc.judging.samples_needed", lambda *_: needed)
    results = lost_and_gained(1592, lost=38, gained=12)
    about = results.manifest["datasets"]["probes"]
    results.manifest["datasets"]["probes"] = {**about, "size": 2000 if needed > 10_000 else 12_000}
    assert judged(results, "*: max_drop=2.5")[0][2].endswith(f"at most 2.5 allowed: {said}")


@pytest.mark.parametrize(("n", "lost", "limit"), [(50, 0, 2.5), (100, 0, 1), (100, 1, 3), (200, 2, 2.5), (200, 16, 5)])
def test_so_many_samples_would_decide_if_all_goes_on_as_it_began(n: int, lost: int, limit: float) -> None:
    (verdict,) = verdicts_of(lost_and_gained(n, lost=lost), f"*: max_drop={limit}")
    assert verdict.n_needed is not None
    times = verdict.n_needed // n

    def outcome(times: int) -> str:
        return verdicts_of(lost_and_gained(times * n, lost=times * lost), f"*: max_drop={limit}")[0].outcome

    assert outcome(times) == "inconclusive" or times * n == verdict.n_needed
    assert outcome(times + 1) != "inconclusive"


def test_a_dataset_that_has_too_few_samples_is_said_to() -> None:
    reason = judged(lost_and_gained(200, lost=8, gained=5), "*: max_drop=1.8")[0][2]
    assert reason.endswith("more) would decide, but there are only 2,000")


def test_a_dataset_that_was_used_whole_has_no_more() -> None:
    results = lost_and_gained(200, lost=8, gained=5)
    results.manifest["datasets"]["probes"] = {**results.manifest["datasets"]["probes"], "size": 200}
    assert judged(results, "*: max_drop=2.5")[0][2].endswith("would decide, but there are no more")


def test_an_estimate_on_the_margin_is_decided_by_no_number_of_samples() -> None:
    (verdict,) = verdicts_of(lost_and_gained(200, lost=5), "*: max_drop=2.5")
    assert (verdict.outcome, verdict.n_needed) == ("inconclusive", None)
    assert verdict.reason.endswith("allowed: the estimate lies on the margin, where no number of samples decides")


def test_a_gain_reads_as_one() -> None:
    (verdict,) = verdicts_of(lost_and_gained(200, lost=0, gained=10), "*: max_drop=1")
    shown = ends(verdict, flipped=True)
    assert verdict.outcome == "pass"
    assert verdict.reason == f"5.0 pp above stock {shown} on 200 samples, a drop of at most 1 allowed"


def test_no_difference_is_equal() -> None:
    assert judged(run_of({STOCK: [1.0] * 400, HALF: [1.0] * 400}), "*: max_drop=1")[0][1:] == (
        "pass",
        "equal to stock [-0.95, 0.95] on 400 samples, a drop of at most 1 allowed",
    )


def test_figures_that_rounding_would_make_the_limit_have_more_digits() -> None:
    ((_, outcome, reason),) = judged(lost_and_gained(1000, lost=26), "*: max_drop=2.6, rule=point")
    assert (outcome, reason.split(" pp")[0]) == ("pass", "drop 2.6")
    ((_, outcome, reason),) = judged(lost_and_gained(4000, lost=101), "*: max_drop=2.5, rule=point")
    assert (outcome, reason.split(" [")[0]) == ("fail", "drop 2.53 pp")


# The other limits


def test_an_accuracy_is_judged_by_its_own_interval() -> None:
    results = run_of({STOCK: [1.0] * 100, HALF: [1.0] * 75 + [0.0] * 25})
    assert judged(results, "*: min_accuracy=60", "*: min_accuracy=90", "*: min_accuracy=80") == [
        ("divprune@0.5 min_accuracy=60", "pass", "accuracy 75.0 % [65.7, 82.5] on 100 samples, at least 60 asked"),
        ("divprune@0.5 min_accuracy=90", "fail", "accuracy 75.0 % [65.7, 82.5] on 100 samples, at least 90 asked"),
        (
            "divprune@0.5 min_accuracy=80",
            "inconclusive",
            "accuracy 75.0 % [65.7, 82.5] on 100 samples, at least 80 asked: about 250 samples (150 more) would decide",
        ),
    ]


def test_a_share_of_stock_is_judged_by_the_interval_of_the_ratio() -> None:
    (verdict,) = verdicts_of(lost_and_gained(200, lost=10, right=100), "*: min_retained=0.8")
    assert (verdict.outcome, verdict.estimate) == ("pass", pytest.approx(0.9))
    assert verdict.low is not None
    assert verdict.low > 0.8
    assert verdict.reason == f"90.0 % of stock's accuracy {ends(verdict, 100)} on 200 samples, at least 80 asked"


def test_there_is_no_share_of_a_stock_that_has_nothing_right() -> None:
    results = run_of({STOCK: [0.0] * 20, HALF: [0.0] * 20})
    assert judged(results, "*: min_retained=0.9")[0][1:] == (
        "not judged",
        "stock has no right answer: there is no share of it",
    )


@pytest.mark.parametrize(("limit", "outcome"), [("1.4MB", "fail"), ("1.5MB", "pass"), ("2MB", "pass")])
def test_bytes_of_the_cache_are_compared_as_they_are(limit: str, outcome: str) -> None:
    (verdict,) = verdicts_of(with_kv(lost_and_gained(3, lost=3), 1_500_000), f"*: max_kv_bytes={limit}")
    assert (verdict.outcome, verdict.estimate, verdict.low, verdict.n) == (outcome, 1.5e6, None, 3)
    assert verdict.reason.startswith("KV cache 1.50 MB a sample on 3 samples, at most")


def test_bytes_can_be_judged_without_answers_or_stock() -> None:
    results = with_kv(run_of({HALF: [None] * 2}), 900)
    assert judged(results, "*: max_kv_bytes=1000") == [
        ("divprune@0.5 max_kv_bytes=1000", "pass", "KV cache 0.90 kB a sample on 2 samples, at most 1 kB allowed")
    ]


# The point rule


@pytest.mark.parametrize("n", [200, 600, 1000, 1592])
def test_a_drop_of_exactly_the_limit_passes_by_point_whatever_the_rounding(n: int) -> None:
    lost = n // 40
    assert judged(lost_and_gained(n, lost=lost), f"*: max_drop={100 * lost / n!r}, rule=point")[0][1] == "pass"


def test_the_point_rule_is_named_and_says_so() -> None:
    (verdict,) = verdicts_of(lost_and_gained(40, lost=1), "*: max_drop=2, rule=point")
    assert (verdict.name, verdict.outcome, verdict.rule) == ("divprune@0.5 max_drop=2 rule=point", "fail", "point")
    assert verdict.reason == (
        f"drop 2.5 pp {ends(verdict)} on 40 samples, at most 2 allowed; judged by the estimate alone"
    )


# Too little


def test_one_image_gives_no_interval_and_decides_nothing() -> None:
    rows = [measured(cell, i, float(cell == STOCK or i > 0), group="one") for i in range(4) for cell in (STOCK, HALF)]
    results = run_of({STOCK: [1.0] * 4, HALF: [1.0] * 4}, measurements=rows)
    assert judged(results, "*: max_drop=1, min_accuracy=80, min_retained=0.9") == [
        (
            "divprune@0.5 max_drop=1",
            "inconclusive",
            "drop 25.0 pp on 4 samples, at most 1 allowed: all on one image, which gives no interval",
        ),
        (
            "divprune@0.5 min_accuracy=80",
            "inconclusive",
            "accuracy 75.0 % on 4 samples, at least 80 asked: all on one image, which gives no interval",
        ),
        (
            "divprune@0.5 min_retained=0.9",
            "inconclusive",
            "75.0 % of stock's accuracy on 4 samples, at least 90 asked: all on one image, which gives no interval",
        ),
    ]


def test_limits_that_nothing_can_break_pass_even_so() -> None:
    results = run_of({STOCK: [1.0], HALF: [0.0]})
    outcomes = [outcome for _, outcome, _ in judged(results, "*: max_drop=100, min_accuracy=0, min_retained=0")]
    assert outcomes == ["pass"] * 3
