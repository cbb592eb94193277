"""POPE: is there such an object in the image, asked of objects that are there and of three choices of others."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from pytest_vtc.datasets.base import DatasetError
from pytest_vtc.datasets.hub_dataset import HubDataset, Question, Row
from pytest_vtc.datasets.mme import SHORT_ANSWER_PROMPT, yes_or_no
from pytest_vtc.datasets.row_values import text

CATEGORIES = ("random", "popular", "adversarial")
"""How the objects that are not there were chosen."""


class Pope(HubDataset):
    """Li et al., "Evaluating Object Hallucination in Large Vision-Language Models", EMNLP 2023.

    3,000 questions of each of three categories, six on each of 500 images; a draw takes all eighteen on an image, nine
    of which are answered yes. (LLaVA's own file of the random category has 2,910.) The three categories share the
    questions on objects that are there.
    """

    name: ClassVar[str] = "pope"
    description: ClassVar[str] = "POPE: is there such an object; random, popular and adversarial ones"
    licence: ClassVar[str] = "MIT (questions); COCO terms (images)"
    scoring: ClassVar[str] = "pope_official"
    scorings: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"official": "pope_official", "lmms": "pope_lmms", "vlmevalkit": "yorn_vlmevalkit"}
    )
    published: ClassVar[str | None] = "pope"
    whole_groups: ClassVar[bool] = True
    prompt_style: ClassVar[str] = "lmms"
    prompt_styles: ClassVar[tuple[str, ...]] = ("official", "llava", "vlmevalkit")
    max_new_tokens: ClassVar[int] = 128
    about_mb: ClassVar[int] = 255
    repositories: ClassVar[tuple[str, ...]] = ("lmms-lab-encoder/POPE", "lmms-lab/POPE")
    split: ClassVar[str] = "test"
    columns: ClassVar[tuple[str, ...]] = ("question_id", "question", "answer", "image_source", "category")
    size: ClassVar[int | None] = 9_000
    n_groups: ClassVar[int | None] = 500

    def question(self, row: Row, where: str) -> Question | None:
        number, category = text(row, "question_id", where), text(row, "category", where).strip().lower()
        where = f"{where} ({category} {number})"
        if category not in CATEGORIES:
            raise DatasetError(f"{where}: the category is {row['category']!r}, none of {', '.join(CATEGORIES)}")
        question = text(row, "question", where)
        short = f"{question.strip()}\n{SHORT_ANSWER_PROMPT}"
        return Question(
            # Each category counts its questions from 1.
            id=f"{category}-{number}",
            prompts={"lmms": short, "official": question, "llava": short, "vlmevalkit": question},
            answers=[yes_or_no(row, where)],
            category=category,
            group=text(row, "image_source", where),
        )
