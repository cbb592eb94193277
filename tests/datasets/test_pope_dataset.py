"""POPE from a parquet file of its published schema: three categories that share images and are drawn together."""

from __future__ import annotations

from pathlib import Path

import pytest
from datasets import Features, Image, Value
from hub_tables import Table, cut_groups
from published_rows import Rows, encoded

from pytest_vtc.datasets.base import DatasetError
from pytest_vtc.datasets.pope import Pope

TEXT = Value("string")
TABLE = Table(
    Pope(),
    Features(id=TEXT, question_id=TEXT, question=TEXT, answer=TEXT, image_source=TEXT, image=Image(), category=TEXT),
    "data/test-00000-of-00001.parquet",
)
SHORT = "Answer the question using a single word or phrase."


def questions(category: str, images: int = 1) -> Rows:
    rows: Rows = []
    for n in range(images):
        for thing, answer in (("dog", "yes"), (f"{category} thing", "no")):
            number = len(rows) + 1
            rows.append(
                {
                    "id": str(number),
                    "question_id": str(number),
                    "question": f"Is there a {thing} in the image?",
                    "answer": answer,
                    "image_source": f"COCO_val2014_{n:012d}",
                    "image": encoded(f"#00{n:02x}00", "JPEG"),
                    "category": category,
                }
            )
    return rows


def every_category(images: int = 1) -> Rows:
    return [row for category in ("adversarial", "popular", "random") for row in questions(category, images)]


@pytest.mark.parametrize("style", [None, "llava"])
def test_prompt_asks_for_a_word(tmp_path: Path, style: str | None) -> None:
    sample = TABLE.fetched(tmp_path, questions("random"), style)[0]
    assert sample.prompt == f"Is there a dog in the image?\n{SHORT}"


@pytest.mark.parametrize("style", ["official", "vlmevalkit"])
def test_official_prompt_is_the_published_question(tmp_path: Path, style: str) -> None:
    assert TABLE.fetched(tmp_path, questions("random"), style)[0].prompt == "Is there a dog in the image?"


def test_questions_that_the_categories_share_have_ids_of_their_own(tmp_path: Path) -> None:
    samples = TABLE.fetched(tmp_path, every_category())
    assert [sample.id for sample in samples] == [
        *("adversarial-1", "adversarial-2", "popular-1", "popular-2", "random-1", "random-2")
    ]
    assert [sample.category for sample in samples] == ["adversarial"] * 2 + ["popular"] * 2 + ["random"] * 2
    assert [sample.answers for sample in samples] == [("yes",), ("no",)] * 3


def test_group_is_the_image_across_categories(tmp_path: Path) -> None:
    samples = TABLE.fetched(tmp_path, every_category(images=2))
    assert [sample.group[-1] for sample in samples] == ["0"] * 6 + ["1"] * 6
    assert len({str(image) for sample in samples for image in sample.images}) == 2


def test_draw_takes_every_question_on_an_image(tmp_path: Path) -> None:
    TABLE.fetched(tmp_path, every_category(images=5))
    assert cut_groups("pope", tmp_path, 15) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [({"answer": "unsure"}, "the answer is 'unsure'"), ({"category": "all"}, "the category is 'all'")],
)
def test_row_that_is_not_as_published_is_named(tmp_path: Path, change: dict[str, str], said: str) -> None:
    rows = questions("popular")
    rows[1] |= change
    with pytest.raises(DatasetError, match=rf"^pope, row 2 \(\w+ 2\): {said}"):
        TABLE.fetched(tmp_path, rows)
