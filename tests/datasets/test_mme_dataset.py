"""MME from a parquet file of its published schema: prompts of both styles, pairs that are never cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import Features, Image, Value
from published_rows import encoded

from pytest_vtc.datasets.base import DatasetError, Sample
from pytest_vtc.datasets.mme import Mme

TEXT = Value("string")
FEATURES = Features(question_id=TEXT, image=Image(), question=TEXT, answer=TEXT, category=TEXT)


def pair(n: int, category: str = "existence") -> list[dict[str, Any]]:
    image = {"question_id": f"{category}/{n:03d}.jpg", "image": encoded(f"#0000{n:02x}", "JPEG"), "category": category}
    return [
        {**image, "question": f"Is there a {thing}? Please answer yes or no.", "answer": answer}
        for thing, answer in (("dog", "Yes"), ("cat", "No"))
    ]


@pytest.fixture
def fetched(tmp_path: Path, publish: Any, said: list[str]) -> Any:
    def fetch(rows: list[dict[str, Any]], style: str | None = None) -> list[Sample]:
        publish(tmp_path / "source" / "data" / "test-00000-of-00001.parquet", rows, FEATURES)
        Mme().fetch(tmp_path, tmp_path / "source", said.append)
        return list(Mme().load(tmp_path, style))

    return fetch


def test_prompt_has_the_short_answer_ending_instead_of_the_official_one(fetched: Any) -> None:
    first, second = fetched(pair(1))
    assert first.prompt == "Is there a dog?\nAnswer the question using a single word or phrase."
    assert (first.answers, second.answers) == (("yes",), ("no",))
    assert (first.group, first.category) == ("existence/001.jpg", "existence")
    assert first.images == second.images


def test_official_prompt_is_the_published_question(fetched: Any) -> None:
    assert fetched(pair(1), "official")[0].prompt == "Is there a dog? Please answer yes or no."


def test_answer_that_is_neither_names_the_row(fetched: Any) -> None:
    rows = pair(1)
    rows[1]["answer"] = "maybe"
    with pytest.raises(DatasetError, match=r"mme, row 2 \(existence/001.jpg\): the answer is 'maybe'"):
        fetched(rows)
