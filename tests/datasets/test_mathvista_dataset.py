"""MathVista from a parquet file of its published schema: its own prompts and lmms-eval's, facts for the rule."""

from __future__ import annotations

from typing import Any

import pytest
from datasets import Features, Image, List, Value
from published_rows import FetchRows, contents, encoded

from pytest_vtc.datasets.base import DatasetError
from pytest_vtc.datasets.mathvista import MathVista
from pytest_vtc.scoring import rule

TEXT, NUMBER = Value("string"), Value("int64")
METADATA = {
    "category": TEXT, "context": TEXT, "grade": TEXT, "img_height": NUMBER, "img_width": NUMBER, "language": TEXT,
    "skills": List(TEXT), "source": TEXT, "split": TEXT, "task": TEXT,
}  # fmt: skip
FEATURES = Features(
    pid=TEXT, question=TEXT, image=TEXT, decoded_image=Image(), choices=List(TEXT), unit=TEXT,
    precision=Value("float64"), answer=TEXT, question_type=TEXT, answer_type=TEXT, metadata=METADATA, query=TEXT,
)  # fmt: skip
QUERY = (
    "Hint: Please answer the question and provide the correct option letter, e.g., A, B, C, D, at the end.\n"
    "Question: Find x.\nChoices:\n(A) 135°\n(B) 145°"
)


def choice(pid: int, **changes: Any) -> dict[str, Any]:
    metadata: dict[str, Any] = dict.fromkeys(METADATA) | {"task": "geometry problem solving", "skills": ["algebra"]}
    return {
        "pid": str(pid),
        "question": "Find x.",
        "image": f"images/{pid}.jpg",
        "decoded_image": encoded("white", "JPEG", size=(131, 60)),
        "choices": ["135°", "145°"],
        "unit": None,
        "precision": None,
        "answer": "145°",
        "question_type": "multi_choice",
        "answer_type": "text",
        "metadata": metadata,
        "query": QUERY,
        **changes,
    }


def number(answer: str, form: str, precision: float | None = None, **changes: Any) -> dict[str, Any]:
    free = {"choices": None, "question_type": "free_form", "answer_type": form, "precision": precision}
    return choice(2, **free, answer=answer, query=f"Hint: ({form})\nQuestion: Find x.", **changes)


def test_prompt_is_the_query_column(fetch_rows: FetchRows) -> None:
    row = choice(3)
    (sample,) = fetch_rows(MathVista(), [row], FEATURES)
    assert sample.prompt == QUERY
    assert (sample.id, sample.answers, sample.options) == ("3", ("145°",), ("135°", "145°"))
    assert sample.category == "geometry problem solving"
    assert contents(sample) == [row["decoded_image"]["bytes"]]


@pytest.mark.parametrize(
    ("row", "prompt"),
    [
        (choice(1), "Find x.\nA. 135°\nB. 145°\nAnswer with the option's letter from the given choices directly."),
        (number("4", "integer"), "Find x.\nAnswer the question using a single integer number."),
        (
            number("4", "integer", unit="g"),
            "Find x. (Unit: g)\nAnswer the question using a single integer number.",
        ),
        (
            number("1.2", "float", 1.0),
            "Find x.\nAnswer the question using a single floating-point number with one decimal place.",
        ),
        (
            number("1.25", "float", 2.0),
            "Find x.\nAnswer the question using a single floating-point number with two decimal places.",
        ),
        (number("[2014, 2016]", "list"), "Find x.\nAnswer the question using a Python list."),
    ],
)
def test_lmms_eval_asks_for_the_bare_answer(fetch_rows: FetchRows, row: dict[str, Any], prompt: str) -> None:
    (sample,) = fetch_rows(MathVista(), [row], FEATURES, "lmms")
    assert sample.prompt == prompt


@pytest.mark.parametrize(
    ("row", "facts", "prediction"),
    [
        (choice(1), {"question_type": "multi_choice", "answer_type": "text"}, "(B)"),
        (number("4", "integer"), {"question_type": "free_form", "answer_type": "integer"}, "4.0"),
        (
            number("1.2", "float", 1.0),
            {"question_type": "free_form", "answer_type": "float", "precision": "1"},
            "1.21",
        ),
        (
            number("4", "integer", float("nan")),
            {"question_type": "free_form", "answer_type": "integer"},
            "4",
        ),
    ],
)
def test_rule_knows_the_form_of_the_answer(
    fetch_rows: FetchRows, row: dict[str, Any], facts: dict[str, str], prediction: str
) -> None:
    (sample,) = fetch_rows(MathVista(), [row], FEATURES)
    assert sample.facts == facts
    assert rule(MathVista.scoring).score(prediction, sample.answers, sample.options, sample.facts).value == 1


@pytest.mark.parametrize(
    ("row", "error"),
    [
        (choice(2, answer="A"), "the answer 'A' of a multi_choice question, whose choices are"),
        (choice(2, answer=None), "answer is None"),
        (number("1.234", "float", 3.0), "an answer of type 'float' with a precision of 3.0"),
    ],
)
def test_what_is_not_as_published_names_the_row(fetch_rows: FetchRows, row: dict[str, Any], error: str) -> None:
    with pytest.raises(DatasetError, match=rf"mathvista, row 2 \(2\): {error}"):
        fetch_rows(MathVista(), [choice(1), row], FEATURES)
