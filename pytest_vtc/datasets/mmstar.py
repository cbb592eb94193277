"""MMStar: multiple choice that cannot be answered without the image, in six abilities of three kinds each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from pytest_vtc.datasets.base import DatasetError
from pytest_vtc.datasets.choices import letter, present
from pytest_vtc.datasets.hub_dataset import HubDataset, Question, Row
from pytest_vtc.datasets.row_values import text

POST_PROMPT = "Answer with the option's letter from the given choices directly"
"""Without a full stop, as lmms-eval has it here."""

_IN_A_LINE = re.compile(r"(?:^|, )([A-Z]): ")
_ON_LINES = re.compile(r"(?:^|\n)\(([A-Z])\) ")


class MmStar(HubDataset):
    """Chen et al., "Are We on the Right Way for Evaluating Large Vision-Language Models?", NeurIPS 2024, val.

    The question holds its options: "Options: A: ..., B: ..." in a line, or "(A) ..." on lines of their own; "nan" at
    their end is none. The category is category/l2_category. The metric is lmms-eval's mean over the 18 finer
    categories; the authors report plain accuracy, by a rule of their own that is not here.
    lmms-eval sets no limit of new tokens here; 128 are those of its other letters. VLMEvalKit has a table of its own,
    with options in columns: its rule is here, its prompts are not.
    """

    name: ClassVar[str] = "mmstar"
    description: ClassVar[str] = "MMStar: multiple choice that needs the image, 18 kinds"
    licence: ClassVar[str] = "none stated"
    scoring: ClassVar[str] = "mmstar_lmms"
    scorings: ClassVar[Mapping[str, str]] = MappingProxyType({"lmms": "mmstar_lmms", "vlmevalkit": "mcq_vlmevalkit"})
    published: ClassVar[str | None] = "category_mean"
    prompt_style: ClassVar[str] = "lmms"
    max_new_tokens: ClassVar[int] = 128
    about_mb: ClassVar[int] = 42
    repositories: ClassVar[tuple[str, ...]] = ("Lin-Chen/MMStar",)
    split: ClassVar[str] = "val"
    columns: ClassVar[tuple[str, ...]] = ("index", "question", "answer", "category", "l2_category")
    size: ClassVar[int | None] = 1_500

    def question(self, row: Row, where: str) -> Question | None:
        index = text(row, "index", where)
        where = f"{where} ({index})"
        question = text(row, "question", where)
        options = options_within(question)
        if len(options) < 2:
            raise DatasetError(f"{where}: no options are in the question {question!r}")
        return Question(
            id=index,
            prompts={"lmms": f"{question.strip()}\n{POST_PROMPT}"},
            answers=[letter(row["answer"], options, where)],
            options=options,
            category=f"{text(row, 'category', where)}/{text(row, 'l2_category', where)}",
        )


def options_within(question: str) -> list[str]:
    """The options that a question ends with; empty if it has none that begin with A and go on without a gap."""
    _, headed, in_a_line = question.rpartition("Options: ")
    parts = _IN_A_LINE.split(in_a_line) if headed else _ON_LINES.split(question)
    letters, options = parts[1::2], [option.strip() for option in parts[2::2]]
    if letters != [chr(ord("A") + place) for place in range(len(letters))]:
        return []
    while options and present(options[-1]) is None:
        options.pop()
    return options
