"""MM-Vet: a judge grades an open answer between 0.0 and 1.0 against the expected one."""

# ruff: noqa: ARG002  # signatures are the contract's, whether or not an implementation needs all of it

from __future__ import annotations

from typing import ClassVar

from pytest_vtc.scoring.base import NOTHING, Score
from pytest_vtc.scoring.judges.base import Asked, JudgedRule, number
from pytest_vtc.scoring.judges.prompt import Prompt

_PROMPT = """\
Grade how right an answer to a question about a picture is. You are not shown the picture; go by the expected answer.

In the expected answer, parts joined by <AND> must all be in the answer, and of parts joined by <OR> one is enough. \
How something is said does not matter, and saying more than was expected is no fault unless it contradicts. An answer \
that gets a share of it right earns that share. The grade is one of 0.0 (all wrong), 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, \
0.7, 0.8, 0.9 and 1.0 (all right).

question | expected | answer | grade
--- | --- | --- | ---
Which fruits are in the bowl? | apple <AND> pear | There is a banana. | 0.0
Which fruits are in the bowl? | apple <AND> pear | I can see two pears. | 0.5
Which fruits are in the bowl? | apple <AND> pear | A pear lies next to an apple. | 1.0
What time does the clock show? | 3:15 <OR> a quarter past three | It is a quarter past 3. | 1.0
Why is the boy laughing? | The dog next to him has put on his father's hat and glasses and seems to read the paper. \
| Because the dog is wearing a hat. | 0.4

Write the grade that completes this line, and nothing else:
{question} | {answer} | {prediction} |"""


class MmVet(JudgedRule):
    """Yu et al., "MM-Vet: Evaluating Large Multimodal Models for Integrated Capabilities", arXiv 2308.02490.

    The reply up to its first blank must be a number from 0 to 1.
    """

    name: ClassVar[str] = "mm_vet"
    description: ClassVar[str] = "MM-Vet: a judge's grade from 0 to 1, read as the authors do"
    prompt: ClassVar[Prompt] = Prompt((("user", _PROMPT),))
    gaps: ClassVar[tuple[str, ...]] = ("question", "answer", "prediction")
    max_tokens: ClassVar[int] = 128

    def values(self, asked: Asked) -> dict[str, str]:
        expected = "<OR>".join(asked.answers).replace("<AND>", " <AND> ").replace("<OR>", " <OR> ")
        return {"question": asked.question, "answer": expected, "prediction": asked.prediction}

    def verdict(self, reply: str, asked: Asked) -> Score:
        return _graded(reply.split(" ")[0])


class MmVetLmms(MmVet):
    """The same, but blanks before the reply do not count."""

    name: ClassVar[str] = "mm_vet_lmms"
    description: ClassVar[str] = "MM-Vet: a judge's grade from 0 to 1, read as lmms-eval does"

    def verdict(self, reply: str, asked: Asked) -> Score:
        return _graded(reply.strip().split(" ")[0])


class MmVetVlmevalkit(MmVet):
    """The whole reply must be a number from 0 to 1."""

    name: ClassVar[str] = "mm_vet_vlmevalkit"
    description: ClassVar[str] = "MM-Vet: a judge's grade from 0 to 1, read as VLMEvalKit does"

    def verdict(self, reply: str, asked: Asked) -> Score:
        return _graded(reply)


def _graded(text: str) -> Score:
    grade = number(text)
    if grade is None or not 0 <= grade <= 1:
        return NOTHING
    return Score(abs(grade), f"{abs(grade):g}", False)  # abs: "-0" is 0
