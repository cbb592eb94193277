"""Reads the letter of a multiple-choice answer out of whatever a model wraps around it."""

# ruff: noqa: ARG002  # signatures are the contract's, whether or not an implementation needs all of it

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from pytest_vtc.scoring.base import NO_FACTS, NOTHING, Score
from pytest_vtc.scoring.exact import normalise

LETTERS = "ABCDEFGHIJ"
"""What is looked for in a question without options."""


class Letters:
    """Right if the letter that the answer settles on is an accepted one; an answer that settles on none is unparsed.

    In this order, markup (`**B**`, `$\\boxed{B}$`, `[B]`, `<answer>B</answer>`) apart:

    1. nothing but one letter, of either case;
    2. nothing but the text of one option;
    3. a letter that is called the answer ("the answer is B", "Answer: B", "B is correct"); the last one, if there are
       several;
    4. a letter that begins the answer as a label ("B. cat", "(B) cat", "B" in a line of its own);
    5. the last letter that stands alone.

    Not taken for a letter: the article in "A cat", the pronoun in "I think", letters within words or names ("DNA",
    "C-shaped"), letters beyond the last option, and letters that are ruled out ("not A", "(A) is wrong"). Two letters
    side by side ("A or B", "C, D") settle nothing, and neither does a mere list of the options.
    """

    name: ClassVar[str] = "letters"
    description: ClassVar[str] = "the letter of a multiple-choice answer, A to J or as many as there are options"

    def score(
        self, prediction: str, answers: Sequence[str], options: Sequence[str], facts: Mapping[str, str] = NO_FACTS
    ) -> Score:
        parsed = read_letter(prediction, options)
        if parsed is None:
            return NOTHING
        return Score(float(parsed in [answer.strip().upper() for answer in answers]), parsed, False)


def read_letter(prediction: str, options: Sequence[str] = ()) -> str | None:
    """The letter that `prediction` settles on, by the rule of `Letters`, or None."""
    letters = string.ascii_uppercase[: len(options)] if options else LETTERS
    text = _without_markup(prediction)
    if whole := _WHOLE.fullmatch(text):
        return whole[1].upper() if whole[1].upper() in letters else None
    named = [letter for letter, option in zip(letters, options, strict=False) if normalise(option) == normalise(text)]
    if len(named) == 1 and normalise(text):
        return named[0]

    mentions = [m for m in _mentions(text) if m.letter in letters and not m.ruled_out]
    if stated := [m for m in mentions if m.stated]:
        return _settled(text, mentions, stated[-1])
    labels = [m for m in mentions if m.label]
    if len({m.letter for m in labels}) > 1:
        mentions = [m for m in mentions if not m.label]
    elif labels and not text[: labels[0].start].strip():
        return _settled(text, mentions, labels[0])
    return _settled(text, mentions, mentions[-1]) if mentions else None


@dataclass(frozen=True)
class _Mention:
    """A letter that stands for an option. stated: it is called the answer. label: it begins a line, as options do."""

    letter: str
    start: int
    end: int
    stated: bool
    label: bool
    ruled_out: bool


_WHOLE = re.compile(r"[\W_]*([A-Za-z])(?:[^\w+#]|_)*")
_ALONE = re.compile(r"(?<![A-Za-z0-9])(?<![A-Za-z0-9]['-])([A-Za-z])(?![A-Za-z0-9+#])(?!['-][A-Za-z])")

