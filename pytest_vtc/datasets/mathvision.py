"""MATH-Vision: problems of mathematics competitions, each with a picture."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar

from pytest_vtc.datasets.base import DatasetError
from pytest_vtc.datasets.choices import lettered
from pytest_vtc.datasets.hub_dataset import HubDataset, Question, Row
from pytest_vtc.datasets.row_values import text, texts

_SOLVE = 'Please solve the problem step by step and put your answer in one "\\boxed{}".'
_ONE_LETTER = 'If it is a multiple choice question, only one letter is allowed in the "\\boxed{}".'
_LETTER = "Answer the question with the option's letter from the given choices directly."
_LETTERS = string.ascii_uppercase


class MathVision(HubDataset):
    """Wang et al., "Measuring Multimodal Mathematical Reasoning with MATH-Vision Dataset", NeurIPS 2024, test-mini.

    The official prompt is that of the authors' scripts for open models, in which options that are letters in the
    picture are not repeated; lmms-eval has no blank between its instruction and the question. "<image1>" stays in the
    text; there is one image that holds them all. VLMEvalKit has a language model extract the answer: no rule here does.
    1,024 new tokens, where lmms-eval gives models that think 16,384.
    """

    name: ClassVar[str] = "mathvision"
    description: ClassVar[str] = "MATH-Vision, test-mini: problems of competitions, step by step"
    licence: ClassVar[str] = "MIT"
    scoring: ClassVar[str] = "mathvision"
    scorings: ClassVar[Mapping[str, str]] = MappingProxyType({"official": "mathvision", "lmms": "mathvision"})
    prompt_style: ClassVar[str] = "lmms"
    prompt_styles: ClassVar[tuple[str, ...]] = ("official",)
    max_new_tokens: ClassVar[int] = 1_024
    about_mb: ClassVar[int] = 9
    repositories: ClassVar[tuple[str, ...]] = ("MathLLMs/MathVision",)
    split: ClassVar[str] = "testmini"
    columns: ClassVar[tuple[str, ...]] = ("id", "question", "options", "answer", "subject")
    image_columns: ClassVar[tuple[str, ...]] = ("decoded_image",)
    size: ClassVar[int | None] = 304

    def question(self, row: Row, where: str) -> Question | None:
        problem = text(row, "id", where)
        where = f"{where} ({problem})"
        asked, answer = text(row, "question", where), text(row, "answer", where).strip()
        options = texts(row, "options", where)
        letters = _LETTERS[: len(options)]
        if options and (len(answer) != 1 or answer not in letters):
            raise DatasetError(
                f"{where}: the answer is {answer!r}, not one of the letters {letters[0]} to {letters[-1]}"
            )
        choices = f"\nChoices: {lettered(options)}\n{_LETTER}" if options else ""
        return Question(
            id=problem,
            prompts={
                "lmms": f"{_SOLVE}{asked}{choices}",
                "official": f"{_SOLVE} {_ONE_LETTER}\n{asked}\n{_in_brackets(options)}",
            },
            answers=[answer],
            options=options,
            category=text(row, "subject", where),
        )


class MathVisionTest(MathVision):
    """The whole test split, of which test-mini is a part: what published figures are of."""

    name: ClassVar[str] = "mathvision_test"
    description: ClassVar[str] = "MATH-Vision, test: all 3,040 problems"
    about_mb: ClassVar[int] = 57
    split: ClassVar[str] = "test"
    size: ClassVar[int | None] = 3_040


def _in_brackets(options: Sequence[str]) -> str:
    if list(options) == list(_LETTERS[: len(options)]):
        return ""
    return "".join(f"({letter}) {option}\n" for letter, option in zip(_LETTERS, options, strict=False))
