"""MMMU: college-level questions in thirty subjects, most of multiple choice, some open."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import ClassVar

from pytest_vtc.datasets.base import DatasetError
from pytest_vtc.datasets.choices import LETTER_PROMPT, letter, lettered
from pytest_vtc.datasets.hub_dataset import HubDataset, Question, Row
from pytest_vtc.datasets.mme import SHORT_ANSWER_PROMPT
from pytest_vtc.datasets.mmmu_rows import IMAGE_COLUMNS, images_of, options_of
from pytest_vtc.datasets.row_values import expected, text

_ID = re.compile(r"[^_]+_(?P<subject>.+)_\d+")
_KINDS = ("multiple-choice", "open")


class Mmmu(HubDataset):
    """Yue et al., "MMMU: A Massive Multi-discipline Multimodal Understanding and Reasoning Benchmark for Expert AGI",
    CVPR 2024, validation: 847 questions of multiple choice and 53 open ones. The category is the subject.

    `<image k>` stays in the text, and the images that question and options mention stand before it, by number.
    VLMEvalKit puts images into the text and makes multiple choice of open questions, where the other option is
    "Other Answers": neither its prompts nor its rule are here.
    """

    name: ClassVar[str] = "mmmu"
    description: ClassVar[str] = "MMMU, validation: college subjects, multiple choice and open"
    licence: ClassVar[str] = "Apache-2.0"
    scoring: ClassVar[str] = "mmmu_official"
    scorings: ClassVar[Mapping[str, str]] = MappingProxyType({"official": "mmmu_official", "lmms": "mmmu_lmms"})
    published: ClassVar[str | None] = "mmmu"
    prompt_style: ClassVar[str] = "lmms"
    prompt_styles: ClassVar[tuple[str, ...]] = ("official",)
    max_new_tokens: ClassVar[int] = 128
    about_mb: ClassVar[int] = 348
    repositories: ClassVar[tuple[str, ...]] = ("lmms-lab-encoder/MMMU", "lmms-lab/MMMU", "MMMU/MMMU")
    split: ClassVar[str] = "validation"
    columns: ClassVar[tuple[str, ...]] = ("id", "question", "options", "answer", "question_type")
    image_columns: ClassVar[tuple[str, ...]] = IMAGE_COLUMNS
    size: ClassVar[int | None] = 900

    def question(self, row: Row, where: str) -> Question | None:
        question_id = text(row, "id", where)
        where = f"{where} ({question_id})"
        if (named := _ID.fullmatch(question_id)) is None:
            raise DatasetError(f"{where}: its id names no subject; expected one like validation_Art_Theory_1")
        kind, question = text(row, "question_type", where), text(row, "question", where)
        if kind not in _KINDS:
            raise DatasetError(f"{where}: the question type is {kind!r}, none of {', '.join(_KINDS)}")
        if kind == "open":
            options, answers = list[str](), expected(row, "answer", where)
            prompts = {"lmms": f"{question}\n\n{SHORT_ANSWER_PROMPT}", "official": f"{question}\n{SHORT_ANSWER_PROMPT}"}
        else:
            options = options_of(row["options"], where, least=2)
            answers = [letter(row["answer"], options, where)]
            official = "".join(f"({chr(ord('A') + place)}) {option}\n" for place, option in enumerate(options))
            prompts = {
                "lmms": f"{question}\n{lettered(options)}\n\n{LETTER_PROMPT}",
                "official": f"{question}\n{official}\n{LETTER_PROMPT}",
            }
        return Question(question_id, prompts, answers, options, category=named["subject"])

    def pictures(self, row: Row, question: Question, where: str) -> Iterator[tuple[str | None, bytes]]:
        return ((None, data) for _, data in images_of(row, str(row["question"]), question.options, where))
