"""ScienceQA-IMG from a parquet file of its published schema: hints, choices, answers by index."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import Features, Image, List, Value
from hub_tables import Table, contents
from published_rows import encoded

from pytest_vtc.datasets.base import DatasetError, Draw
from pytest_vtc.datasets.scienceqa import ScienceQaImage

TEXT = Value("string")
FEATURES = Features(
    image=Image(), question=TEXT, choices=List(TEXT), answer=Value("int8"), hint=TEXT, task=TEXT, grade=TEXT,
    subject=TEXT, topic=TEXT, category=TEXT, skill=TEXT, lecture=TEXT, solution=TEXT,
)  # fmt: skip
TABLE = Table(ScienceQaImage(), FEATURES, "ScienceQA-IMG/test-00000-of-00001.parquet")


def row(**changes: Any) -> dict[str, Any]:
    return {
        "image": encoded("red"),
        "question": "Which is a solid?",
        "choices": ["water", "ice", "steam"],
        "answer": 1,
        "hint": "",
        "task": "closed choice",
        "grade": "grade2",
        "subject": "natural science",
        "topic": "physics",
        "category": "Matter",
        "skill": "Classify",
        "lecture": "",
        "solution": "",
        **changes,
    }


LETTERED = (
    "Which is a solid?\nA. water\nB. ice\nC. steam\nAnswer with the option's letter from the given choices directly."
)
TEMPLATE = (
    "Question: Which is a solid?\nOptions:\nA. water\nB. ice\nC. steam\n"
    "Please select the correct answer from the options above. \n"
)


@pytest.mark.parametrize(("style", "asks"), [("lmms", LETTERED), ("llava", LETTERED), ("vlmevalkit", TEMPLATE)])
@pytest.mark.parametrize("hint", ["", None])
def test_prompt_without_a_hint(tmp_path: Path, style: str, asks: str, hint: str | None) -> None:
    assert TABLE.fetched(tmp_path, [row(hint=hint)], style)[0].prompt == asks


@pytest.mark.parametrize(
    ("style", "asks"),
    [
        ("lmms", f"Context: Look at it.\n{LETTERED}"),
        ("llava", f"Context: Look at it.\n{LETTERED}"),
        ("vlmevalkit", f"Hint: Look at it.\n{TEMPLATE}"),
    ],
)
def test_prompt_with_a_hint(tmp_path: Path, style: str, asks: str) -> None:
    assert TABLE.fetched(tmp_path, [row(hint="Look at it.")], style)[0].prompt == asks


def test_answer_is_the_letter_of_its_index(tmp_path: Path) -> None:
    samples = TABLE.fetched(tmp_path, [row(answer=0), row(answer=2)])
    assert [sample.answers for sample in samples] == [("A",), ("C",)]
    assert samples[0].options == ("water", "ice", "steam")
    assert samples[0].category == "natural science"


@pytest.mark.parametrize("answer", ["1", "B", 1.0])
def test_answer_of_another_type_is_read_as_the_same(tmp_path: Path, answer: str | float) -> None:
    kind = TEXT if isinstance(answer, str) else Value("float64")
    drifted = Table(TABLE.dataset, Features({**FEATURES, "answer": kind}), TABLE.file)
    assert drifted.fetched(tmp_path, [row(answer=answer)])[0].answers == ("B",)


def test_same_question_on_two_images_is_two_samples(tmp_path: Path) -> None:
    samples = TABLE.fetched(tmp_path, [row(), row(image=encoded("blue"))])
    assert [sample.id for sample in samples] == ["test-1", "test-2"]
    assert samples[0].group != samples[1].group


def test_sample_has_the_same_id_in_a_part_of_the_dataset(tmp_path: Path) -> None:
    rows = [row(question=f"Which is no. {n}?") for n in range(1, 9)]
    ids = {sample.prompt: sample.id for sample in TABLE.fetched(tmp_path / "whole", rows)}
    part = TABLE.fetched(tmp_path / "part", rows, draw=Draw(3, seed=0))
    assert len(part) == 3
    assert {sample.prompt: sample.id for sample in part}.items() <= ids.items()


def test_questions_on_one_image_are_a_group(tmp_path: Path) -> None:
    first, second = TABLE.fetched(tmp_path, [row(), row(question="And which is wet?")])
    assert first.group == second.group


def test_images_are_kept_byte_for_byte(tmp_path: Path) -> None:
    cells = [encoded(3, mode="P"), encoded((9, 0, 0, 9), "JPEG", mode="CMYK"), encoded("red", mode="RGBA")]
    samples = TABLE.fetched(tmp_path, [row(image=cell) for cell in cells])
    assert [contents(sample) for sample in samples] == [[cell["bytes"]] for cell in cells]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"answer": 3}, "the answer is 3, not the index of one of 3 options"),
        ({"answer": -1}, "the answer is -1"),
        ({"choices": ["one"]}, "expected a list of choices"),
        ({"image": None}, r"\(test-2\): it has no image"),
    ],
)
def test_row_that_is_not_as_published_is_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(DatasetError, match=rf"^scienceqa, row 2.*{said}"):
        TABLE.fetched(tmp_path, [row(), row(**change)])
