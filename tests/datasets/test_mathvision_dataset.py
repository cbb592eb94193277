"""MATH-Vision from parquet files of its published schema: boxed answers, with options and without, two splits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import Features, Image, List, Value
from published_rows import FetchRows, contents, encoded

from pytest_vtc.datasets.base import DatasetError
from pytest_vtc.datasets.mathvision import MathVision, MathVisionTest

TEXT = Value("string")
FEATURES = Features(
    id=TEXT, question=TEXT, options=List(TEXT), image=TEXT, decoded_image=Image(), answer=TEXT, solution=TEXT,
    level=Value("int64"), subject=TEXT,
)  # fmt: skip
SOLVE = 'Please solve the problem step by step and put your answer in one "\\boxed{}".'
LETTERED = "Answer the question with the option's letter from the given choices directly."
ONE_LETTER = 'If it is a multiple choice question, only one letter is allowed in the "\\boxed{}".'


def problem(problem_id: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": str(problem_id),
        "question": "How many?\n<image1>",
        "options": [],
        "image": f"images/{problem_id}.jpg",
        "decoded_image": encoded("white", "JPEG"),
        "answer": "60",
        "solution": None,
        "level": 2,
        "subject": "arithmetic",
        **changes,
    }


CHOICE = {"options": ["1", "2", "4", "8", "x"], "answer": "D"}
IN_THE_PICTURE = {"options": list("ABCDE"), "answer": "D"}


@pytest.mark.parametrize(
    ("style", "changes", "prompt"),
    [
        (None, {}, f"{SOLVE}How many?\n<image1>"),
        (
            None,
            CHOICE,
            f"{SOLVE}How many?\n<image1>\nChoices: A. 1\nB. 2\nC. 4\nD. 8\nE. x\n{LETTERED}",
        ),
        (
            None,
            IN_THE_PICTURE,
            f"{SOLVE}How many?\n<image1>\nChoices: A. A\nB. B\nC. C\nD. D\nE. E\n{LETTERED}",
        ),
        ("official", {}, f"{SOLVE} {ONE_LETTER}\nHow many?\n<image1>\n"),
        (
            "official",
            CHOICE,
            f"{SOLVE} {ONE_LETTER}\nHow many?\n<image1>\n(A) 1\n(B) 2\n(C) 4\n(D) 8\n(E) x\n",
        ),
        ("official", IN_THE_PICTURE, f"{SOLVE} {ONE_LETTER}\nHow many?\n<image1>\n"),
    ],
)
def test_prompts(fetch_rows: FetchRows, style: str | None, changes: dict[str, Any], prompt: str) -> None:
    (sample,) = fetch_rows(MathVision(), [problem(1, **changes)], FEATURES, style)
    assert sample.prompt == prompt


def test_sample_has_the_letter_its_options_and_the_picture(fetch_rows: FetchRows) -> None:
    row = problem(4, **CHOICE)
    (sample,) = fetch_rows(MathVision(), [row], FEATURES)
    assert (sample.id, sample.answers, sample.options) == ("4", ("D",), ("1", "2", "4", "8", "x"))
    assert (sample.category, contents(sample)) == ("arithmetic", [row["decoded_image"]["bytes"]])


def test_options_may_be_what_python_writes(fetch_rows: FetchRows) -> None:
    rows = [problem(1, options="['a, b', \"it's\"]", answer="B"), problem(2, options="[]")]
    first, second = fetch_rows(MathVision(), rows, Features(FEATURES | {"options": TEXT}))
    assert (first.options, second.options) == (("a, b", "it's"), ())


@pytest.mark.parametrize("answer", ["F", "8", "AB"])
def test_answer_that_is_no_letter_of_an_option_names_the_row(fetch_rows: FetchRows, answer: str) -> None:
    rows = [problem(1), problem(2, options=CHOICE["options"], answer=answer)]
    with pytest.raises(DatasetError, match=rf"mathvision, row 2 \(2\): the answer is '{answer}', not one of .* A to E"):
        fetch_rows(MathVision(), rows, FEATURES)


def test_each_split_is_read_from_its_own_files(tmp_path: Path, publish: Any, said: list[str]) -> None:
    data = tmp_path / "source" / "data"
    publish(data / "test-00000-of-00001.parquet", [problem(n) for n in (1, 2, 3)], FEATURES)
    publish(data / "testmini-00000-of-00001.parquet", [problem(2)], FEATURES)
    ids: dict[str, list[str]] = {}
    for dataset in (MathVision(), MathVisionTest()):
        dataset.fetch(tmp_path, tmp_path / "source", said.append)
        ids[dataset.name] = [sample.id for sample in dataset.load(tmp_path)]
    assert ids == {"mathvision": ["2"], "mathvision_test": ["1", "2", "3"]}
