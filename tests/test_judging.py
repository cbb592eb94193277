"""Gates held against runs: what passes, what fails, what is undecided, and what is not judged at all."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pytest_vtc.analysis import analyse
from pytest_vtc.cells import CaseError, Cell, Measurement, SkippedCell
from pytest_vtc.gates import Verdict, parse_gate
from pytest_vtc.judging import decide, evaluate
from pytest_vtc.results import Results
from pytest_vtc.statistics import Interval
from tests.run_of import HALF, QUARTER, STOCK, manifest, measured, of_seed, run_of, seeded


def verdicts_of(results: Results, *gates: str, samples: int | None = None, shard: str | None = None) -> list[Verdict]:
    """samples: of the sweep, per cell; as many as were selected if not given."""
    sweep = {cell.id: results.expected[cell.id] if samples is None else samples for cell in results.cells}
    return evaluate([parse_gate(gate) for gate in gates], results, analyse(results), sweep, shard)


def judged(results: Results, *gates: str, **more: Any) -> list[tuple[str, str, str]]:
    return [(verdict.name, verdict.outcome, verdict.reason) for verdict in verdicts_of(results, *gates, **more)]


def lost_and_gained(n: int, lost: int, gained: int = 0, right: int | None = None) -> Results:
    """n samples, `right` (or all but the gained) of them right in stock, of which `lost` are lost in divprune@0.5."""
    right = n - gained if right is None else right
    stock = [1.0] * right + [0.0] * (n - right)
    half = [0.0] * lost + [1.0] * (right - lost + gained) + [0.0] * (n - right - gained)
    return run_of({STOCK: stock, HALF: half})


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
    assert verdict.high is not None
    assert verdict.n_needed == pytest.approx(200 * ((verdict.high - 1.5) / 2.5) ** 2, abs=1)
    about = math.ceil(verdict.n_needed / 10) * 10
    assert verdict.reason == (
        f"drop 1.5 pp {ends(verdict)} on 200 samples, at most 4 allowed: about {about} samples "
        f"({about - 200} more) would decide"
    )


@pytest.mark.parametrize(
    ("needed", "said"),
    [
        (4083, "about 4,100 samples (2,500 more) would decide"), (1593, "about 1,600 samples (8 more) would decide"),
        (123_456, "about 130,000 samples (120,000 more) would decide, but there are only 2,000"),
    ],
)  # fmt: skip
def test_the_number_that_would_decide_is_round(needed: int, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_vtc.judging.samples_needed", lambda *_: needed)
    results = lost_and_gained(1592, lost=38, gained=12)
    about = results.manifest["datasets"]["probes"]
    results.manifest["datasets"]["probes"] = {**about, "size": 2000 if needed > 10_000 else 12_000}
    assert judged(results, "*: max_drop=2.5")[0][2].endswith(f"at most 2.5 allowed: {said}")


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
            "accuracy 75.0 % [65.7, 82.5] on 100 samples, at least 80 asked: about 230 samples (130 more) would decide",
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


def with_kv(results: Results, n_bytes: int) -> Results:
    rows = [replace(m, generation=replace(m.generation, kv_bytes=n_bytes)) for m in results.measurements]
    return replace(results, measurements=rows)


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


# Categories


def by_category(**counts: tuple[int, int]) -> Results:
    """Samples of each category, and how many of them are lost."""
    rows: list[Measurement] = []
    for category, (n, lost) in counts.items():
        for i in range(n):
            name = f"{category}{i}"
            rows.append(measured(STOCK, name, 1.0, category=category))
            rows.append(measured(HALF, name, float(i >= lost), category=category))
    total = sum(n for n, _ in counts.values())
    return run_of({STOCK: [1.0] * total, HALF: [1.0] * total}, measurements=rows)


def test_each_matching_category_is_judged_by_itself() -> None:
    results = by_category(count=(100, 0), colour=(100, 50), digit=(100, 50))
    assert [(name, outcome) for name, outcome, _ in judged(results, "*: max_drop=20, category=co*")] == [
        ("divprune@0.5 category=colour max_drop=20", "fail"),
        ("divprune@0.5 category=count max_drop=20", "pass"),
    ]


def test_a_category_has_its_own_figures() -> None:
    (verdict,) = verdicts_of(by_category(count=(100, 10), colour=(50, 50)), "*: max_drop=20, category=count")
    analysis = analyse(by_category(count=(100, 10)))
    delta = analysis.cells[1].delta_pp
    assert delta is not None
    assert (verdict.n, verdict.estimate, verdict.category) == (100, pytest.approx(10), "count")
    assert (verdict.low, verdict.high) == (pytest.approx(-(delta.high or 0)), pytest.approx(-(delta.low or 0)))


def test_accuracy_share_and_bytes_of_a_category_are_judged_as_well() -> None:
    results = with_kv(by_category(count=(100, 10), colour=(50, 50)), 1000)
    gate = "*: min_accuracy=80, min_retained=0.8, max_kv_bytes=1k, category=count"
    assert [(v.outcome, v.estimate, v.n) for v in verdicts_of(results, gate)] == [
        ("pass", pytest.approx(90), 100),
        ("pass", pytest.approx(0.9), 100),
        ("pass", 1000, 100),
    ]


def test_a_small_category_is_inconclusive_though_its_interval_is_clear() -> None:
    (verdict,) = verdicts_of(by_category(count=(9, 9), colour=(50, 0)), "*: max_drop=5, category=count")
    assert (verdict.outcome, verdict.n, verdict.n_needed) == ("inconclusive", 9, 10)
    assert verdict.reason.endswith("on 9 samples, at most 5 allowed: a category is judged from 10 samples on")


def test_a_small_category_needs_ten_samples_at_least() -> None:
    (verdict,) = verdicts_of(by_category(count=(4, 2), colour=(50, 0)), "*: max_drop=1, category=count")
    assert verdict.outcome == "inconclusive"
    assert verdict.n_needed is not None
    assert verdict.n_needed >= 10


def test_the_point_rule_judges_small_categories() -> None:
    assert judged(by_category(count=(4, 2)), "*: max_drop=1, category=count, rule=point")[0][1] == "fail"


def test_how_many_samples_of_a_category_there_are_is_taken_from_its_share() -> None:
    # 200 of 2,000 samples were drawn: of 20 there are about 200.
    reason = judged(by_category(count=(20, 1), colour=(180, 0)), "*: max_drop=4, category=count")[0][2]
    assert reason.endswith("would decide, but there are only 200")


def test_a_category_that_one_of_several_datasets_lacks_is_not_judged_there() -> None:
    other = Cell("tiny", "easyvqa", "divprune", 0.5)
    results = run_of({STOCK: [1.0] * 20, HALF: [1.0] * 20, other.stock: [1.0] * 20, other: [1.0] * 20})
    rows = [replace(m, category="colour") if m.cell.dataset == "easyvqa" else m for m in results.measurements]
    found = judged(replace(results, measurements=rows), "*: max_drop=30, category=col*")
    assert found[0] == (
        "tiny/probes/divprune@0.5 category=col* max_drop=30",
        "not judged",
        "no category of probes is called col*; it has digit",
    )
    assert found[1][:2] == ("tiny/easyvqa/divprune@0.5 category=colour max_drop=30", "pass")


def test_a_category_without_answers_is_not_judged() -> None:
    rows = [measured(cell, f"a{i}", 1.0) for cell in (STOCK, HALF) for i in range(20)]
    rows += [measured(cell, f"b{i}", None, category="open") for cell in (STOCK, HALF) for i in range(3)]
    results = run_of({STOCK: [1.0] * 23, HALF: [1.0] * 23}, measurements=rows)
    assert judged(results, "*: max_drop=1, category=open")[0][1:] == (
        "not judged",
        "category open has no answers to score by",
    )


# Seeds


def seeds_run(**more: Any) -> Results:
    scores: dict[Cell, list[float | None]] = {STOCK: [1.0] * 100}
    scores |= {of_seed(seed): [0.0] * (10 * seed) + [1.0] * (100 - 10 * seed) for seed in range(3)}
    return run_of(scores, **{"manifest": seeded(0, 1, 2), **more})


@pytest.mark.parametrize("pattern", ["random@0.5", "random*@0.5", "*@0.5", "*", "probes/random@0.5"])
def test_all_seeds_of_a_compressor_are_judged_once_by_their_mean(pattern: str) -> None:
    (verdict,) = verdicts_of(seeds_run(), f"{pattern}: max_drop=30, rule=point")
    (group,) = analyse(seeds_run()).seed_groups
    assert (verdict.name, verdict.cell) == ("random@0.5 max_drop=30 rule=point", of_seed(0))
    assert verdict.estimate == pytest.approx(10)
    assert group.delta_pp is not None
    assert verdict.high == -(group.delta_pp.low or math.nan)
    assert verdict.reason.startswith("mean of 3 seeds: drop 10.0 pp [")


def test_one_draw_is_judged_by_its_own_name() -> None:
    assert [(v.name, v.estimate) for v in verdicts_of(seeds_run(), "random(seed=2)@0.5: max_drop=50")] == [
        ("random(seed=2)@0.5 max_drop=50", pytest.approx(20))
    ]


def test_a_pattern_that_fits_draws_alone_judges_each() -> None:
    assert [v.name for v in verdicts_of(seeds_run(), "random(seed=*)@0.5: max_drop=50")] == [
        "random(seed=1)@0.5 max_drop=50",
        "random(seed=2)@0.5 max_drop=50",
    ]


def test_accuracy_bytes_and_categories_of_seeds_are_means_too() -> None:
    results = with_kv(seeds_run(), 1000)
    gates = ("random@0.5: min_accuracy=80, max_kv_bytes=1k", "random@0.5: max_drop=20, category=digit")
    assert [(v.name, v.estimate, v.n) for v in verdicts_of(results, *gates)] == [
        ("random@0.5 min_accuracy=80", pytest.approx(90), 100),
        ("random@0.5 max_kv_bytes=1000", 1000, 100),
        ("random@0.5 category=digit max_drop=20", pytest.approx(10), 100),
    ]


def test_seeds_of_which_one_was_not_selected_are_not_judged() -> None:
    cells: dict[Cell, list[float | None]] = {STOCK: [1.0] * 10, of_seed(0): [1.0] * 10, of_seed(1): [1.0] * 10}
    results = run_of(cells, manifest=seeded(0, 1, 2))
    assert judged(results, "random@0.5: max_drop=100", "random(seed=1)@0.5: max_drop=100") == [
        ("random@0.5 max_drop=100", "not judged", "only 20 of its 30 cases with 3 seeds were selected"),
        (
            "random(seed=1)@0.5 max_drop=100",
            "pass",
            "equal to stock [-27.8, 27.8] on 10 samples, a drop of at most 100 allowed",
        ),
    ]


def test_bytes_of_seeds_can_be_judged_without_answers() -> None:
    scores: dict[Cell, list[float | None]] = {STOCK: [None], of_seed(0): [None], of_seed(1): [None]}
    results = with_kv(run_of(scores, manifest=seeded(0, 1)), 500)
    outcomes = [v.outcome for v in verdicts_of(results, "random@0.5: max_kv_bytes=1k, max_drop=1")]
    assert outcomes == ["pass", "not judged"]


def test_skipped_seeds_have_one_verdict() -> None:
    skipped = tuple(SkippedCell(of_seed(seed), "it has no encoder") for seed in range(3))
    results = run_of({STOCK: [1.0] * 2}, manifest=seeded(0, 1, 2), skipped=skipped)
    assert judged(results, "*: max_drop=1") == [("random@0.5 max_drop=1", "not judged", "not run: it has no encoder")]


# Names


def test_every_condition_has_a_verdict_of_its_own() -> None:
    found = judged(lost_and_gained(100, lost=25), "*: max_drop=50, min_accuracy=90")
    assert [(name, outcome) for name, outcome, _ in found] == [
        ("divprune@0.5 max_drop=50", "pass"),
        ("divprune@0.5 min_accuracy=90", "fail"),
    ]


def test_one_limit_asked_for_twice_is_judged_once() -> None:
    results = run_of({STOCK: [1.0] * 4, HALF: [1.0] * 4})
    names = [name for name, _, _ in judged(results, "*: max_drop=1", "divprune@0.5: max_drop=1, min_accuracy=9")]
    assert names == ["divprune@0.5 max_drop=1", "divprune@0.5 min_accuracy=9"]


def test_one_limit_under_two_rules_and_two_categories_are_different_verdicts() -> None:
    results = by_category(count=(20, 0), colour=(20, 0))
    gates = [f"*: max_drop=1{more}" for more in ("", ", rule=point", ", category=*", ", category=count, rule=point")]
    names = [name for name, _, _ in judged(results, *gates)]
    assert names == [
        "divprune@0.5 max_drop=1",
        "divprune@0.5 max_drop=1 rule=point",
        "divprune@0.5 category=colour max_drop=1",
        "divprune@0.5 category=count max_drop=1",
        "divprune@0.5 category=count max_drop=1 rule=point",
    ]


def test_with_several_datasets_a_verdict_is_named_by_the_whole_id() -> None:
    other = Cell("tiny", "easyvqa", "divprune", 0.5)
    results = run_of({STOCK: [1.0] * 2, HALF: [1.0] * 2, other.stock: [1.0] * 2, other: [1.0] * 2})
    names = [name for name, _, _ in judged(results, "divprune@0.5: max_drop=1")]
    assert names == ["tiny/probes/divprune@0.5 max_drop=1", "tiny/easyvqa/divprune@0.5 max_drop=1"]


# Not judged


def test_a_cell_with_missing_cases_is_not_judged() -> None:
    results = run_of({STOCK: [1.0] * 4, HALF: [0.0] * 3}, expected={HALF: 4})
    for _, outcome, reason in judged(results, "*: max_drop=1, min_accuracy=90, max_kv_bytes=1"):
        assert (outcome, reason) == ("not judged", "1 of 4 cases are missing")


def test_a_cell_with_failed_cases_is_not_judged_and_says_how_many_failed() -> None:
    errors = [CaseError(HALF, "s003", "no such image")]
    results = run_of({STOCK: [1.0] * 4, HALF: [1.0] * 3}, expected={HALF: 4}, errors=errors)
    assert judged(results, "*: max_drop=1, category=digit")[0] == (
        "divprune@0.5 category=digit max_drop=1",
        "not judged",
        "1 of 4 cases are missing, 1 of them failed with an error",
    )


def test_the_point_rule_judges_no_incomplete_cell_either() -> None:
    results = run_of({STOCK: [1.0] * 4, HALF: [0.0] * 3}, expected={HALF: 4})
    assert judged(results, "*: max_drop=1, rule=point")[0][1] == "not judged"


def test_a_cell_without_all_its_stock_partners_has_its_accuracy_judged_but_not_the_drop() -> None:
    results = run_of({STOCK: [1.0] * 39, HALF: [1.0] * 40}, expected={STOCK: 40})
    drop, share, accuracy = judged(results, "*: max_drop=1, min_retained=0.5, min_accuracy=90")
    assert drop[1:] == share[1:] == ("not judged", "1 of its 40 samples have no stock measurement")
    assert accuracy[1] == "pass"


def test_a_cell_without_any_stock_cell_has_no_drop() -> None:
    assert judged(run_of({HALF: [1.0] * 4}), "*: max_drop=1")[0][1:] == (
        "not judged",
        "4 of its 4 samples have no stock measurement",
    )


def test_a_dataset_without_answers_is_not_judged() -> None:
    results = run_of({STOCK: [None] * 2, HALF: [None] * 2})
    assert judged(results, "*: max_drop=1")[0][1:] == ("not judged", "dataset probes has no answers to score by")


def test_nothing_of_an_interrupted_run_is_judged() -> None:
    results = run_of({STOCK: [1.0] * 2, HALF: [0.0] * 2}, interrupted=True)
    assert [found[1:] for found in judged(results, "*: max_drop=1, max_kv_bytes=1", "*: max_drop=1, rule=point")] == [
        ("not judged", "the run was interrupted")
    ] * 3


def test_nothing_of_a_shard_is_judged() -> None:
    results = run_of({STOCK: [1.0] * 2, HALF: [0.0] * 2})
    assert judged(results, "*: max_drop=1", shard="2/3")[0][1:] == (
        "not judged",
        "this is shard 2/3: merge the shards first",
    )


def test_a_cell_of_which_nothing_was_selected_is_not_judged() -> None:
    results = run_of({STOCK: [1.0] * 2, HALF: []})
    assert judged(results, "*: max_drop=1", samples=2)[0][1:] == (
        "not judged",
        "only 0 of its 2 cases were selected",
    )


def test_a_cell_of_which_a_part_was_selected_is_not_judged() -> None:
    results = run_of({STOCK: [1.0] * 2, HALF: [1.0] * 2})
    assert judged(results, "*: max_drop=1", samples=200)[0][1:] == (
        "not judged",
        "only 2 of its 200 cases were selected",
    )


def test_a_skipped_cell_is_not_judged_beside_cells_that_are() -> None:
    results = run_of({STOCK: [1.0] * 2, HALF: [1.0] * 2}, skipped=(SkippedCell(QUARTER, "it has no encoder"),))
    verdicts = verdicts_of(results, "*: max_drop=100, min_accuracy=0")
    assert [(v.name, v.outcome) for v in verdicts] == [
        ("divprune@0.5 max_drop=100", "pass"),
        ("divprune@0.5 min_accuracy=0", "pass"),
        ("divprune@0.25 max_drop=100", "not judged"),
        ("divprune@0.25 min_accuracy=0", "not judged"),
    ]
    assert verdicts[-1].reason == "not run: it has no encoder"


def test_skipped_cells_of_several_models_are_told_apart() -> None:
    skipped = tuple(SkippedCell(Cell(model, "probes", "fps", 0.5), "why") for model in ("a", "b"))
    results = Results(manifest(), (), {}, (), skipped=skipped)
    assert [v.name for v in verdicts_of(results, "fps@0.5: max_drop=1")] == [
        "a/probes/fps@0.5 max_drop=1",
        "b/probes/fps@0.5 max_drop=1",
    ]
