"""MME's score: both questions on an image, per category, summed."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_vtc.scoring.published import Answered, metric
from tests.scoring.goldens import answered, files, rows_of


def of_images(**images: list[tuple[int, ...]]) -> list[Answered]:
    """Rows of categories, each a list of images, each the scores of its questions."""
    return [
        Answered(sample=f"{category}{i}{q}", score=score, parsed="yes", category=category, group=f"{category}/{i}.png")
        for category, pairs in images.items()
        for i, pair in enumerate(pairs)
        for q, score in enumerate(pair)
    ]


@pytest.mark.parametrize("file", files(["mme_aggregate_lmms"]))
def test_figures_are_the_originals(file: Path) -> None:
    for row in rows_of(file):
        judged = answered(
            "mme_yesno_lmms",
            row["prediction"],
            row["target"],
            categories=row["categories"],
            groups=row["question_ids"],
        )
        figures = metric("mme").figures(judged)
        assert {name: figures[name.lower()] for name in row["score"]} == pytest.approx(row["score"], abs=1e-6)


def test_accuracy_plus_counts_images_of_which_both_questions_are_right() -> None:
    figures = metric("mme").figures(of_images(count=[(1, 1), (1, 0), (0, 0), (1, 0)]))
    assert (figures["count/acc"], figures["count/acc_plus"], figures["count"]) == (50, 25, 75)


def test_perception_and_cognition_are_sums_over_their_categories() -> None:
    figures = metric("mme").figures(of_images(OCR=[(1, 1)], scene=[(1, 0)], code_reasoning=[(1, 1)]))
    assert (figures["perception"], figures["cognition"], figures["sum"]) == (250, 200, 450)


def test_image_with_one_judged_question_is_left_out() -> None:
    assert metric("mme").figures(of_images(count=[(1,), (1, 0)]))["count"] == 50


def test_nothing_is_said_without_pairs() -> None:
    assert metric("mme").figures(of_images(count=[(1,), (1, 1, 1)])) == {}
