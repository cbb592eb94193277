"""MATH-Vision: the answer in the box, a letter or a number equal to two decimals."""

# ruff: noqa: ARG002  # signatures are the contract's, whether or not an implementation needs all of it

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from pytest_vtc.scoring.base import NO_FACTS, NOTHING, Score
from pytest_vtc.scoring.latex_value import Number, latex_value


class Mathvision:
    r"""Right if what is read equals the expected answer or, of a question with options, the text of that option.

    As `evaluate.py` and `utils.py` of MATH-V, lmms-eval's `mathvision_standard_eval` too. Read is, in this order: a
    letter A to E with which the answer ends (" B.", " (B).") or begins (in a line of its own); a number at the end
    ("... is 5."); what stands in the last `\boxed{}`; without a box, what follows the last "the answer is"; else all
    that is said. Of that, what follows the last "=", without units, degrees and per cent.

    Equal is equal text, case apart; equal lists in round or square brackets; or equal numbers, rounded to two decimals,
    such as "\frac{3}{4}" and "0.75", as `latex_value` reads them. Expressions with letters are equal only as text.
    """

    name: ClassVar[str] = "mathvision"
    description: ClassVar[str] = "MATH-Vision's rule: the boxed answer, numbers equal to two decimals"

    def score(
        self, prediction: str, answers: Sequence[str], options: Sequence[str], facts: Mapping[str, str] = NO_FACTS
    ) -> Score:
        parsed = read_answer(prediction)
        if not parsed:
            return NOTHING
        expected = [*answers, *_options_meant(answers, options)]
        return Score(float(any(_equal(answer, parsed) for answer in expected)), parsed, False)


def _options_meant(answers: Sequence[str], options: Sequence[str]) -> Iterable[str]:
    letters = string.ascii_uppercase[: len(options)]
    return (options[letters.index(answer)] for answer in answers if len(answer) == 1 and answer in letters)


_CUES = ("the final answer is", "the answer is", "the correct answer is", "the answer should be")


def read_answer(response: str) -> str:
    """What the original takes for the answer, in lower case; empty if it is left with nothing."""
    response = response.strip()
    for letter in "ABCDE":
        starts = (f"{letter}\n", f"({letter})\n", f"({letter}) {letter}\n")
        if response.startswith(starts) or response.endswith((f" {letter}.", f" ({letter}).")):
            response = letter
    last = response.rpartition("is ")[2].rstrip(".")
    if _is_number(last):
        response = last
    if "oxed{" not in response:
        for cue in _CUES:
            for written in (cue, cue.replace("the", "The")):
                response = _after(written, response)
    elif response.count("oxed{") > 1:
        response = "\\boxed{" + response.rpartition("oxed{")[2]
    answer = _plain(response.lower())
    for letter in "abcde":
        answer = answer.replace(f"({letter})", letter)
    for letter in "abcde":
        answer = answer.replace(f"{{{letter}}}", letter)
    return answer.rstrip(".").lstrip(":").strip()


def _after(cue: str, response: str) -> str:
    """What follows the cue in the same sentence, or all."""
    _, found, rest = response.rpartition(cue)
    rest = rest.strip()
    return rest.partition("\n")[0].partition(". ")[0] if found else rest


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


_REMOVED_FIRST = (
    *((" ", ""), ("\\,", ""), ("∞", "\\infty"), ("+\\infty", "\\infty"), ("\\\\", "\\"), ("\n", "")),
    *(("\\text", ""), ("\\mbox", ""), ("bmatrix", "pmatrix"), ("\\left", ""), ("\\right", "")),
    *(("^{\\circ}", ""), ("^\\circ", ""), ("{m}^3", ""), ("m^3", "")),
    *(("{units}", ""), ("units", ""), ("{km}", ""), ("km", "")),
)
_REMOVED_THEN = (
    *(("\\!", ""), ("\\\\", "\\"), ("tfrac", "frac"), ("dfrac", "frac"), ("\\left", ""), ("\\right", "")),
    *(("^{\\circ}", ""), ("^\\circ", ""), ("\\$", ""), ("$", ""), ("\\%", ""), ("{.", "{0.")),
)
_BARE_ROOT = re.compile(r"\\sqrt(?!\\sqrt)([^{])", re.DOTALL)
_FRACTION = re.compile(r"(0|-?[1-9][0-9]*)/(0|-?[1-9][0-9]*)")


def _plain(text: str) -> str:
    """What stands in the box, without units, blanks and shorthands of LaTeX. In the order of the original."""
    text = text.replace("{}", "")
    box, last = text.find("oxed{"), text.rfind("}")
    if 0 <= box < last:
        text = text[box + len("oxed{") : last]
    opening, closing = text.find("{"), text.find("}")
    if closing >= 0 and (opening < 0 or closing < opening):
        text = text[:closing]
    text = text.rpartition("=")[2].rpartition("\\approx")[2]
    for written, meant in _REMOVED_FIRST + _REMOVED_THEN:
        text = text.replace(written, meant)
    if text.startswith("."):
        text = "0" + text
    if "sqrt" in text:
        text = _braced_fractions(_BARE_ROOT.sub(r"\\sqrt{\1}", text))
    if text == "0.5":
        return "\\frac{1}{2}"
    if fraction := _FRACTION.fullmatch(text):
        return f"\\frac{{{fraction[1]}}}{{{fraction[2]}}}"
    return text


def _braced_fractions(text: str) -> str:
    r"""`\frac12` made `\frac{1}{2}`; the original does so only where there is a root as well."""
    before, *pieces = text.split("\\frac")
    braced = [before]
    for piece in pieces:
        if piece.startswith("{"):
            braced.append(piece)
        elif len(piece) < 2:
            return text
        elif piece[1] == "{":
            braced.append(f"{{{piece[0]}}}{piece[1:]}")
        else:
            braced.append(f"{{{piece[0]}}}{{{piece[1]}}}{piece[2:]}")
    return "\\frac".join(braced)


_DECIMALS = 2
_LONGEST_LIST = 500


def _equal(expected: str, said: str) -> bool:
    expected, said = expected.lower(), said.lower()
    if not expected.replace(" ", "") or not said.replace(" ", ""):
        return False
    if expected.strip() == said.strip():
        return True
    expected, said = _list_of_numbers(expected), _list_of_numbers(said)
    if expected == said:
        return True
    target = latex_value(expected)
    value = None if target is None else latex_value(said)
    return target is not None and value is not None and round(target, _DECIMALS) == round(value, _DECIMALS)


def _list_of_numbers(text: str) -> str:
    """A list such as "(1, 6/2)" with its values, rounded, "(1,3.0)"; anything else as it is."""
    items = text[1:-1].split(",")
    if text[0] + text[-1] not in ("()", "[]") or len(items) < 2 or len(text) > _LONGEST_LIST:
        return text
    written: list[str] = []
    for item in items:
        if "infty" in item or item in ("a", "-a"):
            written.append(item)
        elif (value := latex_value(item)) is not None:
            written.append(_written(value))
        else:
            return text
    return text[0] + ",".join(written) + text[-1]


def _written(value: Number) -> str:
    return str(round(value, _DECIMALS))
