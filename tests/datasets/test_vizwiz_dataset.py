"""VizWiz from a parquet file of its published schema: the prompt that allows "Unanswerable", answers in two codings."""

from __future__ import annotations

from typing import Any

import pytest
from datasets import Features, Image, List, Value
from published_rows import FetchRows, encoded

from pytest_vtc.datasets.base import DatasetError
from pytest_vtc.datasets.vizwiz import VizWiz

TEXT = Value("string")
FEATURES = Features(question_id=TEXT, image=Image(), question=TEXT, answers=List(TEXT), category=TEXT)
OF_OBJECTS = Features(FEATURES | {"answers": List({"answer": TEXT, "answer_confidence": TEXT})})
GIVEN = ["unanswerable", "chicken soup", "unsuitable", "unanswerable", "soup", *["unanswerable"] * 5]
ENDING = (
    "When the provided information is insufficient, respond with 'Unanswerable'.\n"
    "Answer the question using a single word or phrase."
)


def vizwiz_row(n: int, **changes: Any) -> dict[str, Any]:
    return {
        "question_id": f"VizWiz_val_{n:08d}",
        "image": encoded("gray", "JPEG", size=(968, 1296)),
        "question": "Ok. There is another picture I hope it is better.",
        "answers": GIVEN,
        "category": "unanswerable",
        **changes,
    }


@pytest.mark.parametrize(
    ("style", "question"),
    [
        (None, "Ok. there is another picture i hope it is better."),
        ("llava", "Ok. There is another picture I hope it is better."),
    ],
)
def test_prompts(fetch_rows: FetchRows, style: str | None, question: str) -> None:
    (sample,) = fetch_rows(VizWiz(), [vizwiz_row(0)], FEATURES, style)
    assert sample.prompt == f"{question}\n{ENDING}"
    assert (sample.id, sample.category, sample.answers) == ("VizWiz_val_00000000", "unanswerable", tuple(GIVEN))


def test_answers_may_be_objects(fetch_rows: FetchRows) -> None:
    answers = [{"answer": answer, "answer_confidence": "no"} for answer in GIVEN]
    (sample,) = fetch_rows(VizWiz(), [vizwiz_row(1, answers=answers)], OF_OBJECTS)
    assert sample.answers == tuple(GIVEN)


def test_question_may_be_inaudible(fetch_rows: FetchRows) -> None:
    (sample,) = fetch_rows(VizWiz(), [vizwiz_row(1, question="")], FEATURES)
    assert sample.prompt == f"\n{ENDING}"


def test_hidden_answers_of_test_are_recognised(fetch_rows: FetchRows) -> None:
    with pytest.raises(DatasetError, match=r"vizwiz, row 2 \(VizWiz_val_00000002\): it has no answers"):
        fetch_rows(VizWiz(), [vizwiz_row(1), vizwiz_row(2, answers=[])], FEATURES)
