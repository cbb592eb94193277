"""MIA-Bench: a judge grades how far an answer follows each part of a layered instruction."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar

from pytest_vtc.scoring.base import NOTHING, Score
from pytest_vtc.scoring.judges.base import Asked, JudgedRule
from pytest_vtc.scoring.judges.prompt import Prompt

_PROMPT = """\
A model was shown a picture and given this instruction:
{question}

The instruction has these parts, each with the points that it is worth:
{components}

The model replied:
{prediction}

Grade strictly how far the reply does what each part asks for; all parts together are worth {total} points. The first \
sentence of what you write lists the points of each part and their sum in exactly this form, in whole numbers and \
without any markup, the number behind the slash being what can be had: \
score of component 1: 3/4, score of component 2: 6/6, total score: 9/10. \
Explain the grades after that sentence."""

_COMPONENT = re.compile(r"(?:score\s+of\s+)?component\s+(\d{1,15})\s*:\s*(\d{1,15})\s*/\s*(\d{1,15})", re.IGNORECASE)
_TOTAL = re.compile(r"total\s+score\s*:\s*(\d{1,15})\s*/\s*(\d{1,15})", re.IGNORECASE)


class MiaBench(JudgedRule):
    """Qian et al., "MIA-Bench: Towards Better Instruction Following Evaluation of Multimodal LLMs", arXiv 2407.01509.

    The answers of a question are the parts of its instruction, `weights` their points. The judge sees the picture. Read
    is the first sentence, as the authors' notebook does: a fraction behind the colon of each part, the total last.
    """

    name: ClassVar[str] = "mia_bench"
    description: ClassVar[str] = "MIA-Bench: a judge's points for each part of the instruction, read as the authors do"
    prompt: ClassVar[Prompt] = Prompt((("user", _PROMPT),))
    gaps: ClassVar[tuple[str, ...]] = ("question", "components", "weights", "total", "prediction")
    needs: ClassVar[tuple[str, ...]] = ("weights",)
    shows_images: ClassVar[bool] = True

    def lacks(self, answers: Sequence[str], facts: Mapping[str, str]) -> str | None:
        weights = [weight.strip() for weight in facts.get("weights", "").split(",")]
        if (reason := super().lacks(answers, facts)) is None and (
            len(weights) != len(answers) or not all(weight.isdecimal() for weight in weights)
        ):
            return (
                f"has the weights {','.join(weights)!r}, which are not a whole number for each of {len(answers)} parts"
            )
        return reason

    def values(self, asked: Asked) -> dict[str, str]:
        weights = asked.facts.get("weights", "").split(",")
        lines = [
            f"{place}. {component} ({weight} points)"
            for place, (component, weight) in enumerate(zip(asked.answers, weights, strict=True), 1)
        ]
        return {
            "question": asked.question,
            "components": "\n".join(lines),
            "weights": ", ".join(weights),
            "total": str(sum(int(weight) for weight in weights if weight.isdecimal())),
            "prediction": asked.prediction,
        }

    def verdict(self, reply: str, asked: Asked) -> Score:
        try:
            shares = [_official_share(part) for part in reply.split(".")[0].split(",")]
        except (ValueError, IndexError, ArithmeticError):
            return NOTHING
        if not 1 <= len(shares) - 1 <= len(asked.answers):
            return NOTHING
        return _scored(shares[:-1], shares[-1])


class MiaBenchLmms(MiaBench):
    """The judge does not see the picture. Fractions are found anywhere in the reply, and cut off at 1.

    A part without one counts nothing; where there is no total, it is the mean of the parts that were found.
    """

    name: ClassVar[str] = "mia_bench_lmms"
    description: ClassVar[str] = "MIA-Bench: a judge's points for each part of the instruction, read as lmms-eval does"
    shows_images: ClassVar[bool] = False

    def verdict(self, reply: str, asked: Asked) -> Score:
        found: dict[int, float] = {}
        for place, points, of in _COMPONENT.findall(reply):
            if 1 <= int(place) <= len(asked.answers):
                found[int(place)] = _share(int(points), int(of))
        total = _TOTAL.search(reply)
        if total is None and not found:
            return NOTHING
        of_all = sum(found.values()) / len(found) if total is None else _share(int(total[1]), int(total[2]))
        return _scored([found.get(place, 0.0) for place in range(1, len(asked.answers) + 1)], of_all)


def _official_share(part: str) -> float:
    """`: 3/4` as the authors' notebook reads it. Raises ValueError, IndexError or ArithmeticError."""
    fraction = part.split(":")[1][1:].split("/")
    return int(fraction[0]) / int(fraction[1])


def _share(points: int, of: int) -> float:
    return min(points / of, 1.0) if of else 0.0


def _scored(components: Sequence[float], total: float) -> Score:
    """parsed: the share of each part, then that of all: `0.75 1 0.9`."""
    if not 0 <= total <= 1:
        return NOTHING
    return Score(total, " ".join(f"{share:g}" for share in (*components, total)), False)
