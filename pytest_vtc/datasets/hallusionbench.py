"""HallusionBench: yes-or-no questions on figures and on altered ones, which show who looks and who remembers."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from pytest_vtc.datasets.base import DatasetError
from pytest_vtc.datasets.hub_dataset import HubDataset, Question, Row
from pytest_vtc.datasets.row_values import text

_ANSWERS = MappingProxyType({"0": "no", "1": "yes"})


class HallusionBench(HubDataset):
    """Guan et al., "HallusionBench: An Advanced Diagnostic Suite for Entangled Language Hallucination and Visual
    Illusion in Large Vision-Language Models", CVPR 2024.

    The 951 questions with an image, as in VLMEvalKit. The 178 others (split `non_image`) are left out: without an image
    there is nothing to compress. Papers that count all 1,129 report other figures.
    The authors and lmms-eval have a language model compare an answer with the detailed one; the rule here is
    VLMEvalKit's, which reads yes or no and asks no model. A group is a set of figures with all its questions.
    """

    name: ClassVar[str] = "hallusionbench"
    description: ClassVar[str] = "HallusionBench: yes or no on figures and altered figures"
    licence: ClassVar[str] = "BSD 3-Clause"
    scoring: ClassVar[str] = "yorn_vlmevalkit"
    scorings: ClassVar[Mapping[str, str]] = MappingProxyType({"vlmevalkit": "yorn_vlmevalkit"})
    published: ClassVar[str | None] = "hallusion"
    whole_groups: ClassVar[bool] = True
    prompt_style: ClassVar[str] = "lmms"
    prompt_styles: ClassVar[tuple[str, ...]] = ("official", "vlmevalkit")
    max_new_tokens: ClassVar[int] = 128
    about_mb: ClassVar[int] = 147
    repositories: ClassVar[tuple[str, ...]] = ("lmms-lab-encoder/HallusionBench", "lmms-lab/HallusionBench")
    split: ClassVar[str] = "image"
    columns: ClassVar[tuple[str, ...]] = (
        *("category", "subcategory", "visual_input", "set_id", "figure_id", "question_id"),
        *("question", "gt_answer"),
    )
    size: ClassVar[int | None] = 951
    n_groups: ClassVar[int | None] = 154

    def question(self, row: Row, where: str) -> Question | None:
        parts = [text(row, column, where) for column in self.columns[:6]]
        category, part, _, figures, figure, number = parts
        where = f"{where} ({'_'.join(parts)})"
        if (answer := _ANSWERS.get(str(row["gt_answer"]).strip())) is None:
            raise DatasetError(f"{where}: the answer is {row['gt_answer']!r}, neither 0 nor 1")
        question = text(row, "question", where)
        return Question(
            id="_".join(parts),
            prompts=dict.fromkeys((self.prompt_style, *self.prompt_styles), question),
            answers=[answer],
            category=f"{category}/{part}",
            # The published figures tell sets apart by sub-category and number alone.
            group=f"{part}/{figures}",
            facts={"set": figures, "figure": figure, "question": number},
        )
