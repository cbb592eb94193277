"""MMMU from a parquet file of its published schema: both kinds of question, options as literals, images in order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import Features, Image, Value
from hub_tables import Table, contents
from published_rows import encoded

from pytest_vtc.datasets.base import DatasetError
from pytest_vtc.datasets.mmmu import Mmmu

TEXT = Value("string")
TABLE = Table(
    Mmmu(),
    Features(
        id=TEXT, question=TEXT, options=TEXT, explanation=TEXT, **{f"image_{k}": Image() for k in range(1, 8)},
        img_type=TEXT, answer=TEXT, topic_difficulty=TEXT, question_type=TEXT, subfield=TEXT,
    ),
    "data/validation-00000-of-00001.parquet",
)  # fmt: skip


def row(n: int, subject: str = "Art_Theory", **changes: Any) -> dict[str, Any]:
    return {
        "id": f"validation_{subject}_{n}",
        "question": "Which is older? <image 1>",
        "options": "['left', 'right']",
        "explanation": "",
        **{f"image_{k}": None for k in range(1, 8)},
        "image_1": encoded("red"),
        "img_type": "['Paintings']",
        "answer": "B",
        "topic_difficulty": "Easy",
        "question_type": "multiple-choice",
        "subfield": "Art Theory",
        **changes,
    }


def open_row(n: int, answer: str) -> dict[str, Any]:
    return row(n, question="What is <image 1>?", question_type="open", options="[]", answer=answer)


@pytest.mark.parametrize(
    ("style", "asks"),
    [
        (
            "lmms",
            "Which is older? <image 1>\nA. left\nB. right\n\n"
            "Answer with the option's letter from the given choices directly.",
        ),
        (
            "official",
            "Which is older? <image 1>\n(A) left\n(B) right\n\n"
            "Answer with the option's letter from the given choices directly.",
        ),
    ],
)
def test_prompt_of_multiple_choice(tmp_path: Path, style: str, asks: str) -> None:
    (sample,) = TABLE.fetched(tmp_path, [row(1)], style)
    assert sample.prompt == asks
    assert (sample.answers, sample.options) == (("B",), ("left", "right"))


@pytest.mark.parametrize(
    ("style", "asks"),
    [
        ("lmms", "What is <image 1>?\n\nAnswer the question using a single word or phrase."),
        ("official", "What is <image 1>?\nAnswer the question using a single word or phrase."),
    ],
)
def test_prompt_of_an_open_question(tmp_path: Path, style: str, asks: str) -> None:
    (sample,) = TABLE.fetched(tmp_path, [open_row(1, "24/7")], style)
    assert sample.prompt == asks
    assert (sample.answers, sample.options) == (("24/7",), ())


def test_open_answer_that_is_the_literal_of_a_list_is_all_of_its_entries(tmp_path: Path) -> None:
    (sample,) = TABLE.fetched(tmp_path, [open_row(1, "['8.4', '8.40 V']")])
    assert sample.answers == ("8.4", "8.40 V")


def test_options_are_read_as_python_literals(tmp_path: Path) -> None:
    (sample,) = TABLE.fetched(tmp_path, [row(1, options='["It\'s \\"A\\"", \'b\', "1,200"]', answer="C")])
    assert sample.options == ('It\'s "A"', "b", "1,200")


def test_category_is_the_subject(tmp_path: Path) -> None:
    samples = TABLE.fetched(tmp_path, [row(1), row(2, "Diagnostics_and_Laboratory_Medicine")])
    assert [sample.category for sample in samples] == ["Art_Theory", "Diagnostics_and_Laboratory_Medicine"]


def test_images_come_by_number_and_those_of_the_solution_do_not(tmp_path: Path) -> None:
    cells = {
        "image_1": encoded("red"),
        "image_2": encoded(7, mode="P"),
        "image_3": encoded((0, 9, 9, 0), "JPEG", mode="CMYK"),
        "image_5": encoded("teal", "WEBP"),
    }
    (sample,) = TABLE.fetched(
        tmp_path, [row(1, **cells, question="See <image 3>.", options="['<image 5>', '<image 2>']")]
    )
    assert contents(sample) == [cells[f"image_{k}"]["bytes"] for k in (2, 3, 5)]
    assert {image.open().mode for image in sample.images} == {"RGB"}


def test_subjects_may_be_configurations_of_their_own(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for subject in ("Biology", "Art_Theory"):
        for split in ("dev", "validation", "test"):
            table = Table(TABLE.dataset, TABLE.features, f"{subject}/{split}-00000-of-00001.parquet")
            table.publish(source, [row(1, subject) | {"id": f"{split}_{subject}_1"}])
    TABLE.dataset.fetch(tmp_path, source, lambda _: None)
    ids = {sample.id for sample in TABLE.dataset.load(tmp_path)}
    assert ids == {"validation_Biology_1", "validation_Art_Theory_1"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"options": "['unclosed"}, "the options are no Python literal"),
        ({"options": "[]"}, "expected a list of 2 to 12 options"),
        ({"answer": "C"}, "the answer is 'C', not the letter of one of 2 options"),
        ({"question_type": "essay"}, "the question type is 'essay'"),
        ({"question_type": "open", "answer": ""}, "it has no answer"),
        ({"question": "See <image 2>."}, "the text mentions <image 2>, but image_2 is null"),
        ({"question": "?", "image_1": None}, "it has no image"),
    ],
)
def test_row_that_is_not_as_published_is_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(DatasetError, match=rf"^mmmu, row 2 \(validation_Art_Theory_2\).*: {said}"):
        TABLE.fetched(tmp_path, [row(1), row(2, **change)])


def test_id_without_a_subject_names_the_row(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"^mmmu, row 1 \(17\): its id names no subject"):
        TABLE.fetched(tmp_path, [row(1, id="17")])
