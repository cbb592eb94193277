"""Exact match: what it forgives and what it does not."""

from __future__ import annotations

import pytest

from pytest_vtc.scoring.exact import Exact


@pytest.mark.parametrize(
    ("prediction", "answer"),
    [
        ("cat", "cat"),
        ("Cat", "cat"),
        (" cat. ", "cat"),
        ("stop  sign", "stop sign"),
        ("CAT..", "cat."),
        ("Straße", "STRASSE"),
    ],
)
def test_case_blanks_and_full_stops_at_the_end_are_forgiven(prediction: str, answer: str) -> None:
    assert Exact().score(prediction, [answer], ()).value == 1


@pytest.mark.parametrize("prediction", ["a cat", "cats", "cat!", "concat", "c at", "the answer is cat"])
def test_anything_else_is_wrong(prediction: str) -> None:
    assert Exact().score(prediction, ["cat"], ()).value == 0


def test_what_was_read_is_reported() -> None:
    assert Exact().score(" Red  Car. ", ["x"], ()).parsed == "red car"


def test_answer_of_full_stops_alone_is_unparsed() -> None:
    assert Exact().score(" . ", ["."], ()).unparsed
