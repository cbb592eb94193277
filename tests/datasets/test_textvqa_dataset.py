"""TextVQA from a parquet file of its published schema: prompts of three harnesses, with and without OCR tokens."""

from __future__ import annotations

from typing import Any

import pytest
from datasets import Features, Image, List, Value
from published_rows import FetchRows, contents, encoded

from pytest_vtc.datasets.base import DatasetError
from pytest_vtc.datasets.textvqa import TextVqa

TEXT, NUMBER = Value("string"), Value("int32")
FEATURES = Features(
    image_id=TEXT, question_id=NUMBER, question=TEXT, question_tokens=List(TEXT), image=Image(), image_width=NUMBER,
    image_height=NUMBER, flickr_original_url=TEXT, flickr_300k_url=TEXT, answers=List(TEXT), image_classes=List(TEXT),
    set_name=TEXT, ocr_tokens=List(TEXT),
)  # fmt: skip
GIVEN = ["nokia"] * 6 + ["NOKIA", "Nokia phone", "", "unanswerable"]


def textvqa_row(question_id: int, **changes: Any) -> dict[str, Any]:
    return {
        "image_id": "003a8ae2ef43b901",
        "question_id": question_id,
        "question": "what is the brand of this USB phone?",
        "question_tokens": ["what", "is"],
        "image": encoded((0, 9, 9, 0), "JPEG", mode="CMYK", size=(1024, 768)),
        "image_width": 1024,
        "image_height": 768,
        "flickr_original_url": "",
        "flickr_300k_url": "",
        "answers": GIVEN,
        "image_classes": ["Telephone"],
        "set_name": "val",
        "ocr_tokens": ["NOKIA", "3310"],
        **changes,
    }


@pytest.mark.parametrize(
    ("style", "prompt"),
    [
        (None, "What is the brand of this usb phone?\nAnswer the question using a single word or phrase."),
        ("vlmevalkit", "what is the brand of this USB phone?\nAnswer the question using a single word or phrase."),
        (
            "llava",
            "what is the brand of this USB phone?\nReference OCR token: NOKIA, 3310\n"
            "Answer the question using a single word or phrase.",
        ),
    ],
)
def test_prompts(fetch_rows: FetchRows, style: str | None, prompt: str) -> None:
    (sample,) = fetch_rows(TextVqa(), [textvqa_row(34602)], FEATURES, style)
    assert sample.prompt == prompt


def test_image_without_ocr_tokens(fetch_rows: FetchRows) -> None:
    (sample,) = fetch_rows(TextVqa(), [textvqa_row(1, ocr_tokens=[])], FEATURES, "llava")
    assert sample.prompt.splitlines()[1] == "Reference OCR token: "


def test_sample_has_all_answers_and_the_original_image(fetch_rows: FetchRows) -> None:
    row = textvqa_row(34602)
    (sample,) = fetch_rows(TextVqa(), [row], FEATURES)
    assert (sample.id, sample.answers, sample.group) == ("34602", tuple(GIVEN), "003a8ae2ef43b901")
    assert contents(sample) == [row["image"]["bytes"]]
    image = sample.images[0].open()
    assert (image.mode, image.size) == ("RGB", (1024, 768))


def test_answers_that_are_not_as_published_name_the_row(fetch_rows: FetchRows) -> None:
    with pytest.raises(DatasetError, match=r"textvqa, row 2 \(8\): it has 2 answers, where 10 people"):
        fetch_rows(TextVqa(), [textvqa_row(7), textvqa_row(8, answers=["a", "b"])], FEATURES)


def test_null_question_names_the_row(fetch_rows: FetchRows) -> None:
    with pytest.raises(DatasetError, match=r"textvqa, row 1 \(7\): question is None"):
        fetch_rows(TextVqa(), [textvqa_row(7, question=None)], FEATURES)
