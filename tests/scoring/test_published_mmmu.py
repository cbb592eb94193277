"""Instance-weighted accuracy: what MMMU's own function says, and its disciplines."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_vtc.scoring.published import Answered, metric
from pytest_vtc.scoring.published.mmmu import DISCIPLINES
from tests.scoring.goldens import files, rows_of


def answered(category: str, score: float, n: int = 1) -> list[Answered]:
    return [Answered(f"{category}-{k}", score, None, category=category) for k in range(n)]


@pytest.mark.parametrize("file", files({"mmmu_instance_acc"}))
def test_figures_are_the_originals(file: Path) -> None:
    wrong = []
    subjects = [subject for of_one in DISCIPLINES.values() for subject in of_one]
    for row in rows_of(file):
        # The accuracy of a subject, and how many instances it has: as many rows of that score.
        rows = [
            each
            for subject, accuracy, n in zip(subjects, row["prediction"], row["target"], strict=False)
            for each in answered(subject, accuracy, n)
        ]
        assert len(rows) == sum(row["target"])
        figure = metric("mmmu").figures(rows)["overall"]
        if figure != pytest.approx(100 * row["score"], abs=1e-6):
            wrong.append((row, figure))
    assert wrong == []


def test_discipline_is_over_the_instances_of_its_subjects() -> None:
    rows = answered("Art", 1) + answered("Art_Theory", 0, 3) + answered("Energy_and_Power", 1, 4)
    assert metric("mmmu").figures(rows) == {"overall": 62.5, "Art and Design": 25, "Tech and Engineering": 100}


def test_every_subject_is_of_one_discipline() -> None:
    subjects = [subject for of_one in DISCIPLINES.values() for subject in of_one]
    assert len(subjects) == len(set(subjects)) == 30


def test_other_categories_have_an_overall_figure_alone() -> None:
    assert metric("mmmu").figures(answered("digits", 1) + answered("", 0)) == {"overall": 50}
