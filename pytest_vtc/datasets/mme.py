"""MME: two yes-or-no questions on each image, in fourteen tasks of perception and cognition."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from pytest_vtc.datasets.base import DatasetError
from pytest_vtc.datasets.hub_dataset import HubDataset, Question, Row
from pytest_vtc.datasets.row_values import text

SHORT_ANSWER_PROMPT = "Answer the question using a single word or phrase."
"""How LLaVA and lmms-eval ask for a short answer."""

_OFFICIAL_ENDING = " Please answer yes or no."


class Mme(HubDataset):
    """Fu et al., "MME: A Comprehensive Evaluation Benchmark for Multimodal Large Language Models", arXiv 2306.13394.

    Prompts: those of lmms-eval and LLaVA ask for a word or phrase instead of the official "Please answer yes or no.";
    the official one, which VLMEvalKit takes, is the question as it is published. The authors give the images out on
    request, for research; the Hub's copy is open.
    """

    name: ClassVar[str] = "mme"
    description: ClassVar[str] = "MME: yes or no, two questions an image, 14 tasks"
    licence: ClassVar[str] = "research only"
    scoring: ClassVar[str] = "mme_yesno_official"
    scorings: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"official": "mme_yesno_official", "lmms": "mme_yesno_lmms", "vlmevalkit": "yorn_vlmevalkit"}
    )
    published: ClassVar[str | None] = "mme"
    whole_groups: ClassVar[bool] = True
    prompt_style: ClassVar[str] = "lmms"
    prompt_styles: ClassVar[tuple[str, ...]] = ("official", "llava", "vlmevalkit")
    max_new_tokens: ClassVar[int] = 16
    about_mb: ClassVar[int] = 864
    repositories: ClassVar[tuple[str, ...]] = ("lmms-lab-encoder/MME", "lmms-lab/MME")
    split: ClassVar[str] = "test"
    columns: ClassVar[tuple[str, ...]] = ("question_id", "question", "answer", "category")
    size: ClassVar[int | None] = 2_374
    n_groups: ClassVar[int | None] = 1_187

    def question(self, row: Row, where: str) -> Question | None:
        image = text(row, "question_id", where)
        where = f"{where} ({image})"
        question = text(row, "question", where)
        short = f"{question.strip().replace(_OFFICIAL_ENDING, '')}\n{SHORT_ANSWER_PROMPT}"
        # Both questions on an image have its name for their id.
        return Question(
            id=f"{image}-{hashlib.sha256(question.encode()).hexdigest()[:6]}",
            prompts={"lmms": short, "official": question, "llava": short, "vlmevalkit": question},
            answers=[yes_or_no(row, where)],
            category=text(row, "category", where),
            group=image,
        )


def yes_or_no(row: Row, where: str) -> str:
    """The answer of a row, in lower case. Raises DatasetError, beginning with `where`, if it is anything else."""
    answer = str(row["answer"]).strip().lower()
    if answer not in ("yes", "no"):
        raise DatasetError(f"{where}: the answer is {row['answer']!r}, neither yes nor no")
    return answer
