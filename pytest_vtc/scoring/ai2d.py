"""AI2D's multiple choice as lmms-eval reads it."""

# ruff: noqa: ARG002  # signatures are the contract's, whether or not an implementation needs all of it

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence
from typing import ClassVar

from pytest_vtc.scoring.base import NO_FACTS, Score
from pytest_vtc.scoring.option_letters import verdict

_LABEL = re.compile(r"\s*([A-Z])\.")
_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


class Ai2dLmms:
    """Right if what "B." begins with, or else the whole prediction, is the letter; case and punctuation apart.

    As `MultiChoiceRegexFilter` of lmms-eval's tasks/ai2d/utils.py and then its `exact_match`.
    """

    name: ClassVar[str] = "ai2d_lmms"
    description: ClassVar[str] = 'lmms-eval\'s rule for AI2D: the letter of "B. ...", else exact match'

    def score(
        self, prediction: str, answers: Sequence[str], options: Sequence[str], facts: Mapping[str, str] = NO_FACTS
    ) -> Score:
        label = _LABEL.match(prediction)
        said = _plain(label[1] if label else prediction.strip())
        return verdict(right=said in map(_plain, answers), read=said.upper(), options=options)


def _plain(text: str) -> str:
    return text.lower().translate(_WITHOUT_PUNCTUATION)
