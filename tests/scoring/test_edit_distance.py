"""Edit distance: equal to the table of distances, and quick."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_vtc.scoring.edit_distance import edit_distance


def by_the_table(left: str, right: str) -> int:
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        above, row = row, [i]
        for j, b in enumerate(right, 1):
            row.append(min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a != b)))
    return row[-1]


texts = st.text("ab ", max_size=12) | st.text(max_size=8) | st.text("ab", min_size=60, max_size=90)


@given(texts, texts)
def test_distance_is_that_of_the_table(left: str, right: str) -> None:
    assert edit_distance(left, right) == edit_distance(right, left) == by_the_table(left, right)


@pytest.mark.parametrize(("left", "right", "edits"), [("", "", 0), ("", "abc", 3), ("kitten", "sitting", 3)])
def test_known_distances(left: str, right: str, edits: int) -> None:
    assert edit_distance(left, right) == edits


def test_ramble_of_100_000_characters_takes_no_long_time() -> None:
    started = time.perf_counter()
    assert edit_distance("word " * 20_000, "a long answer " * 10) > 99_000
    assert time.perf_counter() - started < 5
