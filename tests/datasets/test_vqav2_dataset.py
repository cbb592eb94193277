"""VQAv2 from a parquet file of its published schema: prompt, ten answers, questions on one image together."""

from __future__ import annotations

from typing import Any

import pytest
from datasets import Features, Image, List, Value
from published_rows import FetchRows, Rows, contents, encoded

from pytest_vtc.datasets.base import DatasetError
from pytest_vtc.datasets.vqav2 import VqaV2
from pytest_vtc.scoring import rule

TEXT, NUMBER = Value("string"), Value("int64")
FEATURES = Features(
    question_type=TEXT, multiple_choice_answer=TEXT,
    answers=List({"answer": TEXT, "answer_confidence": TEXT, "answer_id": NUMBER}),
    image_id=NUMBER, answer_type=TEXT, question_id=NUMBER, question=TEXT, image=Image(),
)  # fmt: skip
GIVEN = ["net", "net", "net", "netting", "net", "net", "mesh", "net", "", "net"]
IMAGE = encoded("navy", "JPEG", size=(640, 480))


def vqa_row(question_id: int, **changes: Any) -> dict[str, Any]:
    answers = [
        {"answer": answer, "answer_confidence": "maybe", "answer_id": i} for i, answer in enumerate(GIVEN, start=1)
    ]
    return {
        "question_type": "what is this",
        "multiple_choice_answer": "net",
        "answers": answers,
        "image_id": 262148,
        "answer_type": "other",
        "question_id": question_id,
        "question": "Where is he looking?",
        "image": IMAGE,
        **changes,
    }


def test_prompt_is_the_question_and_the_short_answer_ending(fetch_rows: FetchRows) -> None:
    (sample,) = fetch_rows(VqaV2(), [vqa_row(262148000)], FEATURES)
    assert sample.prompt == "Where is he looking?\nAnswer the question using a single word or phrase."
    assert (sample.id, sample.category, sample.group) == ("262148000", "other", "262148")


def test_llavas_prompt_is_the_same(fetch_rows: FetchRows) -> None:
    (sample,) = fetch_rows(VqaV2(), [vqa_row(1)], FEATURES, "llava")
    assert sample.prompt == "Where is he looking?\nAnswer the question using a single word or phrase."


def test_all_ten_answers_count_one_by_one(fetch_rows: FetchRows) -> None:
    (sample,) = fetch_rows(VqaV2(), [vqa_row(1)], FEATURES)
    assert sample.answers == tuple(GIVEN)
    assert rule(VqaV2.scoring).score("mesh", sample.answers, ()).value == pytest.approx(0.3)


def test_questions_on_one_image_are_one_group_and_share_its_file(fetch_rows: FetchRows) -> None:
    other = encoded("lime", "JPEG")
    rows: Rows = [vqa_row(1), vqa_row(2, image_id=7, image=other), vqa_row(3)]
    samples = fetch_rows(VqaV2(), rows, FEATURES)
    assert [(sample.id, sample.group) for sample in samples] == [("1", "262148"), ("3", "262148"), ("2", "7")]
    assert samples[0].images == samples[1].images
    assert [contents(sample) for sample in samples] == [[IMAGE["bytes"]], [IMAGE["bytes"]], [other["bytes"]]]


def test_hidden_answers_name_the_row(fetch_rows: FetchRows) -> None:
    with pytest.raises(DatasetError, match=r"vqav2, row 2 \(12\): it has no answers"):
        fetch_rows(VqaV2(), [vqa_row(11), vqa_row(12, answers=None)], FEATURES)


def test_only_some_of_so_many_are_run_unless_asked_for() -> None:
    assert (VqaV2.default_n, VqaV2.size, VqaV2.split) == (5_000, 214_354, "validation")
