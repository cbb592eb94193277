"""MIA-Bench: instructions of several parts on one image, each of which a judge checks."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from pytest_vtc.datasets.base import DatasetError
from pytest_vtc.datasets.hub_dataset import HubDataset, Question, Row


class MiaBench(HubDataset):
    """Qian et al., "MIA-Bench: Towards Better Instruction Following Evaluation of Multimodal LLMs", arXiv 2407.01509.

    What an answer is held against are the parts of the instruction: they are its `answers`, their points the fact
    `weights`, their kinds the fact `kinds`. Rows have no id: it is made of the instruction and its parts.
    """

    name: ClassVar[str] = "mia_bench"
    description: ClassVar[str] = "MIA-Bench: layered instructions, judged"
    licence: ClassVar[str] = "Apple's (LICENSE.md of apple/ml-mia-bench)"
    scoring: ClassVar[str] = "mia_bench"
    scorings: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"official": "mia_bench", "lmms": "mia_bench_lmms", "vlmevalkit": "mia_bench"}
    )
    published: ClassVar[str | None] = "mia_bench"
    prompt_style: ClassVar[str] = "official"
    prompt_styles: ClassVar[tuple[str, ...]] = ("lmms", "vlmevalkit")
    max_new_tokens: ClassVar[int] = 512
    about_mb: ClassVar[int] = 186
    repositories: ClassVar[tuple[str, ...]] = ("lmms-lab-encoder/MIA-Bench", "lmms-lab/MIA-Bench")
    split: ClassVar[str] = "test"
    columns: ClassVar[tuple[str, ...]] = ("instruction", "type", "components", "component_weight", "component_type")
    size: ClassVar[int | None] = 400

    def question(self, row: Row, where: str) -> Question | None:
        text = str(row["instruction"])
        parts = [str(part) for part in row["components"]]
        weights = [str(weight) for weight in row["component_weight"]]
        kinds = [str(kind) for kind in row["component_type"]]
        if not (len(parts) == len(weights) == len(kinds) > 0):
            counts = f"{len(parts)} parts, {len(weights)} weights and {len(kinds)} kinds"
            raise DatasetError(f"{where}: its instruction has {counts}; there should be as many of each")
        if any("," in kind for kind in kinds):
            raise DatasetError(f"{where}: a kind of its parts has a comma in it: {', '.join(map(repr, kinds))}")
        return Question(
            id=hashlib.sha256("\n".join([text, *parts]).encode()).hexdigest()[:10],
            prompts={"official": text, "lmms": text, "vlmevalkit": text},
            answers=parts,
            category=str(row["type"]),
            facts={"weights": ",".join(weights), "kinds": ",".join(kinds)},
        )
