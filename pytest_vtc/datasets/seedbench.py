"""SEED-Bench, questions on single images: multiple choice in nine kinds of spatial understanding."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from pytest_vtc.datasets.base import DatasetError
from pytest_vtc.datasets.choices import letter, letter_prompt, options_in, vlmevalkit_prompt
from pytest_vtc.datasets.hub_dataset import HubDataset, Question, Row
from pytest_vtc.datasets.row_values import text

KINDS = MappingProxyType(
    {
        "1": "Scene Understanding",
        "2": "Instance Identity",
        "3": "Instance Attributes",
        "4": "Instance Location",
        "5": "Instances Counting",
        "6": "Spatial Relation",
        "7": "Instance Interaction",
        "8": "Visual Reasoning",
        "9": "Text Understanding",
    }
)
"""By question_type_id; from 10 on they are about videos."""


class SeedBench(HubDataset):
    """Li et al., "SEED-Bench: Benchmarking Multimodal LLMs with Generative Comprehension", CVPR 2024; image questions.

    The authors rank the options by likelihood and generate nothing, so that there is no official rule for what a model
    says; scored is the first character, as in lmms-eval (`seed_llava`: the letter and nothing else).
    The questions on videos are left out, eight frames each: most of the bytes. lmms-eval sets no limit of new tokens
    here; 16 is that of its SEED-Bench-2-Plus. Unverified: the size of the download.
    """

    name: ClassVar[str] = "seedbench"
    description: ClassVar[str] = "SEED-Bench, image questions: four options, nine kinds"
    licence: ClassVar[str] = "CC BY-NC 4.0"
    scoring: ClassVar[str] = "seed_lmms"
    scorings: ClassVar[Mapping[str, str]] = MappingProxyType({"lmms": "seed_lmms", "vlmevalkit": "mcq_vlmevalkit"})
    prompt_style: ClassVar[str] = "lmms"
    prompt_styles: ClassVar[tuple[str, ...]] = ("llava", "vlmevalkit")
    max_new_tokens: ClassVar[int] = 16
    about_mb: ClassVar[int] = 27_000
    repositories: ClassVar[tuple[str, ...]] = ("lmms-lab-encoder/SEED-Bench", "lmms-lab/SEED-Bench")
    split: ClassVar[str] = "test"
    columns: ClassVar[tuple[str, ...]] = (
        *("question_id", "question_type_id", "data_type", "data_id", "question"),
        *("choice_a", "choice_b", "choice_c", "choice_d", "answer"),
    )
    size: ClassVar[int | None] = 14_233
    sparse: ClassVar[bool] = True

    def question(self, row: Row, where: str) -> Question | None:
        if text(row, "data_type", where) != "image":
            return None
        number, kind = text(row, "question_id", where), text(row, "question_type_id", where)
        where = f"{where} ({number})"
        if kind not in KINDS:
            raise DatasetError(f"{where}: the question type of an image is {kind!r}, none of 1 to {len(KINDS)}")
        question = text(row, "question", where)
        options = options_in(row, ("choice_a", "choice_b", "choice_c", "choice_d"), where)
        lettered = letter_prompt(question, options)
        return Question(
            # Questions of two kinds may have the same id.
            id=f"{kind}-{number}",
            prompts={"lmms": lettered, "llava": lettered, "vlmevalkit": vlmevalkit_prompt(question, options)},
            answers=[letter(row["answer"], options, where)],
            options=options,
            category=KINDS[kind],
            group=text(row, "data_id", where),
        )
