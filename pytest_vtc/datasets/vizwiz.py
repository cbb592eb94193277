"""VizWiz-VQA: photographs by blind people with what they asked about them, often not to be answered."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from pytest_vtc.datasets.hub_dataset import HubDataset, Question, Row
from pytest_vtc.datasets.row_values import answers_of_people, text
from pytest_vtc.datasets.vqav2 import POST_PROMPT

UNANSWERABLE = "When the provided information is insufficient, respond with 'Unanswerable'."


class VizWiz(HubDataset):
    """Gurari et al., "VizWiz Grand Challenge: Answering Visual Questions from Blind People", CVPR 2018, val.

    The answers of test are hidden, and the figures in papers are of test-dev. lmms-eval capitalises the question, which
    puts the rest of it in lower case; LLaVA leaves it as it is. lmms-eval sets no limit of new tokens here; the 16 are
    those of its other short answers. VLMEvalKit counts which part of the ten people said the same: no rule here does.
    """

    name: ClassVar[str] = "vizwiz"
    description: ClassVar[str] = "VizWiz, val (test is hidden): blind people's photographs and questions"
    licence: ClassVar[str] = "CC BY 4.0"
    scoring: ClassVar[str] = "vqa_evalai"
    scorings: ClassVar[Mapping[str, str]] = MappingProxyType({"official": "vqa_evalai", "lmms": "vqa_evalai"})
    published: ClassVar[str | None] = "vizwiz"
    prompt_style: ClassVar[str] = "lmms"
    prompt_styles: ClassVar[tuple[str, ...]] = ("llava",)
    max_new_tokens: ClassVar[int] = 16
    about_mb: ClassVar[int] = 2_080
    repositories: ClassVar[tuple[str, ...]] = ("lmms-lab-encoder/VizWiz-VQA", "lmms-lab/VizWiz-VQA")
    split: ClassVar[str] = "val"
    columns: ClassVar[tuple[str, ...]] = ("question_id", "question", "answers", "category")
    size: ClassVar[int | None] = 4_319

    def question(self, row: Row, where: str) -> Question | None:
        question_id = text(row, "question_id", where)
        where = f"{where} ({question_id})"
        asked = text(row, "question", where, may_be_blank=True)
        return Question(
            id=question_id,
            prompts={
                "lmms": f"{asked.capitalize()}\n{UNANSWERABLE}\n{POST_PROMPT}",
                "llava": f"{asked}\n{UNANSWERABLE}\n{POST_PROMPT}",
            },
            answers=answers_of_people(row, "answers", where),
            category=str(row["category"] or ""),
        )
