"""The letters of a question's options, and what a verdict on one of them is."""

from __future__ import annotations

import string
from collections.abc import Sequence

from pytest_vtc.scoring.base import Score


def letters_of(options: Sequence[str]) -> str:
    """A for the first option, B for the second, and so on; at most the 26 there are."""
    return string.ascii_uppercase[: len(options)]


def guessed(answers: Sequence[str], options: Sequence[str]) -> Score:
    """What a rule's guess at random is worth: the chance that a letter drawn from those of the options is accepted.

    The draw itself would add noise to every difference between stock and compressed.
    """
    letters = letters_of(options)
    return Score(sum(letter in answers for letter in letters) / len(letters) if letters else 0.0, None, True)


def verdict(*, right: bool, read: str, options: Sequence[str]) -> Score:
    """The score of a rule that compares the answer as it stands: a wrong one that is no option's letter is unparsed.

    read: what was compared. options: none of them means that any letter of either case may be an option's.
    """
    letters = letters_of(options) or string.ascii_uppercase
    lettered = right or (len(read) == 1 and read.upper() in letters)
    return Score(float(right), read if lettered else None, not lettered)
