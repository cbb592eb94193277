"""DocVQA: questions on scanned pages of documents."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from pytest_vtc.datasets.hub_dataset import HubDataset, Question, Row
from pytest_vtc.datasets.row_values import expected, text, texts
from pytest_vtc.datasets.vqav2 import POST_PROMPT


class DocVqa(HubDataset):
    """Mathew et al., "DocVQA: A Dataset for VQA on Document Images", WACV 2021, validation.

    The answers of test are hidden, and most figures in papers are of it. A question may be of several types (form,
    table/list, handwritten and others), then its category is `several`. Pages are up to some 4,000 pixels high: how
    many tokens a model gives them is part of the result.
    """

    name: ClassVar[str] = "docvqa"
    description: ClassVar[str] = "DocVQA, validation (test is hidden): scanned pages, large images"
    licence: ClassVar[str] = "RRC portal's terms; tagged Apache-2.0 on the Hub"
    scoring: ClassVar[str] = "anls"
    scorings: ClassVar[Mapping[str, str]] = MappingProxyType({"official": "anls", "lmms": "anls", "vlmevalkit": "anls"})
    prompt_style: ClassVar[str] = "lmms"
    prompt_styles: ClassVar[tuple[str, ...]] = ("vlmevalkit",)
    max_new_tokens: ClassVar[int] = 32
    about_mb: ClassVar[int] = 2_300
    repositories: ClassVar[tuple[str, ...]] = (
        "lmms-lab-encoder/DocVQA",
        "lmms-lab/DocVQA",
        "HuggingFaceM4/DocumentVQA",
    )
    configs: ClassVar[tuple[str, ...]] = ("DocVQA", "default")
    split: ClassVar[str] = "validation"
    columns: ClassVar[tuple[str, ...]] = (
        "questionId",
        "question",
        "question_types",
        "ucsf_document_id",
        "ucsf_document_page_no",
        "answers",
    )
    size: ClassVar[int | None] = 5_349

    def question(self, row: Row, where: str) -> Question | None:
        question_id = text(row, "questionId", where)
        where = f"{where} ({question_id})"
        types = texts(row, "question_types", where)
        prompt = f"{text(row, 'question', where)}\n{POST_PROMPT}"
        page = text(row, "ucsf_document_id", where), text(row, "ucsf_document_page_no", where)
        return Question(
            id=question_id,
            prompts={"lmms": prompt, "vlmevalkit": prompt},
            answers=expected(row, "answers", where),
            category="several" if len(types) > 1 else "".join(types),
            group="_".join(page),
        )
