"""Options and answers of multiple-choice rows, in every type that revisions write them in."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_vtc.datasets.base import DatasetError
from pytest_vtc.datasets.choices import letter, letter_at, letter_prompt, lines_of, options_in, present

FOUR = ("one", "two", "three", "four")


@pytest.mark.parametrize("value", [None, "", "  ", "nan", " nan", float("nan")])
def test_cell_that_holds_nothing(value: Any) -> None:
    assert present(value) is None


@pytest.mark.parametrize(
    ("value", "text"), [("None", "None"), (" a ", " a "), (0, "0"), (1.5, "1.5"), ("banana", "banana")]
)
def test_cell_that_holds_something_is_its_text(value: Any, text: str) -> None:
    assert present(value) == text


@given(st.integers(2, 26), st.data())
def test_index_is_read_whatever_its_type(n: int, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, n - 1))
    named = chr(ord("A") + place)
    options = [f"text {i}" for i in range(n)]
    assert {letter_at(value, options, "x") for value in (place, str(place), float(place), named, f" {named}\n")} == {
        named
    }


@pytest.mark.parametrize("value", [4, "4", -1, 0.5, "E", "", "AB", None, True, "one"])
def test_index_of_no_option_is_refused(value: Any) -> None:
    with pytest.raises(DatasetError, match=r"^here: the answer is "):
        letter_at(value, FOUR, "here")


@pytest.mark.parametrize("value", ["b", "B", " B "])
def test_letter_is_read_in_either_case(value: str) -> None:
    assert letter(value, FOUR, "here") == "B"


@pytest.mark.parametrize("value", [1, "1", "E", "", None, "(B)"])
def test_letter_of_no_option_is_refused(value: Any) -> None:
    with pytest.raises(DatasetError, match=r"^here: the answer is .*, not the letter of one of 4 options"):
        letter(value, FOUR, "here")


def test_empty_options_at_the_end_are_none() -> None:
    assert options_in({"A": "x", "B": "y", "C": "nan", "D": None}, "ABCD", "here") == ["x", "y"]


def test_empty_option_between_others_has_a_letter_and_no_line() -> None:
    options = options_in({"A": "x", "B": None, "C": "z"}, "ABC", "here")
    assert options == ["x", "nan", "z"]
    assert lines_of(options) == "A. x\nC. z"


def test_who_asks_as_llava_does_writes_empty_options_too() -> None:
    assert letter_prompt("Which ?", ["x", "", "nan"]).startswith("Which ?\nA. x\nB. \nC. nan\nAnswer with")
