"""TextVQA: questions that are answered by reading the text in a photograph."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from pytest_vtc.datasets.hub_dataset import HubDataset, Question, Row
from pytest_vtc.datasets.row_values import answers_of_people, text, texts
from pytest_vtc.datasets.vqav2 import POST_PROMPT


class TextVqa(HubDataset):
    """Singh et al., "Towards VQA Models That Can Read", CVPR 2019, validation; the answers of test are hidden.

    Prompts: lmms-eval's give no OCR tokens and capitalise the question, which puts the rest of it in lower case;
    VLMEvalKit's leave it as it is; `llava` adds the reference OCR tokens, as LLaVA-1.5 was evaluated.
    lmms-eval sets no limit of new tokens here; the 16 are those of its other short answers.
    Unverified: whether the tokens are those of LLaVA's own file of questions, and whether that capitalises them.
    """

    name: ClassVar[str] = "textvqa"
    description: ClassVar[str] = "TextVQA, validation (test is hidden): text in photographs, OCR tokens off"
    licence: ClassVar[str] = "CC BY 4.0"
    scoring: ClassVar[str] = "vqa_evalai"
    scorings: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"official": "vqa_evalai", "lmms": "vqa_evalai", "vlmevalkit": "vqa_vlmevalkit"}
    )
    prompt_style: ClassVar[str] = "lmms"
    prompt_styles: ClassVar[tuple[str, ...]] = ("vlmevalkit", "llava")
    max_new_tokens: ClassVar[int] = 16
    about_mb: ClassVar[int] = 1_000
    repositories: ClassVar[tuple[str, ...]] = ("lmms-lab-encoder/textvqa", "lmms-lab/textvqa")
    split: ClassVar[str] = "validation"
    columns: ClassVar[tuple[str, ...]] = ("question_id", "image_id", "question", "answers", "ocr_tokens")
    size: ClassVar[int | None] = 5_000

    def question(self, row: Row, where: str) -> Question | None:
        question_id = text(row, "question_id", where)
        where = f"{where} ({question_id})"
        asked, tokens = text(row, "question", where), ", ".join(texts(row, "ocr_tokens", where))
        return Question(
            id=question_id,
            prompts={
                "lmms": f"{asked.capitalize()}\n{POST_PROMPT}",
                "vlmevalkit": f"{asked}\n{POST_PROMPT}",
                "llava": f"{asked}\nReference OCR token: {tokens}\n{POST_PROMPT}",
            },
            answers=answers_of_people(row, "answers", where),
            group=text(row, "image_id", where),
        )
