"""ChartQA: questions about charts, by people and by a machine."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from pytest_vtc.datasets.base import DatasetError
from pytest_vtc.datasets.hub_dataset import HubDataset, Question, Row
from pytest_vtc.datasets.row_values import row_number, text
from pytest_vtc.datasets.vqav2 import POST_PROMPT

_CATEGORIES = MappingProxyType(
    {"human_test": "human", "human": "human", "augmented_test": "augmented", "augmented": "augmented"}
)


class ChartQa(HubDataset):
    """Masry et al., "ChartQA: A Benchmark for Question Answering about Charts", Findings of ACL 2022, test.

    Half of the questions are by people (`human`), half were made from captions (`augmented`). lmms-eval asks for a
    single word, VLMEvalKit for a word or phrase; the latter takes blanks around an answer off before it compares.
    """

    name: ClassVar[str] = "chartqa"
    description: ClassVar[str] = "ChartQA: questions about charts, by people and augmented"
    licence: ClassVar[str] = "GPL-3.0"
    scoring: ClassVar[str] = "relaxed_accuracy"
    scorings: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"official": "relaxed_accuracy", "lmms": "relaxed_accuracy", "vlmevalkit": "relaxed_accuracy"}
    )
    prompt_style: ClassVar[str] = "lmms"
    prompt_styles: ClassVar[tuple[str, ...]] = ("vlmevalkit",)
    max_new_tokens: ClassVar[int] = 16
    about_mb: ClassVar[int] = 73
    repositories: ClassVar[tuple[str, ...]] = ("lmms-lab-encoder/ChartQA", "lmms-lab/ChartQA")
    split: ClassVar[str] = "test"
    columns: ClassVar[tuple[str, ...]] = ("type", "question", "answer")
    size: ClassVar[int | None] = 2_500

    def question(self, row: Row, where: str) -> Question | None:
        asked, category = text(row, "question", where), _CATEGORIES.get(str(row["type"]))
        if category is None:
            raise DatasetError(f"{where}: its type is {row['type']!r}, neither human_test nor augmented_test")
        return Question(
            # Rows have no ids, and a question with its answer may come with several charts.
            id=f"{category}-{row_number(where)}",
            prompts={
                "lmms": f"{asked}\nAnswer the question with a single word.",
                "vlmevalkit": f"{asked}\n{POST_PROMPT}",
            },
            answers=[text(row, "answer", where)],
            category=category,
        )
