"""MathVista: mathematics in figures, charts, tables and photographs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, cast

from pytest_vtc.datasets.base import DatasetError
from pytest_vtc.datasets.choices import lettered
from pytest_vtc.datasets.hub_dataset import HubDataset, Question, Row
from pytest_vtc.datasets.row_values import text, texts

_SHORT: Mapping[tuple[str, int | None], str] = MappingProxyType(
    {
        ("text", None): "Answer with the option's letter from the given choices directly.",
        ("integer", None): "Answer the question using a single integer number.",
        ("float", 1): "Answer the question using a single floating-point number with one decimal place.",
        ("float", 2): "Answer the question using a single floating-point number with two decimal places.",
        ("list", None): "Answer the question using a Python list.",
    }
)
"""How lmms-eval asks for each type of answer (and number of decimals)."""


class MathVista(HubDataset):
    """Lu et al., "MathVista: Evaluating Mathematical Reasoning of Foundation Models in Visual Contexts", ICLR 2024.

    Test-mini; the answers of test are hidden. Published figures have a language model extract the answer from what is
    said before it is compared. No rule here does: a model that explains itself scores less than published.
    The official prompt is the column `query`; `lmms` is lmms-eval's `format`, which asks for the bare answer (its `cot`
    and `solution` are not here). 1,024 new tokens, where lmms-eval gives models that think 16,384.
    """

    name: ClassVar[str] = "mathvista"
    description: ClassVar[str] = "MathVista, test-mini (test is hidden): mathematics in images"
    licence: ClassVar[str] = "CC BY-SA 4.0, not for training; terms of the images' sources"
    scoring: ClassVar[str] = "mathvista_normalize"
    scorings: ClassVar[Mapping[str, str]] = MappingProxyType({"official": "mathvista_normalize"})
    prompt_style: ClassVar[str] = "official"
    prompt_styles: ClassVar[tuple[str, ...]] = ("lmms",)
    max_new_tokens: ClassVar[int] = 1_024
    about_mb: ClassVar[int] = 142
    repositories: ClassVar[tuple[str, ...]] = ("AI4Math/MathVista",)
    split: ClassVar[str] = "testmini"
    columns: ClassVar[tuple[str, ...]] = (
        *("pid", "question", "choices", "unit", "precision", "answer"),
        *("question_type", "answer_type", "metadata", "query"),
    )
    image_columns: ClassVar[tuple[str, ...]] = ("decoded_image",)
    size: ClassVar[int | None] = 1_000

    def question(self, row: Row, where: str) -> Question | None:
        pid = text(row, "pid", where)
        where = f"{where} ({pid})"
        choices, answer = texts(row, "choices", where), text(row, "answer", where)
        kind, form = text(row, "question_type", where), text(row, "answer_type", where)
        if (kind == "multi_choice") != (answer in choices):
            raise DatasetError(f"{where}: the answer {answer!r} of a {kind} question, whose choices are {choices}")
        decimals = _decimals(row["precision"])
        return Question(
            id=pid,
            prompts={
                "official": text(row, "query", where),
                "lmms": _short(row, choices, _SHORT.get((form, decimals)), where),
            },
            answers=[answer],
            options=choices,
            category=_task(row),
            facts={
                "question_type": kind,
                "answer_type": form,
                **({} if decimals is None else {"precision": str(decimals)}),
            },
        )


def _decimals(precision: Any) -> int | None:
    # A column of floats; what is no number (NaN) is what some writers make of null.
    return int(precision) if isinstance(precision, int | float) and math.isfinite(precision) else None


def _short(row: Row, choices: Sequence[str], ending: str | None, where: str) -> str:
    if ending is None:
        raise DatasetError(
            f"{where}: an answer of type {row['answer_type']!r} with a precision of {row['precision']!r}"
        )
    unit = f" (Unit: {row['unit']})" if row["unit"] else ""
    lines = [text(row, "question", where) + unit, lettered(choices), ending]
    return "\n".join(line for line in lines if line).strip()


def _task(row: Row) -> str:
    metadata: Any = row["metadata"]
    return str(cast("Mapping[str, Any]", metadata).get("task") or "") if isinstance(metadata, Mapping) else ""
