"""AI2D from a parquet file of its published schema: options in a list, answers by index in a string."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import Features, Image, List, Value
from hub_tables import Table, contents
from published_rows import encoded

from pytest_vtc.datasets.ai2d import Ai2d
from pytest_vtc.datasets.base import DatasetError

TEXT = Value("string")
FEATURES = Features(question=TEXT, options=List(TEXT), answer=TEXT, image=Image())
TABLE = Table(Ai2d(), FEATURES, "data/test-00000-of-00001.parquet")


def row(**changes: Any) -> dict[str, Any]:
    return {
        "question": "Which eats grass?",
        "options": ["fox", "hare", "owl", "hawk"],
        "answer": "1",
        "image": encoded("red"),
        **changes,
    }


@pytest.mark.parametrize(
    ("style", "asks"),
    [
        (
            "lmms",
            "Which eats grass?\nA. fox\nB. hare\nC. owl\nD. hawk\n"
            "Answer with the option's letter from the given choices directly.",
        ),
        (
            "vlmevalkit",
            "Question: Which eats grass?\nOptions:\nA. fox\nB. hare\nC. owl\nD. hawk\n"
            "Please select the correct answer from the options above. \n",
        ),
    ],
)
def test_prompt_has_options_and_asks_for_a_letter(tmp_path: Path, style: str, asks: str) -> None:
    assert TABLE.fetched(tmp_path, [row()], style)[0].prompt == asks


@pytest.mark.parametrize(("answer", "letter"), [("0", "A"), ("3", "D"), ("C", "C")])
def test_answer_is_the_letter_of_its_index(tmp_path: Path, answer: str, letter: str) -> None:
    assert TABLE.fetched(tmp_path, [row(answer=answer)])[0].answers == (letter,)


def test_answer_that_is_a_number_is_read_as_the_same(tmp_path: Path) -> None:
    drifted = Table(TABLE.dataset, Features({**FEATURES, "answer": Value("int64")}), TABLE.file)
    assert drifted.fetched(tmp_path, [row(answer=0)])[0].answers == ("A",)


def test_options_that_are_a_literal_are_read_as_the_same(tmp_path: Path) -> None:
    drifted = Table(TABLE.dataset, Features({**FEATURES, "options": TEXT}), TABLE.file)
    (sample,) = drifted.fetched(tmp_path, [row(options="['fox', 'hare']")])
    assert sample.options == ("fox", "hare")


def test_same_question_on_two_images_is_two_samples(tmp_path: Path) -> None:
    samples = TABLE.fetched(tmp_path, [row(), row(image=encoded("blue"))])
    assert [sample.id for sample in samples] == ["test-1", "test-2"]


def test_palette_image_is_kept_byte_for_byte(tmp_path: Path) -> None:
    cell = encoded(9, mode="P")
    (sample,) = TABLE.fetched(tmp_path, [row(image=cell)])
    assert contents(sample) == [cell["bytes"]]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"answer": "4"}, "the answer is '4', not the index of one of 4 options"),
        ({"answer": "fox"}, "the answer is 'fox'"),
        ({"options": None}, "expected a list of options"),
    ],
)
def test_row_that_is_not_as_published_is_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(DatasetError, match=rf"^ai2d, row 2: {said}"):
        TABLE.fetched(tmp_path, [row(), row(**change)])
