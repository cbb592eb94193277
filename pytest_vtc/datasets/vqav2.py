"""VQAv2: short questions about COCO's photographs, each with the answers of ten people."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from pytest_vtc.datasets.hub_dataset import HubDataset, Question, Row
from pytest_vtc.datasets.row_values import answers_of_people, text

POST_PROMPT = "Answer the question using a single word or phrase."


class VqaV2(HubDataset):
    """Goyal et al., "Making the V in VQA Matter", CVPR 2017, validation.

    The answers of test-dev and test are hidden, and the figures in papers are of those, so they do not compare.
    LLaVA's prompt is that of lmms-eval; VLMEvalKit does not have the dataset.
    """

    name: ClassVar[str] = "vqav2"
    description: ClassVar[str] = "VQAv2, validation (test is hidden): photographs, short answers"
    licence: ClassVar[str] = "CC BY 4.0 (questions); COCO's terms (images)"
    scoring: ClassVar[str] = "vqa_official"
    scorings: ClassVar[Mapping[str, str]] = MappingProxyType({"official": "vqa_official", "lmms": "vqav2_lmms"})
    prompt_style: ClassVar[str] = "lmms"
    prompt_styles: ClassVar[tuple[str, ...]] = ("llava",)
    max_new_tokens: ClassVar[int] = 16
    default_n: ClassVar[int | None] = 5_000
    about_mb: ClassVar[int] = 6_925
    repositories: ClassVar[tuple[str, ...]] = ("lmms-lab-encoder/VQAv2", "lmms-lab/VQAv2")
    split: ClassVar[str] = "validation"
    columns: ClassVar[tuple[str, ...]] = ("question_id", "image_id", "question", "answers", "answer_type")
    size: ClassVar[int | None] = 214_354

    def question(self, row: Row, where: str) -> Question | None:
        question_id = text(row, "question_id", where)
        where = f"{where} ({question_id})"
        prompt = f"{text(row, 'question', where)}\n{POST_PROMPT}"
        return Question(
            id=question_id,
            prompts={"lmms": prompt, "llava": prompt},
            answers=answers_of_people(row, "answers", where),
            category=str(row["answer_type"] or ""),
            group=text(row, "image_id", where),
        )
