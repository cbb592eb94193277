"""AI2D: multiple choice on diagrams from school science books."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from pytest_vtc.datasets.base import DatasetError
from pytest_vtc.datasets.choices import letter_at, letter_prompt, vlmevalkit_prompt
from pytest_vtc.datasets.hub_dataset import HubDataset, Question, Row
from pytest_vtc.datasets.row_values import row_number, text, texts


class Ai2d(HubDataset):
    """Kembhavi et al., "A Diagram Is Worth a Dozen Images", ECCV 2016, test.

    The letters of options are drawn into the diagrams over what they stand for ("mask"); scores without them are
    several points apart. There is no official rule for what a model says; scored is lmms-eval's.
    Rows have no ids: theirs are numbers.
    """

    name: ClassVar[str] = "ai2d"
    description: ClassVar[str] = "AI2D: school science diagrams, letters drawn into the picture"
    licence: ClassVar[str] = "CC BY-SA 4.0"
    scoring: ClassVar[str] = "ai2d_lmms"
    scorings: ClassVar[Mapping[str, str]] = MappingProxyType({"lmms": "ai2d_lmms", "vlmevalkit": "mcq_vlmevalkit"})
    prompt_style: ClassVar[str] = "lmms"
    prompt_styles: ClassVar[tuple[str, ...]] = ("vlmevalkit",)
    max_new_tokens: ClassVar[int] = 16
    about_mb: ClassVar[int] = 139
    repositories: ClassVar[tuple[str, ...]] = ("lmms-lab-encoder/ai2d", "lmms-lab/ai2d")
    split: ClassVar[str] = "test"
    columns: ClassVar[tuple[str, ...]] = ("question", "options", "answer")
    size: ClassVar[int | None] = 3_088

    def question(self, row: Row, where: str) -> Question | None:
        question, options = text(row, "question", where), texts(row, "options", where)
        if len(options) < 2:
            raise DatasetError(f"{where}: expected a list of options, found {row['options']!r}")
        return Question(
            id=f"test-{row_number(where)}",
            prompts={"lmms": letter_prompt(question, options), "vlmevalkit": vlmevalkit_prompt(question, options)},
            answers=[letter_at(row["answer"], options, where)],
            options=options,
        )
