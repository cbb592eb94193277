"""Values of LaTeX expressions: expected ones are what latex2sympy2 1.9.1 with sympy 1.14, evaluated, gave."""

from __future__ import annotations

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_vtc.scoring.latex_value import latex_value


@pytest.mark.parametrize(("latex", "value"), [
    (r"$\frac{3 \sqrt{6}}{2}$", 3.6742346), (r"\frac{3^{1008}-1}{3^{1009}}", 1 / 3), ("525/2", 262.5),
    (r"8-2\pi", 8 - 2 * math.pi), (r"-\frac{24}{25}", -0.96), (r"2(\sqrt{2}-1)", 0.8284271), (r"\sqrt[3]{8}", 2),
    ("1,000", 1000), (".5", 0.5), (r"50\%", 0.5), ("5!", 120), ("--5", 5), (r"2\cdot-3", -6), ("3(4)", 12),
    ("2^3^2", 64), ("2^{3^2}", 512), ("-2^2", -4), (r"2^{0.5}", math.sqrt(2)), ("0^0", 1), ("2^{-1}", 0.5),
    (r"1/2\pi", 1 / (2 * math.pi)), ("1:2", 0.5), ("12:30", 0.4), (r"2\frac{1}{2}", 1), (r"{1\over 2}", 0.5),
    (r"\sin(\pi/6)", 0.5), (r"\sin^{-1}(0.5)", 0.5235988), (r"\sin^2 30", 0.9762065), (r"\log_{2}{8}", 3),
    (r"\log 100", 2), ("e^2", 7.3890561), (r"\binom{5}{2}", 10), (r"\lfloor 2.5\rfloor", 2), ("[3]", 3),
    (r"\left(3\right)", 3), (r"5\,000", 0), ("5)", 5), ("5}", 5), ("5'", 5), ("5_2", 5), ("12rows", 12),
])  # fmt: skip
def test_values(latex: str, value: float) -> None:
    assert latex_value(latex) == pytest.approx(value)


@pytest.mark.parametrize("latex", [
    "", " ", "x", "2a+b", "5cm", r"5\text{cm}", "e", "e^1", "i", "5,", "1,2", "5;6", "(1,2)", "5+", "*5", "^5", "()",
    "2^(3)", r"\frac12", r"\sqrt2", r"\sqrt{-1}", "(-8)^{1/3}", "1/0", r"\ln 2", "|3|", r"\lceil 2.5\rceil", r"\csc 1",
    "50%", "5°", "３", r"\infty", r"\boxed{5}", "(5", "{5", r"\left(5)", "(-1)!", "0.5!",
])  # fmt: skip
def test_what_has_no_value(latex: str) -> None:
    assert latex_value(latex) is None


@pytest.mark.parametrize(("latex", "kind"), [("6", int), ("6.0", int), ("6/2", float), ("2^{3}", int), ("0.5", float)])
def test_whole_numbers_stay_whole_unless_divided(latex: str, kind: type) -> None:
    assert type(latex_value(latex)) is kind


@pytest.mark.parametrize("latex", [
    "9^{9^{9^9}}", "9^{999999}", "99999!", "3!!!!", "(" * 499, r"\frac{" * 80, "2^" * 240 + "2", "9" * 10_000,
    "1" + "!" * 498, r"\binom{99999}{5000}", "1000!" * 99, "{2^{9999}}^{9999}",
])  # fmt: skip
def test_no_expression_takes_long(latex: str) -> None:
    started = time.perf_counter()
    assert latex_value(latex) in (None, 1)
    assert time.perf_counter() - started < 1


pieces = st.sampled_from(
    ["1", "2.5", "0", "+", "-", "*", "/", "^", "{", "}", "(", ")", r"\frac", r"\sqrt", "!", "e", ","]
)


@given(st.lists(pieces, max_size=30).map("".join) | st.text())
def test_any_text_has_a_value_or_none(latex: str) -> None:
    value = latex_value(latex)
    assert value is None or len(str(value)) < 4300


@given(st.integers(-999, 999), st.integers(-999, 999), st.integers(1, 99))
def test_arithmetic_is_that_of_numbers(a: int, b: int, c: int) -> None:
    assert latex_value(rf"\frac{{{a}+{b}\cdot({a}-{b})}}{{{c}}}") == (a + b * (a - b)) / c
