"""lmms-eval's shared reading of multiple-choice answers, `extract_mcq_answer`, and datasets that it scores by it."""

# ruff: noqa: ARG002  # signatures are the contract's, whether or not an implementation needs all of it

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, NamedTuple

from pytest_vtc.scoring.base import NO_FACTS, Score
from pytest_vtc.scoring.option_letters import letters_of

FOUR = "ABCD"
"""The letters of datasets whose questions have four options at most."""
_WITHOUT_OPTIONS = "ABCDEFGH"


class McqExtractLmms:
    """Right if the letter read is the answer; case counts.

    As `extract_mcq_answer` of lmms-eval's tasks/_task_utils/mcq_extract.py, given the letters of the options; A to H if
    there are none.
    """

    name: ClassVar[str] = "mcq_extract_lmms"
    description: ClassVar[str] = "lmms-eval's shared multiple-choice parser: the letter in the most telling form"

    def score(
        self, prediction: str, answers: Sequence[str], options: Sequence[str], facts: Mapping[str, str] = NO_FACTS
    ) -> Score:
        letter = extracted(prediction, letters_of(options))
        return _scored(letter, letter in answers)


class MmstarLmms:
    """As lmms-eval scores MMStar: `mcq_extract_lmms` among A to D, and the answer may be of either case."""

    name: ClassVar[str] = "mmstar_lmms"
    description: ClassVar[str] = "lmms-eval's rule for MMStar: its shared multiple-choice parser, A to D"

    def score(
        self, prediction: str, answers: Sequence[str], options: Sequence[str], facts: Mapping[str, str] = NO_FACTS
    ) -> Score:
        letter = extracted(prediction, FOUR)
        return _scored(letter, letter in [answer.strip().upper() for answer in answers])


class RealworldqaLmms:
    """As lmms-eval scores RealWorldQA: by the answer, not by options, of which the dataset has no column.

    If the answer is a letter from A to D, `mcq_extract_lmms` among these; else the prediction in lower case, without
    blanks around it and full stops at its end, has to be the answer.
    """

    name: ClassVar[str] = "realworldqa_lmms"
    description: ClassVar[str] = "lmms-eval's rule for RealWorldQA: a letter where the answer is one, else exact match"

    def score(
        self, prediction: str, answers: Sequence[str], options: Sequence[str], facts: Mapping[str, str] = NO_FACTS
    ) -> Score:
        letter, said = extracted(prediction, FOUR), prediction.lower().strip().rstrip(".")
        accepted = [answer.strip() for answer in answers]
        letters = [answer.upper() for answer in accepted if answer.upper() in tuple(FOUR)]
        texts = [answer.lower() for answer in accepted if answer.upper() not in tuple(FOUR)]
        return _scored(letter if letters else said, letter in letters or said in texts)


_PHRASES = (
    "the answer is", "answer is", "the correct answer is", "correct answer is", "the best answer is", "best answer is",
    "the correct option is", "correct option is", "the best option is", "best option is", "the choice is", "choice is",
    "the correct choice is", "correct choice is", "i choose", "i select", "i pick", "my answer is", "my choice is",
    "옵션", "정답은", "답은", "답:", "答案是", "答案为", "选", "答えは",
)  # fmt: skip
_FORMS = (("({})", 6), ("{}.", 5), ("{}:", 4), ("{})", 3), ("{} ", 2))
"""How a letter may stand, and how telling that is."""
_START, _END, _PHRASE, _ANYWHERE = 10, 9, 7, 0


def extracted(response: str, letters: str) -> str:
    """The letter that lmms-eval extracts, one of `letters` (of A to H if that is empty), or "" if none of them occurs.

    Of all letters in all forms, that of the most telling form, and there the last one: at the start of the response, if
    no letter follows; at its end, if no letter is before it; anywhere after a phrase such as "the answer is"; "(B)";
    "B."; "B:"; "B)"; "B ". Where there is none of these, the last letter anywhere.
    """
    letters, text = letters or _WITHOUT_OPTIONS, response.strip()
    for mark in ",.!?;:'\"":
        text = text.strip(mark)
    text = f" {text} "
    found = list(_in_forms(text, letters)) or [_Found(_ANYWHERE, text.rfind(x), x) for x in letters if x in text]
    return max(found, key=lambda candidate: candidate[:2]).letter if found else ""


class _Found(NamedTuple):
    telling: int
    place: int
    letter: str


def _in_forms(text: str, letters: str) -> Iterator[_Found]:
    """text: with a blank at either end."""
    for form, telling in _FORMS:
        for letter in letters:
            if (place := text.rfind(form.format(letter))) >= 0:
                yield _Found(telling, place, letter)
    lower, bare = text.lower(), text.strip()
    for phrase in _PHRASES:
        if phrase in lower:
            # Only the first time that a phrase is said, and of each letter the first place after it.
            after = lower.find(phrase) + len(phrase)
            for letter in letters:
                if (place := text.find(letter, after)) >= 0:
                    yield _Found(_PHRASE, place, letter)
    for letter in letters:
        if bare.startswith(letter) and not bare[1:2].isalpha():
            yield _Found(_START, 0, letter)
        if bare.endswith(letter) and not bare[-2:-1].isalpha():
            yield _Found(_END, len(text), letter)


def _scored(read: str, right: bool) -> Score:
    return Score(float(right), read or None, not read.strip())
