"""Mean over categories: what lmms-eval's own function says of MMStar."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_vtc.scoring.published import Answered, metric
from tests.scoring.goldens import files, rows_of


def answered(*rows: tuple[str, float]) -> list[Answered]:
    return [Answered(str(number), score, None, category=category) for number, (category, score) in enumerate(rows)]


@pytest.mark.parametrize("file", files({"mmstar_aggregate_lmms"}))
def test_figures_are_the_originals(file: Path) -> None:
    wrong = []
    for row in rows_of(file):
        rows = answered(*zip(row["target"], row["prediction"], strict=True))
        figure = metric("category_mean").figures(rows)["category_mean"]
        if figure != pytest.approx(100 * row["score"], abs=1e-6):
            wrong.append((row, figure))
    assert wrong == []


def test_each_category_counts_alike_however_large() -> None:
    figures = metric("category_mean").figures(answered(("a", 1), ("b", 0), ("b", 0), ("b", 1), ("b", 1)))
    assert figures == {"a": 100, "b": 50, "category_mean": 75}


def test_wider_category_is_the_mean_over_what_it_is_made_of() -> None:
    rows = answered(("math/geometry", 1), ("math/statistics", 0), ("math/statistics", 0), ("logic/code", 1))
    assert metric("category_mean").figures(rows) == {
        "math": 50,
        "math/geometry": 100,
        "math/statistics": 0,
        "logic": 100,
        "logic/code": 100,
        "category_mean": pytest.approx(200 / 3),
    }


def test_rows_without_a_category_are_one_without_a_name() -> None:
    assert metric("category_mean").figures(answered(("", 1), ("", 0), ("a", 1))) == {"a": 100, "category_mean": 75}
