"""LLaVA-Bench (in the wild): conversations, descriptions and reasoning, graded by a judge beside reference answers."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from pytest_vtc.datasets.base import DatasetError
from pytest_vtc.datasets.hub_dataset import HubDataset, Question, Row
from pytest_vtc.datasets.row_values import text


class LlavaBench(HubDataset):
    """Liu et al., "Visual Instruction Tuning", arXiv 2304.08485. 60 questions on 24 images.

    The judge does not see the image: it is told what is in it by the `caption`, and compares with the answer of GPT-4.
    """

    name: ClassVar[str] = "llava_bench"
    description: ClassVar[str] = "LLaVA-Bench in the wild: open questions, judged"
    licence: ClassVar[str] = "Apache-2.0"
    scoring: ClassVar[str] = "llava_bench"
    scorings: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"official": "llava_bench", "lmms": "llava_bench_lmms", "vlmevalkit": "llava_bench"}
    )
    published: ClassVar[str | None] = "llava_bench"
    prompt_style: ClassVar[str] = "official"
    prompt_styles: ClassVar[tuple[str, ...]] = ("lmms", "vlmevalkit")
    max_new_tokens: ClassVar[int] = 1024
    about_mb: ClassVar[int] = 10
    repositories: ClassVar[tuple[str, ...]] = (
        "lmms-lab-encoder/llava-bench-in-the-wild",
        "lmms-lab/llava-bench-in-the-wild",
    )
    split: ClassVar[str] = "train"
    columns: ClassVar[tuple[str, ...]] = (
        "question_id", "question", "caption", "gpt_answer", "category", "image_id",
    )  # fmt: skip
    size: ClassVar[int | None] = 60

    def question(self, row: Row, where: str) -> Question | None:
        asked, captions = str(row["question"]), row["caption"]
        caption = "\n".join(map(str, captions)) if isinstance(captions, list) else str(captions or "")
        if not caption.strip():
            raise DatasetError(f"{where}: it has no caption, from which the judge knows the image")
        return Question(
            id=str(row["question_id"]),
            prompts=dict.fromkeys(("official", "lmms", "vlmevalkit"), asked),
            answers=[str(row["gpt_answer"])],
            category=str(row["category"]).removeprefix("llava_bench_"),
            group=text(row, "image_id", where),
            facts={"caption": caption},
        )
