"""MMStar from a parquet file of its published schema: options that stand in the question, kinds of abilities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import Features, Image, Value
from hub_tables import Table, contents
from published_rows import encoded

from pytest_vtc.datasets.base import DatasetError
from pytest_vtc.datasets.mmstar import MmStar

TEXT = Value("string")
TABLE = Table(
    MmStar(),
    Features(
        index=Value("int64"), question=TEXT, image=Image(), answer=TEXT, category=TEXT, l2_category=TEXT,
        meta_info={"source": TEXT, "split": TEXT, "image_path": TEXT},
    ),
    "mmstar.parquet",
)  # fmt: skip
IN_A_LINE = "What is it, mainly?\nOptions: A: a dog, a cat, B: the sea, C: 3: 4, D: none"
ON_LINES = (
    "Hint: Please answer the question and provide the correct option letter, e.g., A, B, C, D, at the end.\n"
    "Question: Is it split in half?\nChoices:\n(A) Yes\n(B) No\n(C) nan\n(D) nan"
)


def row(index: int, **changes: Any) -> dict[str, Any]:
    return {
        "index": index,
        "question": IN_A_LINE,
        "image": encoded("red", "JPEG"),
        "answer": "A",
        "category": "coarse perception",
        "l2_category": "image scene and topic",
        "meta_info": {"source": "made", "split": "val", "image_path": "1.jpg"},
        **changes,
    }


def test_prompt_is_the_question_and_asks_for_a_letter_without_a_full_stop(tmp_path: Path) -> None:
    (sample,) = TABLE.fetched(tmp_path, [row(0, question=f" {IN_A_LINE}\n")])
    assert sample.prompt == f"{IN_A_LINE}\nAnswer with the option's letter from the given choices directly"


@pytest.mark.parametrize(
    ("question", "options"),
    [
        (IN_A_LINE, ("a dog, a cat", "the sea", "3: 4", "none")),
        ("Which?\nOptions: A: Yes, B: No", ("Yes", "No")),
        (ON_LINES, ("Yes", "No")),
        ("Question: How high?\n(A) 54\n(B) 52\n(C) 56", ("54", "52", "56")),
    ],
)
def test_options_are_read_out_of_the_question(tmp_path: Path, question: str, options: tuple[str, ...]) -> None:
    (sample,) = TABLE.fetched(tmp_path, [row(0, question=question)])
    assert sample.options == options


def test_category_is_of_both_levels(tmp_path: Path) -> None:
    (sample,) = TABLE.fetched(tmp_path, [row(4)])
    assert (sample.id, sample.category) == ("4", "coarse perception/image scene and topic")


def test_image_is_kept_byte_for_byte(tmp_path: Path) -> None:
    cell = encoded((5, 4, 3, 2), "JPEG", mode="CMYK")
    assert contents(TABLE.fetched(tmp_path, [row(0, image=cell)])[0]) == [cell["bytes"]]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"answer": "E"}, "the answer is 'E', not the letter of one of 4 options"),
        ({"question": "What is it?"}, "no options are in the question"),
        ({"question": "Which?\nOptions: A: x, C: y"}, "no options are in the question"),
        ({"l2_category": None}, "l2_category is None"),
    ],
)
def test_row_that_is_not_as_published_is_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(DatasetError, match=rf"^mmstar, row 2 \(9\): {said}"):
        TABLE.fetched(tmp_path, [row(8), row(9, **change)])
