"""MMMU-Pro: 1,730 multiple-choice questions from college subjects, in its three configurations.

https://huggingface.co/datasets/MMMU/MMMU_Pro. The images that question and options mention stand before the text by
number, once each, in every style, as in lmms-eval. MMMU-Pro's own script has them in the order of their mention, again
where they are mentioned again, which is another order in 58 rows; VLMEvalKit puts them in the place of `<image k>`.
Styles: `lmms`, with `<image k>` left in the text; `official`, the direct prompt of MMMU-Pro's own script for
transformers, with `[image]` in their place; `vlmevalkit`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar

from pytest_vtc.datasets.base import DatasetError
from pytest_vtc.datasets.choices import lettered
from pytest_vtc.datasets.hub_dataset import HubDataset, Question, Row
from pytest_vtc.datasets.mmmu_rows import IMAGE_COLUMNS, MENTION, images_of, options_of
from pytest_vtc.datasets.originals import image_bytes

POST_PROMPT = "Answer with the option letter from the given choices directly."
LAST_LINE = (
    "The last line of your response should be of the following format: 'Answer: $LETTER' (without quotes) where LETTER "
    "is one of options."
)
VLMEVALKIT_PROMPT = "Answer directly with the option letter from the given choices. "
_LETTERS = "ABCDEFGHIJKL"
_PLACEHOLDER = "[image]"


class MmmuPro(HubDataset):
    """Yue et al., "MMMU-Pro: A More Robust Multi-discipline Multimodal Understanding Benchmark", arXiv 2409.02813.

    The standard configuration with four options, which the seed project vtbench reports on.
    """

    name: ClassVar[str] = "mmmu_pro"
    description: ClassVar[str] = "MMMU-Pro, standard, 4 options: college subjects, multiple choice"
    licence: ClassVar[str] = "Apache-2.0"
    scoring: ClassVar[str] = "mmmu_pro_official"
    scorings: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"official": "mmmu_pro_official", "lmms": "mmmu_mc_lmms", "vlmevalkit": "mcq_vlmevalkit"}
    )
    prompt_style: ClassVar[str] = "lmms"
    prompt_styles: ClassVar[tuple[str, ...]] = ("official", "vlmevalkit")
    max_new_tokens: ClassVar[int] = 256
    about_mb: ClassVar[int] = 678
    repositories: ClassVar[tuple[str, ...]] = ("MMMU/MMMU_Pro",)
    configs: ClassVar[tuple[str, ...]] = ("standard (4 options)",)
    split: ClassVar[str] = "test"
    columns: ClassVar[tuple[str, ...]] = ("id", "question", "options", "answer", "subject")
    image_columns: ClassVar[tuple[str, ...]] = IMAGE_COLUMNS
    size: ClassVar[int | None] = 1_730

    def question(self, row: Row, where: str) -> Question:
        where = f"{where} ({row['id']})"
        options, answer = options_of(row["options"], where), str(row["answer"]).strip()
        if len(answer) != 1 or answer not in _LETTERS:
            raise DatasetError(f"{where}: the answer is {answer!r}, not a letter from A to {_LETTERS[-1]}")
        return Question(
            id=str(row["id"]),
            prompts=self.prompts(row, options),
            answers=[answer],
            options=options,
            category=str(row["subject"] or ""),
            group=str(row["id"]),
        )

    def prompts(self, row: Row, options: Sequence[str]) -> Mapping[str, str]:
        text, choices = row["question"], lettered(options)
        return {
            "lmms": f"{text}\n{choices}\n\n{POST_PROMPT}",
            "official": MENTION.sub(_PLACEHOLDER, f"{text}\n{choices}\n{POST_PROMPT}"),
            "vlmevalkit": f"Question: {text}\nOptions:\n{choices}\n{VLMEVALKIT_PROMPT}",
        }

    def pictures(self, row: Row, question: Question, where: str) -> Iterator[tuple[str, bytes]]:
        """The row's images that question and options mention, by number."""
        for k, data in images_of(row, str(row["question"]), question.options, where):
            yield f"{question.id}_{k}", data


class MmmuPro10(MmmuPro):
    """The standard configuration with up to ten options (twelve in fact), which the leaderboard reports on."""

    name: ClassVar[str] = "mmmu_pro_10"
    description: ClassVar[str] = "MMMU-Pro, standard, 10 options: as mmmu_pro, guessing pays less"
    configs: ClassVar[tuple[str, ...]] = ("standard (10 options)", "standard")


class MmmuProVision(MmmuPro):
    """The vision configuration: question and options are part of the picture.

    lmms-eval finds no question in these rows and compares the whole answer with the letter.
    """

    name: ClassVar[str] = "mmmu_pro_vision"
    description: ClassVar[str] = "MMMU-Pro, vision: the question itself stands in the picture"
    scorings: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"official": "mmmu_pro_official", "lmms": "seed_llava", "vlmevalkit": "mcq_vlmevalkit"}
    )
    about_mb: ClassVar[int] = 1_630
    configs: ClassVar[tuple[str, ...]] = ("vision",)
    columns: ClassVar[tuple[str, ...]] = ("id", "options", "answer", "subject")
    image_columns: ClassVar[tuple[str, ...]] = ("image",)

    def prompts(self, row: Row, options: Sequence[str]) -> Mapping[str, str]:  # noqa: ARG002
        return {
            "lmms": POST_PROMPT,
            "official": f"{POST_PROMPT} {LAST_LINE}",
            "vlmevalkit": f"Answer the following multiple-choice question in the image. {VLMEVALKIT_PROMPT}",
        }

    def pictures(self, row: Row, question: Question, where: str) -> Iterator[tuple[str, bytes]]:  # noqa: ARG002
        if (data := image_bytes(row["image"])) is not None:
            yield f"{question.id}_1", data
