"""MMBench: multiple choice in twenty abilities, each question asked once for every rotation of its options."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from pytest_vtc.datasets.base import DatasetError
from pytest_vtc.datasets.choices import LETTER_PROMPT, letter, lines_of, options_in, present, vlmevalkit_prompt
from pytest_vtc.datasets.hub_dataset import HubDataset, Question, Row
from pytest_vtc.datasets.row_values import text

_STEP = 1_000_000
"""How far the indices of two rotations of a question lie apart."""


class MmBenchEn(HubDataset):
    """Liu et al., "MMBench: Is Your Multi-modal Model an All-around Player?", ECCV 2024; dev, in English.

    1,164 questions in 4,329 rows: a question is a group, and the published metric counts it if every rotation is right.
    The answers of test are hidden. The rule of VLMEvalKit, which is the authors' own, would ask a language model about
    what it cannot read; here that is wrong. `lmms` is lmms-eval's rule without a judge. LLaVA's own script takes an
    option called "None" for the end of the options; here it is one of them in that style, too.
    """

    name: ClassVar[str] = "mmbench_en"
    description: ClassVar[str] = "MMBench, English, dev (test is hidden): options in every rotation"
    licence: ClassVar[str] = "Apache-2.0"
    scoring: ClassVar[str] = "mcq_vlmevalkit"
    scorings: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"official": "mcq_vlmevalkit", "lmms": "mmbench_lmms_static", "vlmevalkit": "mcq_vlmevalkit"}
    )
    published: ClassVar[str | None] = "circular"
    whole_groups: ClassVar[bool] = True
    prompt_style: ClassVar[str] = "lmms"
    prompt_styles: ClassVar[tuple[str, ...]] = ("llava", "vlmevalkit")
    max_new_tokens: ClassVar[int] = 1_024
    about_mb: ClassVar[int] = 97
    repositories: ClassVar[tuple[str, ...]] = ("lmms-lab-encoder/MMBench", "lmms-lab/MMBench")
    configs: ClassVar[tuple[str, ...]] = ("en",)
    split: ClassVar[str] = "dev"
    columns: ClassVar[tuple[str, ...]] = ("index", "question", "hint", "A", "B", "C", "D", "answer", "category")
    size: ClassVar[int | None] = 4_329
    n_groups: ClassVar[int | None] = 1_164
    letter_prompts: ClassVar[Mapping[str, str]] = MappingProxyType({"lmms": LETTER_PROMPT, "llava": LETTER_PROMPT})
    """How lmms-eval and LLaVA ask for the letter."""

    def question(self, row: Row, where: str) -> Question | None:
        index = _index(row, where)
        where = f"{where} ({index})"
        question, hint = text(row, "question", where), present(row["hint"])
        options = options_in(row, ("A", "B", "C", "D"), where)
        asked = question if hint is None else f"{hint} {question}"
        headed = question if hint is None else f"{hint}\n{question}"
        return Question(
            id=str(index),
            prompts={
                "lmms": f"{asked} There are several options:\n{lines_of(options)}\n\n{self.letter_prompts['lmms']}",
                "llava": f"{headed}\n{lines_of(options)}\n{self.letter_prompts['llava']}",
                "vlmevalkit": vlmevalkit_prompt(question, options, hint),
            },
            answers=[letter(row["answer"], options, where)],
            options=options,
            category=text(row, "category", where),
            group=str(index % _STEP),
            facts={"rotation": str(index // _STEP)},
        )


class MmBenchCn(MmBenchEn):
    """Liu et al., "MMBench: Is Your Multi-modal Model an All-around Player?", ECCV 2024; dev, in Chinese.

    As the English one. lmms-eval begins the prompts of questions without a hint with "nan"; those here do not.
    """

    name: ClassVar[str] = "mmbench_cn"
    description: ClassVar[str] = "MMBench, Chinese, dev (test is hidden): options in every rotation"
    max_new_tokens: ClassVar[int] = 256
    configs: ClassVar[tuple[str, ...]] = ("cn",)
    letter_prompts: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"lmms": "请直接使用所提供的选项字母作为答案回答。", "llava": "请直接回答选项字母。"}
    )


def _index(row: Row, where: str) -> int:
    try:
        return int(row["index"])  # some revisions hold strings
    except (TypeError, ValueError) as error:
        raise DatasetError(f"{where}: the index is {row['index']!r}, no whole number") from error
