"""MMMU's official reading of open answers, `parse_open_response` and `eval_open`, and what lmms-eval made of it."""

# ruff: noqa: ARG002  # signatures are the contract's, whether or not an implementation needs all of it

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, TypeAlias

from pytest_vtc.scoring.base import NO_FACTS, Score

_Read: TypeAlias = str | float


class MmmuOpenOfficial:
    """Right if an accepted text is part of a candidate text, or an accepted number is among the candidate numbers.

    Candidates are what follows words that announce a result ("is", "so", "thus", "answer", ...) in each line, and every
    number therein; the whole response where nothing is announced. Numbers are compared after rounding to two decimals;
    a text of one character has to stand before or after a blank.

    As in MMMU's mmmu/utils/eval_utils.py. Its splitting at the ends of sentences is left out, as it never takes effect
    there: it looks for a capital letter in a text already in lower case.
    """

    name: ClassVar[str] = "mmmu_open_official"
    description: ClassVar[str] = "MMMU's official rule for open questions: texts contained, numbers to two decimals"

    def score(
        self, prediction: str, answers: Sequence[str], options: Sequence[str], facts: Mapping[str, str] = NO_FACTS
    ) -> Score:
        said = _announced(prediction)
        accepted = [form for answer in answers for form in _normalised(answer)]
        return _scored(" | ".join(said), any(_fits(candidate, accepted) for candidate in _candidates(said)))


class MmmuOpenLmms:
    """As lmms-eval 0.7.2 judges them: wrong, whatever is said.

    It keeps one candidate, as a string, and hands that to a comparison that expects a list of candidates, which goes
    through its characters one by one. No single character contains an accepted text: those of one character have got a
    blank beside them, and numbers are compared with numbers only. (An accepted answer of no characters is right.)
    Which of several candidates is kept is by chance there, and of no consequence.
    """

    name: ClassVar[str] = "mmmu_open_lmms"
    description: ClassVar[str] = "lmms-eval's rule for MMMU's open questions, by a mistake of which no answer is right"

    def score(
        self, prediction: str, answers: Sequence[str], options: Sequence[str], facts: Mapping[str, str] = NO_FACTS
    ) -> Score:
        accepted = [form for answer in answers for form in _normalised(answer)]
        kept = str(next(_candidates(_announced(prediction))))
        return _scored(kept, any(_fits(character, accepted) for character in kept))


_ANNOUNCING = ("could be ", "so ", "is ", "thus ", "therefore ", "final ", "answer ", "result ")
_TRIVIAL = frozenset(":,.!?;'")


def _announced(response: str) -> list[str]:
    """Of each line, the shortest of the ends that follow an announcing word, or "=" in the last line; in lower case.

    The whole response if there are none.
    """
    response = response.strip().strip(".").lower()
    *lines, last = response.split("\n")
    ends = [_shortest_end(line, _ANNOUNCING) for line in lines] + [_shortest_end(last, (*_ANNOUNCING, "="))]
    return [end for end in ends if end and end not in _TRIVIAL] or [response]


def _shortest_end(line: str, marks: Sequence[str]) -> str:
    """The shortest of what follows the last of each of `marks`. An empty one is kept only until there is a next."""
    shortest = ""
    for mark in marks:
        if mark in line:
            end = line.rpartition(mark)[2].strip()
            if not shortest or len(end) < len(shortest):
                shortest = end
    return shortest


# A number that does not begin where its run of digits does cannot be one either; to say so bounds the time.
_NUMBERS = (
    re.compile(r"-?\b\d{1,3}(?:,\d{3})+\b"),
    re.compile(r"-?(?<!\d)\d+(?:\.\d+)?[eE][+-]?\d+"),
    re.compile(r"-?(?:(?<!\d)\d+\.\d+|\.\d+|(?<!\d)\d+\b)(?![eE][+-]?\d+)(?![,\d])"),
)


def _candidates(said: Sequence[str]) -> Iterator[_Read]:
    """The texts of `said`, then all numbers within them, each as `_normalised` has it."""
    numbers = (number for text in said for pattern in _NUMBERS for number in pattern.findall(text))
    for text in (*said, *numbers):
        yield from _normalised(text)


def _normalised(text: str) -> tuple[_Read, ...]:
    text = text.strip()
    try:
        return (round(float(text.replace(",", "")), 2),)
    except ValueError:
        text = text.lower()
        return (f" {text}", f"{text} ") if len(text) == 1 else (text,)


def _fits(candidate: _Read, accepted: Sequence[_Read]) -> bool:
    if isinstance(candidate, str):
        return any(isinstance(form, str) and form in candidate for form in accepted)
    return candidate in accepted


def _scored(parsed: str, right: bool) -> Score:
    blank = not parsed.strip()
    return Score(float(right), None if blank else parsed, blank)
