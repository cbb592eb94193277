"""Soft match: a short answer is right if the prediction says it, in whole words and without taking it back."""

# ruff: noqa: ARG002  # signatures are the contract's, whether or not an implementation needs all of it

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import ClassVar

from pytest_vtc.scoring.base import NO_FACTS, NOTHING, Score


class Soft:
    """Right if the words of an answer stand in the prediction, side by side and in their order.

    Words are compared after normalisation: case folded, punctuation and the articles a, an, the dropped, zero to ten
    written as figures, thousands joined (1,200 is 1200), "14%" and "-5" kept apart from "14" and "5". So "the cat." is
    right for "cat", while "woman" is wrong for "man", "eyes" for "yes", "57" for "57.5".

    The words do not count where they are denied in the same clause ("it is not red", "I don't think it is a cat") or
    offered as one of several ("red or blue", "red/blue"). For yes and no, the first of the two that the prediction says
    decides ("No, there is no dog"; "yes, no doubt"); "I don't know" is neither. A prediction that is only a part of the
    answer ("sign" for "stop sign") is wrong.
    """

    name: ClassVar[str] = "soft"
    description: ClassVar[str] = "the answer's words stand in the prediction, not denied"

    def score(
        self, prediction: str, answers: Sequence[str], options: Sequence[str], facts: Mapping[str, str] = NO_FACTS
    ) -> Score:
        said = _words(prediction)
        if not any(word not in _MARKS for word in said):
            literal = prediction.strip()
            if not literal:
                return NOTHING
            # An answer such as "+" has no words; what it has can only be compared as it stands.
            right = literal in [answer.strip() for answer in answers]
            return Score(float(right), literal, False)
        for answer in answers:
            if _says(said, _words(answer)):
                return Score(1.0, answer, False)
        return Score(0.0, " ".join(word for word in said if word not in _MARKS), False)


_CLAUSE, _OR = "|", "or"
_MARKS = frozenset({_CLAUSE})
_NUMBERS = {
    word: str(n)
    for n, word in enumerate(("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"))
}
_ARTICLES = frozenset({"a", "an", "the"})
_DENIALS = frozenset({"not", "no", "never", "neither", "nor", "without", "cannot"})
_POLAR = frozenset({"yes", "no"})
_WORD = re.compile(
    r"""
    (?<![\w.)])-?\d+(?:\.\d+)*%?        # a number, with its sign and its per cent
    | [\u3040-\u30ff\u3400-\u9fff]      # scripts without blanks: each character is a word
    | [^\W\u3040-\u30ff\u3400-\u9fff]+(?:'[^\W\d]+)*
    | / | [.,;:!?\n]
    """,
    re.VERBOSE,
)


def _words(text: str) -> list[str]:
    """Normalised words; `_CLAUSE` stands between clauses."""
    text = unicodedata.normalize("NFKC", text).replace("’", "'").casefold().replace("_", " ")
    text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)
    words: list[str] = []
    for found in _WORD.finditer(text):
        word = found[0]
        if word in ("but", "however") or word in ".,;:!?\n":
            words.append(_CLAUSE)
        elif word == "/":
            words.append(_OR)
        elif word not in _ARTICLES:
            words.append(_NUMBERS.get(word, word))
    return words


def _says(said: Sequence[str], answer: Sequence[str]) -> bool:
    wanted = [word for word in answer if word not in _MARKS]
    if not wanted:
        return False
    if len(wanted) == 1 and wanted[0] in _POLAR:
        return next((word for word in said if word in _POLAR), None) == wanted[0]
    # Commas inside an answer ("Paris, France") may be said or left out.
    places = [i for i, word in enumerate(said) if word not in _MARKS]
    for at in range(len(places) - len(wanted) + 1):
        span = places[at : at + len(wanted)]
        if [said[i] for i in span] == wanted and not _taken_back(said, span[0], span[-1], wanted):
            return True
    return False


def _taken_back(said: Sequence[str], first: int, last: int, wanted: Sequence[str]) -> bool:
    if _OR in (*said[max(0, first - 1) : first], *said[last + 1 : last + 2]):
        return True
    begin = first
    while begin > 0 and said[begin - 1] != _CLAUSE:
        begin -= 1
    return not any(_denies(word) for word in wanted) and any(_denies(word) for word in said[begin:first])


def _denies(word: str) -> bool:
    return word in _DENIALS or word.endswith("n't")
