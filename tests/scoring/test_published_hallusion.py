"""HallusionBench's accuracy per answer, per figure and per question."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_vtc.scoring.published import Answered, metric
from tests.scoring.goldens import answered, files, rows_of


def of_index(index: str, subcategory: str) -> tuple[str, dict[str, str]]:
    """Category and facts of an index of VLMEvalKit's, such as VD_illusion_z_0_1_2."""
    part, *_, number, figure, question = index.split("_")
    return f"{part}/{subcategory}", {"set": number, "figure": figure, "question": question}


@pytest.mark.parametrize("file", files(["hallusion_aggregate_vlmevalkit"]))
def test_figures_are_the_originals(file: Path) -> None:
    for row in rows_of(file):
        placed = [of_index(index, sub) for index, sub in zip(row["index"], row["l2_category"], strict=True)]
        judged = answered(
            "yorn_vlmevalkit",
            row["prediction"],
            row["target"],
            categories=[category for category, _ in placed],
            facts=[facts for _, facts in placed],
        )
        figures = metric("hallusion").figures(judged)
        assert {key: figures[key] for key in row["score"]} == pytest.approx(row["score"], abs=1e-6)
        assert figures["mean"] == pytest.approx(sum(row["score"].values()) / 3)


def asked(category: str, figure: int, question: int, score: int) -> Answered:
    facts = {"set": "0", "figure": str(figure), "question": str(question)}
    return Answered(sample="x", score=score, parsed="Yes", category=category, facts=facts)


def test_a_question_is_right_if_it_is_for_all_its_figures() -> None:
    rows = [asked("VD/map", figure, question, question) for figure in (0, 1) for question in (0, 1)]
    figures = metric("hallusion").figures(rows)
    assert (figures["aAcc"], figures["fAcc"], figures["qAcc"], figures["mean"]) == (50, 0, 50, pytest.approx(100 / 3))


def test_every_part_of_a_category_has_figures_of_its_own() -> None:
    figures = metric("hallusion").figures([asked("VD/map", 0, 0, 1), asked("VS/map", 0, 1, 0)])
    assert (figures["VD/fAcc"], figures["VS/fAcc"], figures["map/fAcc"], figures["map/aAcc"]) == (100, 0, 0, 50)


def test_figures_that_need_unknown_facts_are_left_out() -> None:
    assert metric("hallusion").figures([Answered(sample="x", score=1, parsed="Yes")]) == {"aAcc": 100}
