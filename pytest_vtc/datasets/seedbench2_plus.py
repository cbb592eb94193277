"""SEED-Bench-2-Plus: multiple choice on images rich in text: charts, maps and web pages."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from pytest_vtc.datasets.choices import letter, letter_prompt, options_in, vlmevalkit_prompt
from pytest_vtc.datasets.hub_dataset import HubDataset, Question, Row
from pytest_vtc.datasets.row_values import text


class SeedBench2Plus(HubDataset):
    """Li et al., "SEED-Bench-2-Plus: Benchmarking Multimodal Large Language Models with Text-Rich Visual
    Comprehension", arXiv 2404.16790. The category is the type of image.

    The authors rank options by likelihood; scored is the first character of what is said, as in lmms-eval.
    lmms-eval would write "<image>" for an option that contains "jpg" or "png"; here it stays as it is.
    Unverified: whether question_id alone tells all rows apart; the type of image is part of the id.
    """

    name: ClassVar[str] = "seedbench2_plus"
    description: ClassVar[str] = "SEED-Bench-2-Plus: charts, maps and web pages, four options"
    licence: ClassVar[str] = "CC BY-NC 4.0"
    scoring: ClassVar[str] = "seed_lmms"
    scorings: ClassVar[Mapping[str, str]] = MappingProxyType({"lmms": "seed_lmms", "vlmevalkit": "mcq_vlmevalkit"})
    prompt_style: ClassVar[str] = "lmms"
    prompt_styles: ClassVar[tuple[str, ...]] = ("vlmevalkit",)
    max_new_tokens: ClassVar[int] = 16
    about_mb: ClassVar[int] = 228
    repositories: ClassVar[tuple[str, ...]] = ("doolayer/SEED-Bench-2-Plus",)
    split: ClassVar[str] = "test"
    columns: ClassVar[tuple[str, ...]] = (
        *("question_id", "question_image_type", "question"),
        *("choice_A", "choice_B", "choice_C", "choice_D", "answer"),
    )
    size: ClassVar[int | None] = 2_277

    def question(self, row: Row, where: str) -> Question | None:
        number, kind = text(row, "question_id", where), text(row, "question_image_type", where).strip().lower()
        where = f"{where} ({kind} {number})"
        question = text(row, "question", where)
        options = options_in(row, ("choice_A", "choice_B", "choice_C", "choice_D"), where)
        return Question(
            id=f"{kind}-{number}",
            prompts={"lmms": letter_prompt(question, options), "vlmevalkit": vlmevalkit_prompt(question, options)},
            answers=[letter(row["answer"], options, where)],
            options=options,
            category=kind,
        )
