"""OCRBench: a thousand questions on text in images, from words and digits to documents and formulas."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from pytest_vtc.datasets.hub_dataset import HubDataset, Question, Row
from pytest_vtc.datasets.row_values import expected, row_number, text


class OcrBench(HubDataset):
    """Liu et al., "OCRBench: On the Hidden Mystery of OCR in Large Multimodal Models", arXiv 2305.07895.

    Prompts are the questions alone; lmms-eval's without blanks around them. VLMEvalKit scores formulas by their type
    and not by their source, which is one and the same here, so that its rule is the official one.
    """

    name: ClassVar[str] = "ocrbench"
    description: ClassVar[str] = "OCRBench: text in scenes, documents, receipts, handwriting and formulas"
    licence: ClassVar[str] = "MIT"
    scoring: ClassVar[str] = "ocrbench_official"
    scorings: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"official": "ocrbench_official", "lmms": "ocrbench_lmms", "vlmevalkit": "ocrbench_official"}
    )
    published: ClassVar[str | None] = "ocrbench"
    prompt_style: ClassVar[str] = "lmms"
    prompt_styles: ClassVar[tuple[str, ...]] = ("official", "vlmevalkit")
    max_new_tokens: ClassVar[int] = 128
    about_mb: ClassVar[int] = 68
    repositories: ClassVar[tuple[str, ...]] = ("echo840/OCRBench",)
    split: ClassVar[str] = "test"
    columns: ClassVar[tuple[str, ...]] = ("dataset", "question", "question_type", "answer")
    size: ClassVar[int | None] = 1_000

    def question(self, row: Row, where: str) -> Question | None:
        source, asked = text(row, "dataset", where), text(row, "question", where)
        return Question(
            # Rows have no ids, and the same question with the same answer comes with several images.
            id=f"{source}-{row_number(where)}",
            prompts={"lmms": asked.strip(), "official": asked, "vlmevalkit": asked},
            answers=expected(row, "answer", where),
            category=text(row, "question_type", where),
            facts={"dataset": source},
        )
