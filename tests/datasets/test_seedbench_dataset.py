"""SEED-Bench and SEED-Bench-2-Plus from parquet files of their published schemas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import Features, Image, List, Value
from hub_tables import Table, contents
from published_rows import encoded

from pytest_vtc.datasets.base import DatasetError
from pytest_vtc.datasets.seedbench import SeedBench
from pytest_vtc.datasets.seedbench2_plus import SeedBench2Plus

TEXT = Value("string")
FEATURES = Features(
    answer=TEXT, choice_a=TEXT, choice_b=TEXT, choice_c=TEXT, choice_d=TEXT, data_id=TEXT, data_type=TEXT,
    question=TEXT, question_id=TEXT, question_type_id=Value("int16"), image=List(Image()), segment=List(Value("int64")),
)  # fmt: skip
TABLE = Table(SeedBench(), FEATURES, "data/test-00000-of-00001.parquet")
PLUS = Table(
    SeedBench2Plus(),
    Features(
        data_id=TEXT, question_id=TEXT, question_image_type=TEXT, question_image_subtype=TEXT, question=TEXT,
        choice_A=TEXT, choice_B=TEXT, choice_C=TEXT, choice_D=TEXT, answer=TEXT, data_source=TEXT, data_type=TEXT,
        level=TEXT, subpart=TEXT, version=TEXT, image=Image(),
    ),
    "data/test-00000-of-00001.parquet",
)  # fmt: skip


def row(number: int | str, **changes: Any) -> dict[str, Any]:
    return {
        "answer": "B",
        "choice_a": "One",
        "choice_b": "Two",
        "choice_c": "Three",
        "choice_d": "Four",
        "data_id": f"{number}_7",
        "data_type": "image",
        "question": "How many towels are there?",
        "question_id": str(number),
        "question_type_id": 5,
        "image": [encoded("red", "JPEG")],
        "segment": None,
        **changes,
    }


def video(number: int) -> dict[str, Any]:
    frames = [encoded(f"#0000{n:02x}", "JPEG") for n in range(8)]
    return row(f"v{number}", data_type="video", question_type_id=11, image=frames, segment=[648, 658])


def plus_row(number: int, **changes: Any) -> dict[str, Any]:
    return {
        **dict.fromkeys(PLUS.features, ""),
        "question_id": str(number),
        "question_image_type": "chart",
        "question": "Which bar is the highest?",
        **{f"choice_{letter}": text for letter, text in zip("ABCD", ("1990", "2000", "2010", "2020"), strict=True)},
        "answer": "D",
        "image": encoded("red"),
        **changes,
    }


LETTERED = (
    "How many towels are there?\nA. One\nB. Two\nC. Three\nD. Four\n"
    "Answer with the option's letter from the given choices directly."
)
TEMPLATE = (
    "Question: How many towels are there?\nOptions:\nA. One\nB. Two\nC. Three\nD. Four\n"
    "Please select the correct answer from the options above. \n"
)


@pytest.mark.parametrize(("style", "asks"), [("lmms", LETTERED), ("llava", LETTERED), ("vlmevalkit", TEMPLATE)])
def test_prompt_has_options_and_asks_for_a_letter(tmp_path: Path, style: str, asks: str) -> None:
    (sample,) = TABLE.fetched(tmp_path, [row(1)], style)
    assert sample.prompt == asks
    assert (sample.answers, sample.options) == (("B",), ("One", "Two", "Three", "Four"))


def test_questions_on_videos_are_left_out(tmp_path: Path) -> None:
    assert [sample.id for sample in TABLE.fetched(tmp_path, [video(1), row(1), video(2)])] == ["5-1"]


def test_category_is_the_name_of_the_kind(tmp_path: Path) -> None:
    samples = TABLE.fetched(tmp_path, [row(n, question_type_id=n) for n in (1, 3, 4, 9)])
    assert [sample.category for sample in samples] == [
        *("Scene Understanding", "Instance Attributes", "Instance Location", "Text Understanding")
    ]


def test_questions_of_two_kinds_may_have_the_same_id(tmp_path: Path) -> None:
    samples = TABLE.fetched(tmp_path, [row(4312, question_type_id=3), row(4312, question_type_id=9)])
    assert [sample.id for sample in samples] == ["3-4312", "9-4312"]


def test_group_is_the_image_by_its_name(tmp_path: Path) -> None:
    samples = TABLE.fetched(tmp_path, [row(1, data_id="7_7"), row(2, data_id="7_7"), row(3, data_id="8_8")])
    assert [sample.group for sample in samples] == ["7_7", "7_7", "8_8"]


def test_blanks_around_the_answer_do_not_matter(tmp_path: Path) -> None:
    assert TABLE.fetched(tmp_path, [row(1, answer="C ")])[0].answers == ("C",)


def test_image_in_its_list_is_kept_byte_for_byte(tmp_path: Path) -> None:
    cell = encoded((1, 2, 3, 4), "JPEG", mode="CMYK")
    (sample,) = TABLE.fetched(tmp_path, [row(1, image=[cell])])
    assert contents(sample) == [cell["bytes"]]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"answer": "E"}, "the answer is 'E', not the letter of one of 4 options"),
        ({"question_type_id": 10}, "the question type of an image is '10', none of 1 to 9"),
        (dict.fromkeys(("choice_b", "choice_c", "choice_d")), "expected two options or more in choice_a"),
        ({"image": []}, r".*it has no image"),
    ],
)
def test_row_that_is_not_as_published_is_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(DatasetError, match=rf"^seedbench, row 2 \((5-)?7\): {said}"):
        TABLE.fetched(tmp_path, [row(6), row(7, **change)])


@pytest.mark.parametrize(
    ("style", "asks"),
    [
        (
            "lmms",
            "Which bar is the highest?\nA. 1990\nB. 2000\nC. 2010\nD. 2020\n"
            "Answer with the option's letter from the given choices directly.",
        ),
        (
            "vlmevalkit",
            "Question: Which bar is the highest?\nOptions:\nA. 1990\nB. 2000\nC. 2010\nD. 2020\n"
            "Please select the correct answer from the options above. \n",
        ),
    ],
)
def test_plus_prompt_has_options_and_asks_for_a_letter(tmp_path: Path, style: str, asks: str) -> None:
    (sample,) = PLUS.fetched(tmp_path, [plus_row(1)], style)
    assert (sample.prompt, sample.answers, sample.category) == (asks, ("D",), "chart")


def test_plus_ids_are_of_the_type_of_image_and_the_number(tmp_path: Path) -> None:
    samples = PLUS.fetched(tmp_path, [plus_row(1), plus_row(1, question_image_type="Map")])
    assert [sample.id for sample in samples] == ["chart-1", "map-1"]


def test_plus_row_that_is_not_as_published_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"^seedbench2_plus, row 1 \(chart 1\): the answer is '1'"):
        PLUS.fetched(tmp_path, [plus_row(1, answer="1")])
