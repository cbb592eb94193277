"""Values in rows of published tables, as revisions of them write them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_vtc.datasets.base import DatasetError
from pytest_vtc.datasets.row_values import answers_of_people, expected, row_number, text, texts

WHERE = "some, row 2"
TEN = ["two", "2", "", "two", "three", "two", "2", "two", "two", "two"]


@pytest.mark.parametrize(
    "cell",
    [
        TEN,
        [{"answer": answer, "answer_confidence": "yes", "answer_id": i} for i, answer in enumerate(TEN, 1)],
        {"answer": TEN, "answer_confidence": ["yes"] * 10},
        str(TEN),
        str([{"answer": answer, "answer_confidence": "maybe"} for answer in TEN]),
    ],
)
def test_ten_answers_in_their_order_whatever_they_are_coded_as(cell: Any) -> None:
    assert answers_of_people({"answers": cell}, "answers", WHERE) == TEN


@pytest.mark.parametrize("cell", [None, [], {}, "[]", "two", {"answers": TEN}])
def test_hidden_answers_are_said_to_be(cell: Any) -> None:
    with pytest.raises(DatasetError, match=r"^some, row 2: it has no answers .* of test splits are hidden"):
        answers_of_people({"answers": cell}, "answers", WHERE)


def test_people_that_are_not_ten_are_an_error() -> None:
    with pytest.raises(DatasetError, match=r"^some, row 2: it has 9 answers, where 10 people gave one each"):
        answers_of_people({"answers": TEN[1:]}, "answers", WHERE)


@pytest.mark.parametrize("odd", [None, {"text": "two"}, ["two"], True])
def test_an_answer_without_text_is_an_error(odd: Any) -> None:
    with pytest.raises(DatasetError, match=r"^some, row 2: one of the answers is .* holds no text"):
        answers_of_people({"answers": [*TEN[1:], odd]}, "answers", WHERE)


@given(st.lists(st.text()))
def test_lists_are_read_from_what_python_would_write(entries: list[str]) -> None:
    assert texts({"options": entries}, "options", WHERE) == entries
    assert texts({"options": repr(entries)}, "options", WHERE) == entries


@pytest.mark.parametrize(
    ("cell", "read"), [(None, []), ("CENTRE", ["CENTRE"]), ([3, 4.5], ["3", "4.5"]), ("[cut", ["[cut"]), (7, ["7"])]
)
def test_single_values_are_lists_of_one(cell: Any, read: list[str]) -> None:
    assert texts({"answer": cell}, "answer", WHERE) == read


def test_list_of_other_things_is_an_error() -> None:
    with pytest.raises(DatasetError, match=r"^some, row 2: options should be a list of strings, but holds None"):
        texts({"options": ["a", None]}, "options", WHERE)


def test_blank_answers_are_left_out_where_one_is_enough() -> None:
    assert expected({"answers": ["", "a", " "]}, "answers", WHERE) == ["a"]
    with pytest.raises(DatasetError, match=r"^some, row 2: it has no answer"):
        expected({"answers": ["", " "]}, "answers", WHERE)


@pytest.mark.parametrize("value", [None, "", " \n", True, ["a"], {}])
def test_text_that_is_none_is_an_error(value: Any) -> None:
    with pytest.raises(DatasetError, match=r"^some, row 2: question is "):
        text({"question": value}, "question", WHERE)


def test_text_may_be_a_number_and_may_be_allowed_to_be_blank() -> None:
    assert text({"id": 7}, "id", WHERE) == "7"
    assert text({"question": " "}, "question", WHERE, may_be_blank=True) == " "


def test_rows_are_known_by_their_number() -> None:
    assert row_number("ocrbench, row 1000") == 1000
    with pytest.raises(DatasetError, match="no number of a row"):
        row_number("ocrbench, the last row")
