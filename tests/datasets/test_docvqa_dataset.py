"""DocVQA from a parquet file of its published schema: prompt, large pages, questions on one page together."""

from __future__ import annotations

from typing import Any

import pytest
from datasets import Features, Image, List, Value
from published_rows import FetchRows, contents, encoded

from pytest_vtc.datasets.base import DatasetError
from pytest_vtc.datasets.docvqa import DocVqa

TEXT = Value("string")
FEATURES = Features(
    questionId=TEXT, question=TEXT, question_types=List(TEXT), image=Image(), docId=Value("int64"),
    ucsf_document_id=TEXT, ucsf_document_page_no=TEXT, answers=List(TEXT), data_split=TEXT,
)  # fmt: skip
PAGE = encoded(240, mode="L", size=(1700, 2200))


def doc_row(question_id: int, **changes: Any) -> dict[str, Any]:
    return {
        "questionId": str(question_id),
        "question": "What is the ‘actual’ value per 1000, during the year 1975?",
        "question_types": ["figure/diagram"],
        "image": PAGE,
        "docId": 14465,
        "ucsf_document_id": "pybv0228",
        "ucsf_document_page_no": "81",
        "answers": ["0.28", ".28"],
        "data_split": "val",
        **changes,
    }


@pytest.mark.parametrize("style", [None, "vlmevalkit"])
def test_prompts(fetch_rows: FetchRows, style: str | None) -> None:
    (sample,) = fetch_rows(DocVqa(), [doc_row(49153)], FEATURES, style)
    assert sample.prompt == (
        "What is the ‘actual’ value per 1000, during the year 1975?\nAnswer the question using a single word or phrase."
    )
    assert (sample.id, sample.answers, sample.category) == ("49153", ("0.28", ".28"), "figure/diagram")


def test_pages_stay_as_large_as_they_are(fetch_rows: FetchRows) -> None:
    (sample,) = fetch_rows(DocVqa(), [doc_row(1)], FEATURES)
    assert contents(sample) == [PAGE["bytes"]]
    assert sample.images[0].open().size == (1700, 2200)


def test_questions_on_one_page_are_one_group(fetch_rows: FetchRows) -> None:
    rows = [doc_row(1), doc_row(2, ucsf_document_page_no="82", image=encoded("white")), doc_row(3)]
    samples = fetch_rows(DocVqa(), rows, FEATURES)
    assert [(sample.id, sample.group) for sample in samples] == [
        ("1", "pybv0228_81"),
        ("3", "pybv0228_81"),
        ("2", "pybv0228_82"),
    ]
    assert samples[0].images == samples[1].images


def test_question_of_several_types_has_a_category_of_its_own(fetch_rows: FetchRows) -> None:
    (sample,) = fetch_rows(DocVqa(), [doc_row(1, question_types=["form", "handwritten"])], FEATURES)
    assert sample.category == "several"


@pytest.mark.parametrize("answers", [None, [], [" "]])
def test_hidden_answers_name_the_row(fetch_rows: FetchRows, answers: list[str] | None) -> None:
    with pytest.raises(DatasetError, match=r"docvqa, row 2 \(6\): it has no answer"):
        fetch_rows(DocVqa(), [doc_row(5), doc_row(6, answers=answers)], FEATURES)
