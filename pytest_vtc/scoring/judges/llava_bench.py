"""LLaVA-Bench (in the wild): a judge grades the reference answer and the model's side by side, from 1 to 10."""

# ruff: noqa: ARG002  # signatures are the contract's, whether or not an implementation needs all of it

from __future__ import annotations

import math
import re
from typing import ClassVar

from pytest_vtc.scoring.base import Score
from pytest_vtc.scoring.judges.base import Asked, JudgedRule
from pytest_vtc.scoring.judges.prompt import Prompt

UNREADABLE = (-1.0, -1.0)
"""What the originals take a reply for that they cannot read."""

_SYSTEM = "You compare answers with care, and say plainly how good each of them is."

_PROMPT = """\
[What the picture shows]
{caption}

[Question about the picture]
{question}

[Answer 1]
{answer}
[End of answer 1]

[Answer 2]
{prediction}
[End of answer 2]

[Your task]
Two assistants have answered the question while looking at the picture; the text above tells you what is in it. Grade \
each answer as a whole from 1 to 10, the better the higher: whether it helps who asked, keeps to the question, is \
correct, and goes into enough detail.
The first line of your reply holds the two grades alone, that of answer 1 and that of answer 2, with one blank between \
them. From the second line on give your reasons. Which answer comes first must make no difference."""

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


class LlavaBench(JudgedRule):
    """Liu et al., "Visual Instruction Tuning", arXiv 2304.08485, section 5.1.

    The first line must be two numbers with one blank or comma between them: `8 7`, of which the second is the model's.
    A sample's score is a tenth of that; the published metric is made of both.
    """

    name: ClassVar[str] = "llava_bench"
    description: ClassVar[str] = "LLaVA-Bench: a judge's grades of reference and answer, read as the authors do"
    prompt: ClassVar[Prompt] = Prompt((("system", _SYSTEM), ("user", _PROMPT)))
    gaps: ClassVar[tuple[str, ...]] = ("caption", "question", "answer", "prediction", "category")
    needs: ClassVar[tuple[str, ...]] = ("caption",)

    def values(self, asked: Asked) -> dict[str, str]:
        return {
            "caption": asked.facts.get("caption", ""),
            "question": asked.question,
            "answer": "\n".join(asked.answers),
            "prediction": asked.prediction,
            "category": asked.category,
        }

    def verdict(self, reply: str, asked: Asked) -> Score:
        return _scored(read_pair(reply))


class LlavaBenchLmms(LlavaBench):
    """The first two numbers of the first line, whatever stands around them."""

    name: ClassVar[str] = "llava_bench_lmms"
    description: ClassVar[str] = "LLaVA-Bench: a judge's grades of reference and answer, read as lmms-eval does"

    def verdict(self, reply: str, asked: Asked) -> Score:
        return _scored(read_pair_lmms(reply))


def read_pair(reply: str) -> tuple[float, float]:
    """The two grades as LLaVA's `parse_score` reads them, `UNREADABLE` where it does."""
    parts = reply.split("\n")[0].replace(",", " ").split(" ")
    if len(parts) != 2:
        return UNREADABLE
    try:
        return float(parts[0]), float(parts[1])
    except ValueError:
        return UNREADABLE


def read_pair_lmms(reply: str) -> tuple[float, float]:
    """The two grades as lmms-eval reads them."""
    found = _NUMBER.findall(reply.strip().split("\n")[0].replace(",", " ").replace(";", " "))
    return (float(found[0]), float(found[1])) if len(found) >= 2 else UNREADABLE


def _scored(pair: tuple[float, float]) -> Score:
    """parsed: both grades, `8 7`, those of a reply that cannot be read as well."""
    reference, own = pair
    unparsed = pair == UNREADABLE or not (math.isfinite(reference) and math.isfinite(own))
    return Score(0.0 if unparsed else min(max(own / 10, 0.0), 1.0), f"{reference:g} {own:g}", unparsed)
