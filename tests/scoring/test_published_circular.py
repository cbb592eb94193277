"""CircularEval: what VLMEvalKit's own functions say, and which rows count how."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_vtc.scoring import rule
from pytest_vtc.scoring.published import Answered, metric
from tests.scoring.goldens import files, rows_of


def rotation(group: int, k: int, score: float, category: str = "") -> Answered:
    return Answered(
        f"{group}-{k}", score, None, category=category, group=str(group), facts={"rotation": str(k)} if k >= 0 else {}
    )


@pytest.mark.parametrize("file", files({"mmbench_circular_vlmevalkit"}))
def test_verdicts_are_the_originals(file: Path) -> None:
    read, wrong, every = rule("mcq_vlmevalkit"), [], list[Answered]()
    golden = rows_of(file)
    for number, row in enumerate(golden):
        scores = [
            read.score(prediction, [target], options).value
            for prediction, target, options in zip(row["prediction"], row["target"], row["options"], strict=True)
        ]
        rows = [rotation(number, k, score) for k, score in enumerate(scores)]
        figures = metric("circular").figures(rows)
        # What the golden files call vanilla is over all rotations.
        expected = {"circular": 100 * row["score"], "vanilla": 100 * scores[0], "vanilla_all": 100 * row["vanilla"]}
        if figures != pytest.approx(expected, abs=1e-6):
            wrong.append((row, figures))
        every += rows
    assert wrong == []
    overall = metric("circular").figures(every)["circular"]
    assert overall == pytest.approx(100 * sum(row["score"] for row in golden) / len(golden), abs=1e-6)


def test_question_counts_only_if_right_in_every_rotation() -> None:
    rows = [rotation(1, 0, 1), rotation(1, 1, 1), rotation(2, 0, 1), rotation(2, 1, 0), rotation(2, 2, 1)]
    assert metric("circular").figures(rows) == {"circular": 50, "vanilla": 100, "vanilla_all": 80}


def test_category_of_a_question_is_that_of_its_first_rotation() -> None:
    rows = [rotation(1, 0, 1, "emotion"), rotation(1, 1, 1, "style"), rotation(2, 0, 0, "style")]
    figures = metric("circular").figures(rows)
    assert (figures["emotion"], figures["style"]) == (100, 0)


def test_figures_of_a_category_never_replace_those_of_all() -> None:
    rows = [rotation(1, 0, 1, "circular"), rotation(2, 0, 0, "style")]
    assert metric("circular").figures(rows)["circular"] == 50


def test_question_without_its_first_rotation_does_not_count() -> None:
    rows = [rotation(1, 0, 0), rotation(2, 1, 1)]
    assert metric("circular").figures(rows)["circular"] == 0
    assert metric("circular").figures([rotation(2, 1, 1)]) == {}


def test_question_without_rotations_is_its_own_first() -> None:
    assert metric("circular").figures([rotation(1, -1, 1)])["circular"] == 100


def test_guesses_in_several_rotations_are_independent() -> None:
    assert metric("circular").figures([rotation(1, 0, 0.5), rotation(1, 1, 0.5)])["circular"] == 25


@given(st.lists(st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=4), min_size=1))
def test_circular_is_never_above_vanilla(groups: list[list[float]]) -> None:
    rows = [rotation(group, k, score) for group, scores in enumerate(groups) for k, score in enumerate(scores)]
    figures = metric("circular").figures(rows)
    assert 0 <= figures["circular"] <= figures["vanilla"] <= 100