_VERB = r"(?:is|was|are|would be|should be|must be|seems|looks|appears)"
_THING = r"(?:answer|option|choice|letter)"
_CALLED = re.compile(
    rf"(?:\banswer|\b(?:option|choice|letter|one)(?=\s*(?:[:=]|{_VERB})))\s*(?:{_VERB}\b)?\s*[:=]?\s*(?:{_THING}\s*)?\(?$",
    re.IGNORECASE,
)
_NAMED = re.compile(rf"\b{_THING}\s*\(?$", re.IGNORECASE)
_CONFIRMED = re.compile(rf"\)?\s+{_VERB}\s+(?:\w+ly\s+)?(?:the\s+)?(?:right|correct|true|best|answer)\b", re.IGNORECASE)
_REJECTED_BEFORE = re.compile(
    r"(?:\b(?:not|never|nor|neither|than|instead of|unlike|rul(?:e|es|ed|ing) out|eliminat\w+|exclud\w+)|n't)\s+"
    rf"(?:(?:the|be|it|is)\s+)*(?:{_THING}\s+)?(?:is\s+)?\(?$",
    re.IGNORECASE,
)
_REJECTED_AFTER = re.compile(
    r"\)?\s+(?:(?:is|are|was|does|do|can|could|would)(?:\s+not\b|n't\b)|cannot\b|"
    rf"(?:{_VERB}|(?:can|could|must) be)\s+(?:\w+ly\s+)?"
    r"(?:wrong|incorrect|false|impossible|ruled out|eliminated|excluded)\b)",
    re.IGNORECASE,
)
_FOLLOWING_WORD = re.compile(r"\s+([A-Za-z]+)")
_NO_ARTICLE_BEFORE = {
    "A": frozenset(
        {"is", "was", "would", "seems", "looks", "fits", "matches", "because", "since", "as", "and", "or", "but"}
    ),
    "I": frozenset({"is", "because", "since", "or"}),
}
_LABEL_AFTER = re.compile(r"[).:]+(?=\s|$)|[ \t]*(?=\n|$)|\s+[-–—]\s")
_JOINED = re.compile(r"\)?[\s,]*(?:,|/|&|\band\b|\bor\b)[\s,]*\(?", re.IGNORECASE)
_CLAUSE_END = re.compile(r"\)?\s*(?:[.,;:!?\n]|$)")
_REACH = 48
"""How many characters around a letter are looked at; long enough for every pattern above, and bounds the time."""


def _mentions(text: str) -> Iterator[_Mention]:
    for found in _ALONE.finditer(text):
        written, start, end = found[1], found.start(), found.end()
        before, after = text[max(0, start - _REACH) : start], text[end : end + _REACH]
        bracketed = before.endswith("(") and after.startswith(")")
        called = _CALLED.search(before) is not None
        line_begins = not text[text.rfind("\n", 0, start) + 1 : start].strip(" \t(")
        label = line_begins and (bracketed or _LABEL_AFTER.match(after) is not None)
        if written.islower():
            named = (called or _NAMED.search(before)) and _CLAUSE_END.match(after)
            if not (bracketed or named or (label and after[:1] in (".", ")", ":"))):
                continue
        elif written in _NO_ARTICLE_BEFORE and not bracketed and not _NAMED.search(before):
            word = _FOLLOWING_WORD.match(after)
            if word and word[1].lower() not in _NO_ARTICLE_BEFORE[written] and "\n" not in word[0]:
                continue
        yield _Mention(
            letter=written.upper(),
            start=start - bracketed,
            end=end + bracketed,
            stated=called or _CONFIRMED.match(after) is not None,
            label=label,
            ruled_out=_REJECTED_BEFORE.search(before) is not None or _REJECTED_AFTER.match(after) is not None,
        )


def _settled(text: str, mentions: Sequence[_Mention], chosen: _Mention) -> str | None:
    """The chosen letter, unless it is one of several side by side."""
    at = mentions.index(chosen)
    neighbours = [(mentions[i], mentions[i + 1]) for i in (at - 1, at) if 0 <= i < len(mentions) - 1]
    for left, right in neighbours:
        if left.letter != right.letter and not right.stated and _JOINED.fullmatch(text[left.end : right.start]):
            return None
    return chosen.letter


def _without_markup(text: str) -> str:
    """Unicode variants of letters made plain; bold, LaTeX, tags and quotation marks removed; brackets made round."""
    text = unicodedata.normalize("NFKC", text).replace("’", "'").replace("[", "(").replace("]", ")")
    text = re.sub(r"\\[A-Za-z]+\s*|</?[A-Za-z]{2,}>|[*_`${}\"“”]", "", text)
    return re.sub(r"'([A-Za-z])'", r"\1", text)
