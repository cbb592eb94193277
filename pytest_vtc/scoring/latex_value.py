r"""What a LaTeX expression such as `\frac{3\sqrt{2}}{4}-\pi` amounts to.

Reads the language of the parser latex2sympy2 (its grammar `PS.g4`), by which MATH-Vision's answers are compared, as far
as it ends in a number. An expression is evaluated while it is read, in time that its length bounds: there are no
symbols, no code is run, and numbers of more than `_BITS` bits are refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from fractions import Fraction
from typing import TypeAlias

Number: TypeAlias = int | float

_LONGEST = 500
_DEEPEST = 30
_BITS = 12_000


def latex_value(latex: str) -> Number | None:
    r"""Its value, or None if it has none: letters, units, `e` alone, what cannot be read or computed.

    Read are numbers (1,000 too, and 50\%), + - * / : \times \cdot \div, products without a sign, powers, brackets,
    \frac, \sqrt, \binom, \pi, factorials, e^{...}, \log, trigonometric functions and \lfloor. Peculiar are, as in the
    original: a colon divides ("12:30" is 0.4), "2\frac{1}{2}" is 1, "1/2\pi" is 1/(2\pi), "2^3^2" is 64, a function
    without brackets takes all of a product, what follows a surplus closing bracket is not looked at, and \ln, \csc,
    |...| and \lceil have no value. Whole numbers stay `int`.
    """
    if len(latex) > _LONGEST:
        return None
    try:
        value = _Reader(latex).whole()
    except (ArithmeticError, ValueError):  # unreadable, a division by zero, a root of a negative number
        return None
    return value if isinstance(value, float) or value.bit_length() <= _BITS else None


class _UnreadableError(ValueError):
    """There is no value."""


_SAME = re.compile(r"\\displaystyle|\\quad|\\qquad|~|\\,|\$")
_FUNCTIONS: dict[str, Callable[[float], float]] = {
    **{name: getattr(math, name) for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")},
    **{f"arc{name}": getattr(math, f"a{name}") for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")},
    **{f"ar{name}": getattr(math, f"a{name}") for name in ("sinh", "cosh", "tanh")},
    "exp": lambda exponent: _exponential(exponent),
}
_INVERSE = {"sin", "cos", "tan", "sinh", "cosh", "tanh"}
_BRACKETS = {"(": ")", "{": "}", "[": "]", r"\{": r"\}", r"\lbrace": r"\rbrace", r"\lbrack": r"\rbrack"}
_TIMES, _DIVIDED = {"*", r"\times", r"\cdot"}, {"/", r"\over", r"\div", ":"}
_NAMES = """
    arccosh arcosh arcsinh arctanh arsinh artanh bmatrix ceil cols diag diagonalize eig eigen eigenvals eigenvalues
    eigenvects eigenvectors eye floor gcd hstack lcm matrix norm nullspace ones orth ortho orthogonal orthogonalize
    pmatrix rank rows rref svd tr trace vmatrix vstack zeros
