"""Published figures of the judged datasets."""

from __future__ import annotations

import pytest

from pytest_vtc.scoring.published import Answered, metric


def answered(score: float, parsed: str | None = None, category: str = "", **facts: str) -> Answered:
    return Answered("q", score, parsed, category=category, facts=facts)


def test_mm_vet_is_the_mean_grade_in_all_and_of_each_capability() -> None:
    rows = [answered(1.0, capability="rec,ocr"), answered(0.5, capability="rec"), answered(0.0, capability="math")]
    assert metric("mm_vet").figures(rows) == {"total": 50.0, "rec": 75.0, "ocr": 100.0, "math": 0.0}


def test_llava_bench_is_the_ratio_of_the_mean_grades_and_not_the_mean_of_their_ratios() -> None:
    rows = [answered(0.8, "10 8", "conv"), answered(0.6, "5 6", "detail")]
    figures = metric("llava_bench").figures(rows)
    assert figures == pytest.approx({"overall": 100 * 14 / 15, "conv": 80.0, "detail": 120.0})


def test_an_answer_without_grades_counts_nothing_and_its_reference_is_left_out() -> None:
    rows = [answered(0.8, "8 8", "conv"), answered(0.0, None, "conv")]
    assert metric("llava_bench").figures(rows) == {"overall": 50.0, "conv": 50.0}


def test_an_unreadable_reply_that_is_read_to_the_letter_counts_minus_1_in_both_means() -> None:
    rows = [answered(0.8, "9 8", "conv"), answered(0.0, "-1 -1", "conv")]
    assert metric("llava_bench").figures(rows)["overall"] == pytest.approx(100 * 7 / 8)


@pytest.mark.parametrize("parsed", [None, "0 5", "nan 5", "cat", "1 2 3"])
def test_without_any_reference_grade_there_is_no_relative_score(parsed: str | None) -> None:
    assert metric("llava_bench").figures([answered(0.5, parsed, "conv")]) == {}


def test_mia_bench_is_the_mean_share_in_all_and_of_each_kind_of_part() -> None:
    rows = [
        answered(0.9, "0.75 1 0.9", kinds="describe,length_limit"),
        answered(0.5, "0.25 0.5", kinds="describe"),
    ]
    assert metric("mia_bench").figures(rows) == {"total": 70.0, "describe": 50.0, "length_limit": 100.0}


def test_of_two_parts_of_one_kind_the_later_counts() -> None:
    assert metric("mia_bench").figures([answered(0.5, "0 1 0.5", kinds="mention,mention")])["mention"] == 100.0


@pytest.mark.parametrize("parsed", [None, "cat"])
def test_an_answer_without_points_counts_nothing_in_each_of_its_kinds(parsed: str | None) -> None:
    rows = [answered(0.0, parsed, kinds="describe,math"), answered(1.0, "1 1", kinds="describe")]
    assert metric("mia_bench").figures(rows) == {"total": 50.0, "describe": 50.0, "math": 0.0}


@pytest.mark.parametrize("name", ["mm_vet", "llava_bench", "mia_bench"])
def test_what_a_table_shows_comes_first_and_in_its_order(name: str) -> None:
    kinds = "describe,mention"
    rows = [answered(0.5, "8 5", category, capability="rec,math", kinds=kinds) for category in ("complex", "conv")]
    figures, headings = metric(name).figures(rows), metric(name).headings
    assert headings[0] in figures
    assert figures.keys() <= {*headings}
