"""Normalisation of VQA answers: the three originals' texts, and where they part."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_vtc.scoring import vqa_text
from tests.scoring.goldens import files, name_of, rows_of

NORMALISATIONS = {
    "vqa_normalize_official": vqa_text.official,
    "vqa_normalize_evalai": vqa_text.evalai,
    "vqa_normalize_vlmevalkit": vqa_text.vlmevalkit,
}
texts = st.text() | st.lists(
    st.sampled_from(["The", "two", "dont", "1,000", "2.", ".5", "-", "/", ",", " ", "'s"])
).map("".join)


@pytest.mark.parametrize("file", files(NORMALISATIONS))
def test_texts_are_the_originals(file: Path) -> None:
    normalise = NORMALISATIONS[name_of(file)]
    assert [normalise(row["prediction"]) for row in rows_of(file)] == [row["normalized"] for row in rows_of(file)]


@pytest.mark.parametrize(
    ("text", "official", "evalai", "vlmevalkit"),
    [
        ("2.", "2", "2", "2."),
        ("the dog's bed", "dog's bed", "dog 's bed", "dog's bed"),
        ("red,blue", "red blue", "redblue", "red blue"),
        ("t-shirt", "t shirt", "t shirt", "t shirt"),
        ("- t-shirt", "tshirt", "tshirt", "tshirt"),
        ("1,000 t-shirts", "1000 tshirts", "1000 t shirts", "1000 tshirts"),
        ("the none", "0", "0", "0"),
        ("shouldnt've", "shouldn't've", "shouldn't've", "shouldn't've"),
        ("somebody'd", "somebodyd", "somebodyd", "somebodyd"),
    ],
)
def test_where_the_originals_agree_and_part(text: str, official: str, evalai: str, vlmevalkit: str) -> None:
    assert [normalise(text) for normalise in NORMALISATIONS.values()] == [official, evalai, vlmevalkit]


def test_no_more_full_stops_are_removed_than_the_originals_remove() -> None:
    assert vqa_text.official("a" + "." * 40) == "a" + "." * 8


@pytest.mark.parametrize("name", NORMALISATIONS)
@given(text=texts)
def test_normalised_text_has_neither_capitals_nor_articles_nor_needless_blanks(name: str, text: str) -> None:
    words = NORMALISATIONS[name](text).split(" ")
    assert not {"a", "an", "the"} & set(words)
    assert "" not in words or words == [""]
    assert [word.lower() for word in words] == words
