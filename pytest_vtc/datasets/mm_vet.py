"""MM-Vet: open questions that call for several capabilities at once, graded by a judge."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from pytest_vtc.datasets.base import DatasetError
from pytest_vtc.datasets.hub_dataset import HubDataset, Question, Row

PRE_PROMPT = (
    "First please perform reasoning, and think step by step to provide best answer to the following question: \n\n"
)
"""Of lmms-eval; the authors and VLMEvalKit ask the question alone."""


class MmVet(HubDataset):
    """Yu et al., "MM-Vet: Evaluating Large Multimodal Models for Integrated Capabilities", arXiv 2308.02490.

    A category is a combination of capabilities: `rec,ocr`.
    """

    name: ClassVar[str] = "mm_vet"
    description: ClassVar[str] = "MM-Vet: six capabilities at once, judged"
    licence: ClassVar[str] = "CC BY-NC 4.0"
    scoring: ClassVar[str] = "mm_vet"
    scorings: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"official": "mm_vet", "lmms": "mm_vet_lmms", "vlmevalkit": "mm_vet_vlmevalkit"}
    )
    published: ClassVar[str | None] = "mm_vet"
    prompt_style: ClassVar[str] = "official"
    prompt_styles: ClassVar[tuple[str, ...]] = ("lmms", "vlmevalkit")
    max_new_tokens: ClassVar[int] = 1024
    about_mb: ClassVar[int] = 67
    repositories: ClassVar[tuple[str, ...]] = ("lmms-lab-encoder/MMVet", "lmms-lab/MMVet")
    split: ClassVar[str] = "test"
    columns: ClassVar[tuple[str, ...]] = ("question_id", "question", "answer", "capability")
    size: ClassVar[int | None] = 218

    def question(self, row: Row, where: str) -> Question | None:
        text, capability = str(row["question"]), str(row["capability"] or "").replace(" ", "")
        if not capability:
            raise DatasetError(f"{where}: it names no capability, by which its score is counted")
        return Question(
            id=str(row["question_id"]),
            prompts={"official": text, "lmms": f"{PRE_PROMPT}{text}", "vlmevalkit": text},
            answers=[str(row["answer"])],
            category=capability,
            facts={"capability": capability, "question": text},
        )
