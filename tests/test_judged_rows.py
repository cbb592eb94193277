"""What gates are held against: categories, seeds together, cells by name; and what is not judged at all."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from pytest_vtc.analysis import analyse
from pytest_vtc.cells import CaseError, Cell, Measurement, SkippedCell
from pytest_vtc.results import Results
from tests.run_of import HALF, QUARTER, STOCK, manifest, measured, of_seed, run_of, seeded
from tests.verdicts import judged, lost_and_gained, verdicts_of, with_kv

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
