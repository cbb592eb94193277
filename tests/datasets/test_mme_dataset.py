"""MME from a parquet file of its published schema: prompts of every style, pairs that are never cut."""

from __future__ import annotations

from pathlib import Path

import pytest
from datasets import Features, Image, Value
from hub_tables import Table, cut_groups
from published_rows import Rows, encoded

from pytest_vtc.datasets.base import DatasetError
from pytest_vtc.datasets.mme import Mme

TEXT = Value("string")
TABLE = Table(
    Mme(),
    Features(question_id=TEXT, image=Image(), question=TEXT, answer=TEXT, category=TEXT),
    "data/test-00000-of-00001.parquet",
)


def pair(n: int, category: str = "existence") -> Rows:
    image = {"question_id": f"{category}/{n:03d}.jpg", "image": encoded(f"#0000{n:02x}", "JPEG"), "category": category}
    return [
        {**image, "question": f"Is there a {thing}? Please answer yes or no.", "answer": answer}
        for thing, answer in (("dog", "Yes"), ("cat", "No"))
    ]


@pytest.mark.parametrize("style", [None, "lmms", "llava"])
def test_prompt_has_the_short_answer_ending_instead_of_the_official_one(tmp_path: Path, style: str | None) -> None:
    first, second = TABLE.fetched(tmp_path, pair(1), style)
    assert first.prompt == "Is there a dog?\nAnswer the question using a single word or phrase."
    assert second.prompt == "Is there a cat?\nAnswer the question using a single word or phrase."


@pytest.mark.parametrize("style", ["official", "vlmevalkit"])
def test_official_prompt_is_the_published_question(tmp_path: Path, style: str) -> None:
    assert TABLE.fetched(tmp_path, pair(1), style)[0].prompt == "Is there a dog? Please answer yes or no."


def test_second_blank_before_the_official_ending_stays_as_with_lmms(tmp_path: Path) -> None:
    rows = pair(1)
    rows[0]["question"] = " Is it a dog?  Please answer yes or no."
    assert TABLE.fetched(tmp_path, rows)[0].prompt == (
        "Is it a dog? \nAnswer the question using a single word or phrase."
    )


def test_two_questions_on_an_image_are_a_group_with_ids_of_their_own(tmp_path: Path) -> None:
    samples = TABLE.fetched(tmp_path, [*pair(1), *pair(2, "OCR")])
    assert [sample.group for sample in samples] == ["existence/001.jpg"] * 2 + ["OCR/002.jpg"] * 2
    assert [sample.category for sample in samples] == ["existence"] * 2 + ["OCR"] * 2
    assert [sample.answers for sample in samples] == [("yes",), ("no",)] * 2
    assert len({sample.id for sample in samples}) == 4
    assert samples[0].images == samples[1].images


def test_draw_takes_both_questions_on_an_image(tmp_path: Path) -> None:
    TABLE.fetched(tmp_path, [row for n in range(1, 6) for row in pair(n)])
    assert cut_groups("mme", tmp_path, 5) == []


def test_answer_that_is_neither_names_the_row(tmp_path: Path) -> None:
    rows = pair(1)
    rows[1]["answer"] = "maybe"
    with pytest.raises(DatasetError, match=r"^mme, row 2 \(existence/001.jpg\): the answer is 'maybe'"):
        TABLE.fetched(tmp_path, rows)
