"""RealWorldQA: questions on photographs, many of them from cars, by letter or in a word."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from pytest_vtc.datasets.hub_dataset import HubDataset, Question, Row
from pytest_vtc.datasets.row_values import row_number, text


class RealWorldQa(HubDataset):
    """xAI, "Grok-1.5 Vision Preview", 2024 (there is no paper), test.

    The question holds its options, where it has some, and says how to answer: prompts are the question as it is.
    There is no official rule; scored is lmms-eval's. VLMEvalKit has a table of its own of it, with options in columns:
    neither its prompts nor its rule are here. Rows have no ids: theirs are numbers.
    """

    name: ClassVar[str] = "realworldqa"
    description: ClassVar[str] = "RealWorldQA: photographs, a letter or a word"
    licence: ClassVar[str] = "CC BY-ND 4.0"
    scoring: ClassVar[str] = "realworldqa_lmms"
    scorings: ClassVar[Mapping[str, str]] = MappingProxyType({"lmms": "realworldqa_lmms"})
    prompt_style: ClassVar[str] = "lmms"
    prompt_styles: ClassVar[tuple[str, ...]] = ("official",)
    max_new_tokens: ClassVar[int] = 16
    about_mb: ClassVar[int] = 678
    repositories: ClassVar[tuple[str, ...]] = (
        *("lmms-lab-encoder/RealWorldQA", "lmms-lab/RealWorldQA"),
        "xai-org/RealworldQA",
    )
    split: ClassVar[str] = "test"
    columns: ClassVar[tuple[str, ...]] = ("question", "answer")
    size: ClassVar[int | None] = 765

    def question(self, row: Row, where: str) -> Question | None:
        question = text(row, "question", where)
        return Question(
            id=f"test-{row_number(where)}",
            prompts={"lmms": question.strip(), "official": question},
            answers=[text(row, "answer", where).strip()],
        )
