"""Runs against each other: which samples changed, and what that says."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_vtc.cells import Cell, Measurement
from pytest_vtc.regression import judge
from pytest_vtc.run_comparison import CellComparison, Measured, compare_runs, unequal_answers
from pytest_vtc.run_differences import differences
from pytest_vtc.statistics import paired_difference, proportion_interval
from tests.run_of import HALF, QUARTER, STOCK, manifest, measured


def side(scores: dict[Cell, Sequence[float | None]], answers: dict[int, str] | None = None) -> Measured:
    return {
        cell: {
            (row := measured(cell, i, score, answer=(answers or {}).get(i, "seven"))).sample: row
            for i, score in enumerate(values)
        }
        for cell, values in scores.items()
    }


def compared(before: Sequence[float | None], after: Sequence[float | None]) -> CellComparison:
    (cell,) = compare_runs(side({HALF: before}), side({HALF: after}), [(HALF, HALF)])
    return cell


@given(st.lists(st.sampled_from([0.0, 1.0, 0.3]), min_size=1, max_size=12))
@settings(max_examples=15, deadline=None)
def test_a_run_against_itself_has_no_flips_and_passes_any_limit(scores: list[float]) -> None:
    cell = compared(scores, scores)
    assert (cell.flips, cell.n, cell.only_before, cell.only_after) == ((), len(scores), 0, 0)
    assert [judge("half", cell, limit, 1).outcome for limit in (None, 0.0, 1.0)] == ["pass"] * 3


def test_a_cell_is_compared_on_the_samples_of_both() -> None:
    cell = compared([1.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0])
    assert (cell.n_before, cell.n_after, cell.n, cell.only_before, cell.only_after) == (4, 3, 3, 1, 0)
    assert cell.versus is not None
    assert cell.versus.difference_pp == paired_difference([1, 0, 1], [0, 0, 1]).scaled(100)
    assert cell.accuracy_before == proportion_interval([1.0, 0.0, 1.0])
    assert cell.accuracy_after == proportion_interval([0.0, 0.0, 1.0])


def test_every_kind_of_flip_is_told_apart() -> None:
    before = side({HALF: [0.0, 1.0, 0.0, 1.0, 0.0, None]})
    after = side({HALF: [1.0, 0.0, 0.0, 1.0, 0.0, None]}, {2: "eight", 3: "7", 5: "else"})
    before[HALF]["s005"] = replace(before[HALF]["s005"], parsed=None)  # type: ignore[index]
    (cell,) = compare_runs(before, after, [(HALF, HALF)])
    assert [(flip.after.sample, flip.kind) for flip in cell.flips] == [
        ("s000", "gained"),
        ("s001", "lost"),
        ("s002", "wrong_otherwise"),
        ("s003", "other_answer"),
        ("s005", "other_answer"),
    ]


def test_flips_agree_with_the_counts_of_the_comparison() -> None:
    rng = random.Random(1)
    before, after = ([float(rng.random() < 0.6) for _ in range(80)] for _ in range(2))
    cell = compared(before, after)
    assert cell.versus is not None
    assert cell.versus.flips is not None
    kinds = [flip.kind for flip in cell.flips]
    assert (kinds.count("gained"), kinds.count("lost")) == (cell.versus.flips.gained, cell.versus.flips.lost)


def test_the_order_of_measurements_before_does_not_matter() -> None:
    scores = {HALF: [1.0, 0.0, 0.3, 1.0, 0.7]}
    before, after = side({HALF: [0.0, 1.0, 0.1, 1.0, 0.9]}), side(scores)
    mixed = {HALF: dict(random.Random(2).sample(list(before[HALF].items()), 5))}
    assert compare_runs(mixed, after, [(HALF, HALF)]) == compare_runs(before, after, [(HALF, HALF)])


def test_p_is_corrected_over_all_cells() -> None:
    before = side({HALF: [1.0] * 20, QUARTER: [1.0] * 20})
    after = side({HALF: [0.0] * 7 + [1.0] * 13, QUARTER: [0.0] * 9 + [1.0] * 11})
    half, quarter = compare_runs(before, after, [(HALF, HALF), (QUARTER, QUARTER)])
    assert half.versus is not None
    assert half.p_holm == pytest.approx(half.versus.p)  # the larger of the two
    assert quarter.versus is not None
    assert quarter.p_holm == pytest.approx(2 * (quarter.versus.p or 0))


def test_samples_that_expect_other_answers_are_found() -> None:
    before, after = side({HALF: [1.0, 1.0]}), side({HALF: [1.0, 1.0]})
    after[HALF]["s001"] = replace(after[HALF]["s001"], expected=("eight",))  # type: ignore[index]
    assert unequal_answers(before, after, [(HALF, HALF)]) == {"probes": ["s001"]}


# The rule


def flipped(n: int, lost: int, gained: int = 0) -> CellComparison:
    before = [1.0] * lost + [0.0] * gained + [1.0] * (n - lost - gained)
    return compared(before, [0.0] * lost + [1.0] * gained + [1.0] * (n - lost - gained))


def test_a_limit_is_held_against_the_whole_interval_of_the_loss() -> None:
    few, many, some = flipped(400, 2), flipped(400, 60), flipped(400, 8)
    assert [judge("x", cell, 5.0, 1).outcome for cell in (few, many)] == ["pass", "fail"]
    undecided = judge("x", some, 2.5, 1)
    assert undecided.outcome == "inconclusive"
    assert undecided.n_needed is not None
    assert undecided.n_needed > 400
    assert f"about {undecided.n_needed:,} samples would decide it" in undecided.reason


def test_without_a_limit_only_a_significant_loss_fails() -> None:
    assert judge("x", flipped(400, 3), None, 1).outcome == "pass"
    assert judge("x", flipped(400, 60), None, 1).outcome == "fail"
    assert judge("x", flipped(400, 0, 60), None, 1).outcome == "pass"
    corrected = replace(flipped(400, 60), p_holm=0.06)
    assert judge("x", corrected, None, 9).outcome == "pass"


def test_a_verdict_carries_the_loss_and_is_named_by_its_rule() -> None:
    cell = flipped(400, 60)
    limited, plain = judge("divprune@0.5", cell, 1.0, 1), judge("divprune@0.5", cell, None, 1)
    assert (limited.name, plain.name) == ("divprune@0.5 max_regression=1", "divprune@0.5 no_regression")
    assert (limited.estimate, limited.limit, limited.condition) == (pytest.approx(15.0), 1.0, "max_regression")
    assert limited.low is not None
    assert limited.high is not None
    assert limited.low < 15 < limited.high


def test_samples_of_one_image_decide_nothing_where_one_changed() -> None:
    def rows(scores: Sequence[float]) -> dict[Cell, dict[str, Measurement]]:
        return {HALF: {f"s{i:03d}": measured(HALF, i, score, group="one") for i, score in enumerate(scores)}}

    (cell,) = compare_runs(rows([1.0, 1.0]), rows([0.0, 1.0]), [(HALF, HALF)])
    assert [judge("x", cell, limit, 1).outcome for limit in (None, 5.0)] == ["inconclusive"] * 2


def test_answers_without_scores_are_judged_only_where_none_changed() -> None:
    before = side({STOCK: [None, None]})
    (same,) = compare_runs(before, before, [(STOCK, STOCK)])
    (other,) = compare_runs(before, side({STOCK: [None, None]}, {1: "else"}), [(STOCK, STOCK)])
    assert judge("stock", same, 1.0, 1).outcome == "pass"
    verdict = judge("stock", other, 1.0, 1)
    assert (verdict.outcome, verdict.reason[:25]) == ("not judged", "1 of 2 answers changed; d")


# Settings


def told(**changes: object) -> list[str]:
    before, after = manifest(), manifest()
    for path, value in changes.items():
        *keys, last = path.split("__")
        node = after
        for key in keys:
            node = node[key]  # type: ignore[literal-required]
        node[last] = value  # type: ignore[literal-required]
    return [("! " if d.forbids else "") + str(d) for d in differences(before, after, [("tiny", "tiny")], ["probes"])]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seed": 1}, "! seed: 0 -> 1"),
        ({"models__tiny__dtype": "bfloat16"}, "! model tiny: dtype: float32 -> bfloat16"),
        ({"models__tiny__revision": "ab"}, "! model tiny: revision: none -> ab"),
        ({"models__tiny__quantization": "4bit"}, "! model tiny: quantization: none -> 4bit"),
        ({"models__tiny__attention": "eager"}, "! model tiny: attention: sdpa -> eager"),
        ({"models__tiny__positions": "original"}, "! model tiny: positions: compact -> original"),
        ({"datasets__probes__scoring": "soft"}, "! dataset probes: scoring: exact_match -> soft"),
        ({"datasets__probes__max_new_tokens": 4}, "! dataset probes: max_new_tokens: 8 -> 4"),
        (
            {"datasets__probes__fingerprint": "1f"},
            "! dataset probes: samples, prompts or expected answers: 0f -> 1f",
        ),
        (
            {"datasets__probes__judge": {"model": "gpt", "prompt": "ab", "own_words": True}},
            "! dataset probes: the judge's model: none -> gpt",
        ),
        (
            {"datasets__probes__judge": {"model": "gpt", "prompt": "ab", "own_words": True}},
            "! dataset probes: the judge's prompt: none -> ab",
        ),
        ({"settings__answers": "letters"}, "! answers: none -> letters"),
        ({"pytest_vtc": "0.2.0"}, "pytest_vtc: 0.1.0 -> 0.2.0"),
        ({"settings__batch_size": 4}, "batch_size: none -> 4"),
        ({"compressors__divprune__source_hash": "cd"}, "compressor divprune: source_hash: ab12 -> cd"),
        ({"versions__python": "3.12.0"}, "versions: python: 3.11.7 -> 3.12.0"),
        ({"hardware__n_cpus": 4}, "hardware: n_cpus: 2 -> 4"),
        ({"git__commit": "beef"}, "git: commit: c0ffee -> beef"),
        ({"git": None}, "git: commit: c0ffee -> none"),
    ],
)
def test_what_differs_is_told_and_what_changes_every_answer_forbids(changes: dict[str, object], said: str) -> None:
    assert said in told(**changes)


@pytest.mark.parametrize("changes", [{"settings__ratios": [0.5]}, {"settings__n": 100}, {"run__seconds": 3.0}])
def test_which_cells_there_are_and_when_they_ran_is_no_difference(changes: dict[str, object]) -> None:
    assert told(**changes) == []


def test_fewer_samples_of_the_same_data_are_no_difference() -> None:
    before, after = manifest(), manifest()
    after["datasets"]["probes"] = {**after["datasets"]["probes"], "n": 100, "fingerprint": "1f"}
    assert differences(before, after, [("tiny", "tiny")], ["probes"]) == []


def test_models_called_differently_may_differ() -> None:
    before, after = manifest(), manifest()
    after["models"]["other"] = {**after["models"]["tiny"], "dtype": "bfloat16"}
    found = differences(before, after, [("tiny", "other")], ["probes"])
    assert [str(d) for d in found] == ["model: tiny -> other", "model other: dtype: float32 -> bfloat16"]
    assert not any(d.forbids for d in found)
