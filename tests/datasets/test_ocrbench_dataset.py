"""OCRBench from a parquet file of its published schema: questions alone, sources as facts, ids for rows without."""

from __future__ import annotations

from typing import Any

import pytest
from datasets import Features, Image, List, Value
from published_rows import FetchRows, contents, encoded

from pytest_vtc.datasets.base import DatasetError
from pytest_vtc.datasets.ocrbench import OcrBench
from pytest_vtc.scoring import rule

TEXT = Value("string")
FEATURES = Features(dataset=TEXT, question=TEXT, question_type=TEXT, answer=List(TEXT), image=Image())
FORMULA = "Please write out the expression of the formula in the image using LaTeX format."


def ocr_row(**changes: Any) -> dict[str, Any]:
    return {
        "dataset": "IIIT5K",
        "question": "what is written in the image?",
        "question_type": "Regular Text Recognition",
        "answer": ["CENTRE"],
        "image": encoded(7, mode="P"),
        **changes,
    }


def test_prompt_is_the_question_alone(fetch_rows: FetchRows) -> None:
    (sample,) = fetch_rows(OcrBench(), [ocr_row()], FEATURES)
    assert sample.prompt == "what is written in the image?"
    assert (sample.answers, sample.category) == (("CENTRE",), "Regular Text Recognition")
    assert sample.images[0].open().mode == "RGB"


@pytest.mark.parametrize(("style", "prompt"), [(None, "?"), ("official", " ?\n"), ("vlmevalkit", " ?\n")])
def test_only_lmms_eval_takes_blanks_off(fetch_rows: FetchRows, style: str | None, prompt: str) -> None:
    (sample,) = fetch_rows(OcrBench(), [ocr_row(question=" ?\n")], FEATURES, style)
    assert sample.prompt == prompt


def test_source_decides_how_formulas_are_compared(fetch_rows: FetchRows) -> None:
    row = ocr_row(dataset="HME100k", question=FORMULA, answer=["y _ { 2 } = - 1\n", "y_2 = - 1\n"])
    (sample,) = fetch_rows(OcrBench(), [row], FEATURES)
    assert sample.facts == {"dataset": "HME100k"}
    assert rule(OcrBench.scoring).score("y_2=-1", sample.answers, (), sample.facts).value == 1


def test_same_question_and_answer_on_two_images_are_two_samples(fetch_rows: FetchRows) -> None:
    rows = [ocr_row(dataset="WordArt", answer=["GOOD"], image=encoded(colour)) for colour in ("red", "blue")]
    first, second = fetch_rows(OcrBench(), rows, FEATURES)
    assert (first.id, second.id) == ("WordArt-1", "WordArt-2")
    assert [contents(first), contents(second)] == [[row["image"]["bytes"]] for row in rows]


def test_answer_may_be_a_single_text(fetch_rows: FetchRows) -> None:
    (sample,) = fetch_rows(OcrBench(), [ocr_row(answer="2016")], Features(FEATURES | {"answer": TEXT}))
    assert sample.answers == ("2016",)


def test_row_without_an_answer_is_named(fetch_rows: FetchRows) -> None:
    with pytest.raises(DatasetError, match="ocrbench, row 2: it has no answer"):
        fetch_rows(OcrBench(), [ocr_row(), ocr_row(answer=[])], FEATURES)
