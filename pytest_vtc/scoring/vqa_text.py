"""How the scorers of VQA answers normalise text before they compare it: the VQA authors, EvalAI and VLMEvalKit."""

from __future__ import annotations

import re

_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_THOUSANDS = re.compile(r"\d,\d")
_THOUSANDS_EVALAI = re.compile(r"\d,+\d")
_STOPS_REMOVED = 32
"""All three hand `re.UNICODE`, which is 32, to a parameter that says how many full stops are to be removed."""

_STOP = re.compile(r"\.(?!\d)")
"""The authors also mean to keep a full stop after a digit; by a slip (`?!<=` for `?<!`), their pattern does not."""

_STOP_VLMEVALKIT = re.compile(r"(?<!\d)\.(?!\d)")

_DIGITS = {
    word: str(n)
    for n, word in enumerate(("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"))
} | {"none": "0"}
_ARTICLES = frozenset({"a", "an", "the"})

_CONTRACTIONS = """
    'ow's'at 'twas ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't
    he'd he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am might've mightn't mightn't've must've mustn't
    needn't not've o'clock oughtn't shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll
    somebody's someone'd someone'd've someone'll someone's something'd something'd've something'll that's there'd
    there'd've there're there's they'd they'd've they'll they're they've wasn't we'd've we've weren't what'll what're
    what's what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've
    wouldn't wouldn't've y'all y'all'd've y'all'll you'd you'd've you'll you're you've
"""


def _one_apostrophe_short(word: str) -> list[str]:
    return [word[:i] + word[i + 1 :] for i, character in enumerate(word) if character == "'"]


_MENDED = {short: word for word in _CONTRACTIONS.split() for short in _one_apostrophe_short(word)} | {
    "somebody'd": "somebodyd"
}
"""Contractions written with an apostrophe too few. The last one is the authors' slip; their capitals ("Im") are left
out, as only words in lower case are looked up."""


def official(text: str) -> str:
    """As `VQAEval.processPunctuation` and `processDigitArticle` of the VQA authors: "The U.S.A." is "usa"."""
    return _words(_STOP.sub("", _without_punctuation(text, _THOUSANDS), count=_STOPS_REMOVED))


def evalai(text: str) -> str:
    """As EvalAI's `EvalAIAnswerProcessor`, of lmms-eval and LLaVA: commas, question marks and "'s" come first."""
    text = text.lower().replace(",", "").replace("?", "").replace("'s", " 's")
    return lmms(one_line(text.strip()))


def lmms(text: str) -> str:
    """As lmms-eval does for VQAv2: EvalAI's without its first step."""
    return _words(_STOP.sub("", _without_punctuation(text, _THOUSANDS_EVALAI), count=_STOPS_REMOVED))


def vlmevalkit(text: str) -> str:
    """As VLMEvalKit's `process_answer`: a full stop after a digit stays, so "2." is not "2"."""
    return _words(without_punctuation_vlmevalkit(one_line(text)))


def without_punctuation_vlmevalkit(text: str) -> str:
    """As VLMEvalKit's `process_punctuation`."""
    return _STOP_VLMEVALKIT.sub("", _without_punctuation(text, _THOUSANDS), count=_STOPS_REMOVED)


def one_line(text: str) -> str:
    """Line breaks and tabs made blanks, blanks at the ends removed."""
    return text.replace("\n", " ").replace("\t", " ").strip()


def _without_punctuation(text: str, thousands: re.Pattern[str]) -> str:
    """Marks next to a blank are removed, others become one; all are removed if there is a number like 1,000."""
    joined = thousands.search(text) is not None
    result = text
    for mark in _PUNCTUATION:
        result = result.replace(mark, "" if joined or f"{mark} " in text or f" {mark}" in text else " ")
    return result


def _words(text: str) -> str:
    """Lower case, numbers to ten as digits, no articles, contractions with their apostrophes."""
    words = (_DIGITS.get(word, word) for word in text.lower().split())
    return " ".join(_MENDED.get(word, word) for word in words if word not in _ARTICLES)
