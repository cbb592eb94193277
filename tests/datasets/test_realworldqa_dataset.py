"""RealWorldQA from a parquet file of its published schema: the question says how to answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import Features, Image, Value
from hub_tables import Table
from published_rows import encoded

from pytest_vtc.datasets.base import DatasetError
from pytest_vtc.datasets.realworldqa import RealWorldQa

TEXT = Value("string")
TABLE = Table(RealWorldQa(), Features(image=Image(), question=TEXT, answer=TEXT), "data/test-00000-of-00001.parquet")
ASKED = (
    "Which way is it?\n\nA. left\nB. right\n"
    "Please answer directly with only the letter of the correct option and nothing else.\n"
)


def row(**changes: Any) -> dict[str, Any]:
    return {"image": encoded("red", "WEBP"), "question": ASKED, "answer": "B", **changes}


@pytest.mark.parametrize(("style", "asks"), [("lmms", ASKED.strip()), ("official", ASKED)])
def test_prompt_is_the_published_question(tmp_path: Path, style: str, asks: str) -> None:
    assert TABLE.fetched(tmp_path, [row()], style)[0].prompt == asks


def test_answers_are_letters_or_words(tmp_path: Path) -> None:
    samples = TABLE.fetched(tmp_path, [row(), row(answer=" 3"), row(answer="Downhill")])
    assert [sample.answers for sample in samples] == [("B",), ("3",), ("Downhill",)]
    assert [sample.id for sample in samples] == ["test-1", "test-2", "test-3"]


@pytest.mark.parametrize("column", ["question", "answer"])
def test_null_names_the_row(tmp_path: Path, column: str) -> None:
    with pytest.raises(DatasetError, match=rf"^realworldqa, row 2: {column} is None"):
        TABLE.fetched(tmp_path, [row(), row(**{column: None})])
