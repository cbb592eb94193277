"""Rules that read yes or no: what they read, and what they call unparsed."""

from __future__ import annotations

import pytest

from pytest_vtc.scoring import rule

SAID = [
    "Yes",
    "no",
    "No.",
    "NO",
    "y",
    "know",
    "The answer is yes",
    "It is not",
    "There is a dog",
    "No\n\nBecause",
    "maybe",
]
READ: dict[str, list[str | None]] = {
    "mme_yesno_official": ["yes", "no", "no", "no", "other", "no", "other", "other", "other", "no", "other"],
    "mme_yesno_lmms": ["yes", "no", "no", "no", "yes", "no", "other", "other", "other", "no", "other"],
    "pope_official": ["yes", "no", "no", "yes", "yes", "yes", "yes", "no", "yes", "yes", "yes"],
    "pope_lmms": ["yes", "no", None, "no", None, None, None, None, None, None, None],
    "yorn_vlmevalkit": ["Yes", "No", "No", "No", *["Unknown"] * 2, "Yes", "Unknown", "Unknown", "No", "Unknown"],
}
UNPARSED = {
    "mme_yesno_official": {"y", "The answer is yes", "It is not", "There is a dog", "maybe"},
    "mme_yesno_lmms": {"The answer is yes", "It is not", "There is a dog", "maybe"},
    "pope_official": {"NO", "y", "know", "There is a dog", "No\n\nBecause", "maybe"},
    "pope_lmms": {*SAID} - {"Yes", "no", "NO"},
    "yorn_vlmevalkit": {"y", "know", "It is not", "There is a dog", "maybe"},
}


@pytest.mark.parametrize("name", READ)
def test_what_is_read(name: str) -> None:
    assert [rule(name).score(said, ["yes"], ()).parsed for said in SAID] == READ[name]


@pytest.mark.parametrize("name", READ)
def test_what_has_no_word_to_read_is_unparsed(name: str) -> None:
    assert {said for said in SAID if rule(name).score(said, ["yes"], ()).unparsed} == UNPARSED[name]


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("expected", ["yes", "Yes"])
def test_expected_answer_is_read_in_any_case(name: str, expected: str) -> None:
    assert [rule(name).score(said, [expected], ()).value for said in ("yes", "no")] == [1, 0]
