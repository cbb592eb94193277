"""Whether any prediction at all could be right by a rule: what is found out before a run instead of as 0 %."""

from __future__ import annotations

import string
from collections.abc import Sequence

from pytest_vtc.scoring.exact import normalise
from pytest_vtc.scoring.option_letters import letters_of

RULES_OF_OPTIONS = frozenset(
    {
        *("mmmu_pro_official", "mmmu_mc_official", "mmmu_mc_lmms", "mcq_vlmevalkit", "mmbench_lmms_static"),
        *("scienceqa_official", "scienceqa_llava"),
    }
)
"""Rules that read nothing without the texts of the options."""

_RULES_OF_LETTERS = RULES_OF_OPTIONS | {"letters"}


def unanswerable(rule: str, answers: Sequence[str], options: Sequence[str]) -> str | None:
    """Why nothing could be right by the rule of this name, as half a sentence; None where something could be."""
    if rule in RULES_OF_OPTIONS and not options:
        return f'the field "options" is missing, and the scoring rule {rule!r} needs it'
    if not options and rule not in _RULES_OF_LETTERS:
        return None
    said = [answer.strip().upper() for answer in answers]
    letters = letters_of(options) if options else string.ascii_uppercase
    if any(len(each) == 1 and each in letters for each in said):
        return None
    if options and all(len(each) == 1 and each in string.ascii_uppercase for each in said):
        texts = {normalise(option) for option in options}
        if rule in _RULES_OF_LETTERS or not any(normalise(answer) in texts for answer in answers):
            return f'"answer" is {answers[0]!r}, which is the letter of no option: there {_are(len(options))}'
    if rule in _RULES_OF_LETTERS:
        return f'"answer" is {answers[0]!r}, and the scoring rule {rule!r} compares letters'
    return None


def _are(n: int) -> str:
    return "is one" if n == 1 else f"are {n}"
