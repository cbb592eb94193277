"""ChartQA from a parquet file of its published schema: two prompts, two kinds of questions."""

from __future__ import annotations

from typing import Any

import pytest
from datasets import Features, Image, Value
from published_rows import FetchRows, contents, encoded

from pytest_vtc.datasets.base import DatasetError
from pytest_vtc.datasets.chartqa import ChartQa

TEXT = Value("string")
FEATURES = Features(type=TEXT, question=TEXT, answer=TEXT, image=Image())


def chart_row(**changes: Any) -> dict[str, Any]:
    return {
        "type": "human_test",
        "question": "How many food item is shown in the bar graph?",
        "answer": "14",
        "image": encoded("white", mode="RGBA", size=(850, 600)),
        **changes,
    }


@pytest.mark.parametrize(
    ("style", "ending"),
    [
        (None, "Answer the question with a single word."),
        ("vlmevalkit", "Answer the question using a single word or phrase."),
    ],
)
def test_prompts(fetch_rows: FetchRows, style: str | None, ending: str) -> None:
    (sample,) = fetch_rows(ChartQa(), [chart_row()], FEATURES, style)
    assert sample.prompt == f"How many food item is shown in the bar graph?\n{ending}"


def test_questions_of_people_and_of_the_machine_are_two_categories(fetch_rows: FetchRows) -> None:
    rows = [chart_row(), chart_row(type="augmented_test", answer="[Spain, Italy]")]
    samples = fetch_rows(ChartQa(), rows, FEATURES)
    assert [(sample.category, sample.answers) for sample in samples] == [
        ("human", ("14",)),
        ("augmented", ("[Spain, Italy]",)),
    ]


def test_rows_that_differ_in_their_chart_alone_are_two_samples(fetch_rows: FetchRows) -> None:
    rows = [chart_row(image=encoded(colour, mode="RGBA")) for colour in ("white", "gray")]
    samples = fetch_rows(ChartQa(), rows, FEATURES)
    assert [sample.id for sample in samples] == ["human-1", "human-2"]
    assert [contents(sample) for sample in samples] == [[row["image"]["bytes"]] for row in rows]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"type": "human_val"}, "its type is 'human_val', neither human_test nor augmented_test"),
        ({"answer": None}, "answer is None, which is no text"),
        ({"answer": " "}, "answer is ' ', which is no text"),
    ],
)
def test_what_is_not_as_published_names_the_row(fetch_rows: FetchRows, changes: dict[str, Any], error: str) -> None:
    with pytest.raises(DatasetError, match=f"chartqa, row 2: {error}"):
        fetch_rows(ChartQa(), [chart_row(), chart_row(**changes)], FEATURES)