""".split()  # noqa: SIM905  a table to be read
"""Words of the grammar: "12 rows" and "5 triangles" have a value for their sake, "12 cats" has none."""

_TOKENS = sorted(
    {*_BRACKETS, *_BRACKETS.values(), *_TIMES, *_DIVIDED, *(f"\\{name}" for name in _FUNCTIONS)}
    | {r"\left", r"\right", r"\frac", r"\sqrt", r"\binom", r"\log", r"\pi", r"\lfloor", r"\rfloor"}
    | {*"+-^!_,;'.e", *_NAMES},
    key=len,
    reverse=True,
)
_TOKEN = re.compile(
    r"\s*(?:(?P<number>[0-9]*(?:,[0-9]{3})*\.[0-9]+|[0-9]+(?:,[0-9]{3})*)(?P<percent>\\%)?|(?P<sign>"
    + "|".join(map(re.escape, _TOKENS))
    + "))"
)
_AFTER_THE_END = {*_BRACKETS.values(), *_NAMES, r"\right", r"\rfloor", "_", "."}
"""What may follow an expression, with anything behind it."""


class _Reader:
    """Recursive descent; each method reads what its name says from the current place."""

    def __init__(self, latex: str) -> None:
        self._text = _SAME.sub(" ", latex.replace(r"\dfrac", r"\frac").replace(r"\tfrac", r"\frac"))
        self._depth = 0
        self._at = 0
        self._step()

    def whole(self) -> Number:
        value = self._sum()
        if self._sign not in _AFTER_THE_END and not self._ended:
            raise _UnreadableError
        return value

    def _step(self) -> None:
        """To the next token, a number or a sign. Neither at the end and at what is no token."""
        found = _TOKEN.match(self._text, self._at)
        self._number: Number | None = None
        self._sign = ""
        self._ended = found is None and not self._text[self._at :].strip()
        if found:
            self._at = found.end()
            self._sign = found["sign"] or ""
            if found["number"]:
                exact = Fraction(found["number"].replace(",", "")) / (100 if found["percent"] else 1)
                self._number = exact.numerator if exact.denominator == 1 else float(exact)

    def _take(self, sign: str) -> bool:
        taken = self._sign == sign
        if taken:
            self._step()
        return taken

    def _expect(self, sign: str) -> None:
        if not self._take(sign):
            raise _UnreadableError

    def _sum(self) -> Number:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _UnreadableError
        value = self._product()
        while self._sign in ("+", "-"):
            value = value + self._product() if self._take("+") else value - self._minus()
        self._depth -= 1
        return value

    def _minus(self) -> Number:
        self._expect("-")
        return self._product()

    def _product(self, *, functions: bool = True) -> Number:
        value = self._signed(functions=functions)
        while self._sign in _TIMES | _DIVIDED:
            times = self._sign in _TIMES
            self._step()
            other = self._signed(functions=functions)
            value = value * other if times else value / other
        return value

    def _signed(self, *, functions: bool) -> Number:
        sign = 1
        while self._sign in ("+", "-"):
            sign = -sign if self._sign == "-" else sign
            self._step()
        value = self._power()
        while self._starts_a_factor(functions=functions):
            value *= self._power()
        return sign * value

    def _starts_a_factor(self, *, functions: bool) -> bool:
        if self._number is not None or self._sign in _BRACKETS:
            return True
        if self._sign in (r"\left", r"\frac", r"\binom", r"\pi", r"\lfloor"):
            return True
        return functions and (self._sign[1:] in _FUNCTIONS or self._sign in (r"\sqrt", r"\log", "e"))

    def _power(self) -> Number:
        value = self._atom()
        while self._take("^"):
            value = _power(value, self._script())
            if self._take("_"):
                self._script()
        while self._sign in ("!", "'"):
            value = _factorial(value) if self._sign == "!" else value
            self._step()
        return value

    def _script(self) -> Number:
        """What is raised or lowered: a number, pi, or something in braces."""
        if self._take("{"):
            value = self._sum()
            self._expect("}")
            return value
        return self._plain()

    def _plain(self) -> Number:
        value = math.pi if self._sign == r"\pi" else self._number
        if value is None:
            raise _UnreadableError
        self._step()
        return value

    def _atom(self) -> Number:
        sign, name = self._sign, self._sign[1:]
        if sign == r"\left" or sign in _BRACKETS or sign == r"\lfloor":
            return self._bracketed()
        if name in _FUNCTIONS or sign == r"\log":
            return self._function()
        if self._take("e"):
            self._expect("^")
            return _exponential(self._script())
        if self._take(r"\frac"):
            return self._argument() / self._argument()
        if self._take(r"\binom"):
            return _binomial(self._argument(), self._argument())
        if self._take(r"\sqrt"):
            degree: Number = 2
            if self._take("["):
                degree = self._sum()
                self._expect("]")
            root = self._argument()
            return math.sqrt(root) if degree == 2 else _power(root, 1 / degree)
        return self._plain()

    def _argument(self) -> Number:
        self._expect("{")
        value = self._sum()
        self._expect("}")
        return value

    def _bracketed(self) -> Number:
        left = self._take(r"\left")
        closing = {**_BRACKETS, r"\lfloor": r"\rfloor"}.get(self._sign)
        if closing is None:
            raise _UnreadableError
        self._step()
        value = self._sum()
        if left:
            self._expect(r"\right")
        self._expect(closing)
        return math.floor(value) if closing == r"\rfloor" else value

    def _function(self) -> Number:
        name = self._sign[1:]
        self._step()
        base: Number = 10
        power: Number | None = None
        for _ in range(2):
            if self._take("^"):
                power = self._script()
            elif self._take("_"):
                base = self._script()
        left = self._take(r"\left")
        if self._take("("):
            argument = self._sum()
            if self._take(r"\right") != left:
                raise _UnreadableError
            self._expect(")")
        else:
            argument = self._product(functions=False)
        if name in _INVERSE and power == -1:
            name, power = f"arc{name}", None
        value = math.log(argument, base) if name == "log" else _FUNCTIONS[name](argument)
        return value if power is None else _power(value, power)


def _power(base: Number, exponent: Number) -> Number:
    if isinstance(base, int) and isinstance(exponent, int) and base.bit_length() * exponent > _BITS:
        raise OverflowError
    value = base**exponent
    if isinstance(value, complex):
        raise _UnreadableError
    return value


def _exponential(exponent: Number) -> Number:
    if exponent == 1:  # the original writes E, and does not know it
        raise _UnreadableError
    return math.exp(exponent)


def _factorial(value: Number) -> int:
    if not isinstance(value, int) or value > _BITS // 10:
        raise _UnreadableError
    return math.factorial(value)


def _binomial(of: Number, chosen: Number) -> int:
    if not isinstance(of, int) or not isinstance(chosen, int) or of > _BITS // 10:
        raise _UnreadableError
    return math.comb(of, chosen)
