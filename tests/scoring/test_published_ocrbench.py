"""OCRBench's score, in right answers of the published thousand."""

from __future__ import annotations

import pytest

from pytest_vtc.scoring.published import Answered, metric
from pytest_vtc.scoring.published.ocrbench import _QUESTIONS, _RECOGNITION


def asked(kind: str, right: int, wrong: int) -> list[Answered]:
    return [Answered(sample="x", score=float(i < right), parsed="x", category=kind) for i in range(right + wrong)]


def test_all_thousand_questions_are_counted() -> None:
    rows = [row for kind, n in _QUESTIONS.items() for row in asked(kind, 17, n - 17)]
    figures = metric("ocrbench").figures(rows)
    assert len(rows) == 1000
    assert (figures["score"], figures["Text Recognition"]) == (170, pytest.approx(6 * 17))
    assert [figures[kind] for kind in _QUESTIONS] == pytest.approx([17] * len(_QUESTIONS))


def test_a_sample_is_scaled_to_the_published_number() -> None:
    figures = metric("ocrbench").figures(asked("Doc-oriented VQA", 3, 1))
    assert figures == {"score": 750, "Doc-oriented VQA": 150}


def test_recognition_is_summed_only_if_all_its_kinds_were_asked() -> None:
    rows = [row for kind in list(_RECOGNITION)[:-1] for row in asked(kind, 1, 0)]
    assert "Text Recognition" not in metric("ocrbench").figures(rows)
