r"""MATH-Vision's rule. There are no golden files of it: the expected verdicts are those that MATH-V's `evaluate.py`
(commit a1f5cc3) gave of these answers."""

from __future__ import annotations

import pytest

from pytest_vtc.scoring.mathvision import Mathvision, read_answer


@pytest.mark.parametrize(("response", "read"), [
    (r"So it is \boxed{\frac{3}{4}}.", r"\frac{3}{4}"), (r"\boxed{1} or rather \boxed{ 2 }", "2"), ("5", "5"),
    (r"\boxed{x = 5}", "5"), (r"$\boxed{90^\circ}$", "90"), (r"\boxed{50\%}", "50"), (r"\boxed{.5}", r"\frac{1}{2}"),
    (r"\boxed{3/4}", r"\frac{3}{4}"), (r"\boxed{\text{(B)}}", "b"), (r"\boxed{\sqrt2}", r"\sqrt{2}"),
    (r"\boxed{\frac12\sqrt3}", r"\frac{1}{2}\sqrt{3}"), (r"\boxed{\frac12}", r"\frac12"), (r"\boxed{5\text{ km}}", "5"),
    ("The answer is 7. Indeed.", "7"), ("So the final answer is 1/2", r"\frac{1}{2}"), ("It must be (C).", "c"),
    ("B\nas one sees", "b"), ("(D) D\nsince", "d"), ("x is 3.", "3"), ("x \\approx 3.14", "3.14"),
    (r"\boxed{}", r"\boxed"), ("", ""), ("$", ""), ("...", "0"),
])  # fmt: skip
def test_what_is_read(response: str, read: str) -> None:
    assert read_answer(response) == read


@pytest.mark.parametrize(("response", "answer"), [
    (r"\boxed{0.75}", r"$\frac{3}{4}$"), (r"\boxed{\frac{6}{8}}", "0.75"), (r"\boxed{4\sqrt{3}}", r"$4 \sqrt{3}$"),
    (r"\boxed{6.93}", r"$4 \sqrt{3}$"), (r"\boxed{12.57}", r"4\pi"), ("1,000", "1000"), (r"\boxed{2025}", "45^2"),
    (r"\boxed{(3,-4)}", "(3,-4)"), (r"\boxed{(6-3, -4)}", "(3,-4)"), (r"\boxed{[1,a]}", "[1.0,a]"), ("2a + b", "2a+b"),
    (r"\boxed{12 rows}", "12"), (r"\boxed{0.5}", "1:2"),
])  # fmt: skip
def test_equal_answers(response: str, answer: str) -> None:
    assert Mathvision().score(response, [answer], ()).value == 1


@pytest.mark.parametrize(("response", "answer"), [
    (r"\boxed{0.74}", r"$\frac{3}{4}$"), (r"\boxed{12 cats}", "12"), (r"\boxed{b+2a}", "2a+b"), ("(3,4)", "(3,-4)"),
    (r"\boxed{(6/2,-4)}", "(3,-4)"), (r"\boxed{3,-4}", "(3,-4)"), (r"\boxed{5} and more", "6"), ("five", "5"),
    (r"\boxed{3}", ""), (r"\boxed{1\frac{1}{2}}", "1.5"),
])  # fmt: skip
def test_unequal_answers(response: str, answer: str) -> None:
    assert Mathvision().score(response, [answer], ()).value == 0


OPTIONS = (r"$\frac{1}{2}$", "2 cm", "$6$", "red")


@pytest.mark.parametrize("response", ["C", r"\boxed{C}", r"\boxed{(C)}", "It is (C).", r"\boxed{6}", r"\boxed{6.0}"])
def test_letter_and_text_of_an_option_are_right(response: str) -> None:
    assert Mathvision().score(response, ["C"], OPTIONS).value == 1
    assert Mathvision().score(response, ["D"], OPTIONS).value == 0


def test_letter_without_such_an_option_is_only_a_letter() -> None:
    assert Mathvision().score("F", ["F"], OPTIONS).value == 1


def test_answer_of_which_nothing_is_left_is_unparsed() -> None:
    assert Mathvision().score(" $ ", ["5"], ()).unparsed


def test_lists_of_enormous_numbers_are_compared_as_text() -> None:
    enormous = "(" + ",".join(["1000!1000!"] * 12) + ")"
    assert Mathvision().score(rf"\boxed{{{enormous}}}", [enormous], ()).value == 1
    assert Mathvision().score(rf"\boxed{{{enormous}}}", ["(1,2)"], ()).value == 0
