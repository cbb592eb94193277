"""ScienceQA, questions with an image: school science, multiple choice, often with a hint."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from pytest_vtc.datasets.base import DatasetError
from pytest_vtc.datasets.choices import letter_at, letter_prompt, present, vlmevalkit_prompt
from pytest_vtc.datasets.hub_dataset import HubDataset, Question, Row
from pytest_vtc.datasets.row_values import row_number, text, texts


class ScienceQaImage(HubDataset):
    """Lu et al., "Learn to Explain: Multimodal Reasoning via Thought Chains for Science Question Answering", NeurIPS
    2022; the questions of test that have an image. The category is the subject. Rows have no ids: theirs are numbers.

    The official rule reads "The answer is B." alone and guesses otherwise, at what the prompts here ask for, too:
    scored is LLaVA's rule, by which vision-language models are reported. VLMEvalKit's prompt may differ in what its own
    table has for a hint (unverified).
    """

    name: ClassVar[str] = "scienceqa"
    description: ClassVar[str] = "ScienceQA-IMG: school science, two to five options"
    licence: ClassVar[str] = "CC BY-NC-SA 4.0"
    scoring: ClassVar[str] = "scienceqa_llava"
    scorings: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"official": "scienceqa_official", "lmms": "scienceqa_lmms", "vlmevalkit": "mcq_vlmevalkit"}
    )
    prompt_style: ClassVar[str] = "lmms"
    prompt_styles: ClassVar[tuple[str, ...]] = ("llava", "vlmevalkit")
    max_new_tokens: ClassVar[int] = 16
    about_mb: ClassVar[int] = 130
    repositories: ClassVar[tuple[str, ...]] = ("lmms-lab-encoder/ScienceQA", "lmms-lab/ScienceQA")
    configs: ClassVar[tuple[str, ...]] = ("ScienceQA-IMG",)
    split: ClassVar[str] = "test"
    columns: ClassVar[tuple[str, ...]] = ("question", "choices", "answer", "hint", "subject")
    size: ClassVar[int | None] = 2_017

    def question(self, row: Row, where: str) -> Question | None:
        question, hint, options = text(row, "question", where), present(row["hint"]), texts(row, "choices", where)
        if len(options) < 2:
            raise DatasetError(f"{where}: expected a list of choices, found {row['choices']!r}")
        context = "" if hint is None else f"Context: {hint}\n"
        lettered = letter_prompt(f"{context}{question}", options)
        return Question(
            id=f"test-{row_number(where)}",
            prompts={
                "lmms": lettered,
                "llava": lettered,
                "vlmevalkit": vlmevalkit_prompt(question, options, hint),
            },
            answers=[letter_at(row["answer"], options, where)],
            options=options,
            category=present(row["subject"]) or "",
        )
