"""MMBench from parquet files of its published schema: whole prompts, rotations of a question, types that drift."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import Features, Image, Value
from hub_tables import Table, cut_groups
from published_rows import Rows, encoded

from pytest_vtc.datasets.base import DatasetError, Draw
from pytest_vtc.datasets.mmbench import MmBenchCn, MmBenchEn

TEXT = Value("string")
FEATURES = Features(
    {
        "index": Value("int64"), "question": TEXT, "hint": TEXT, "answer": TEXT, "A": TEXT, "B": TEXT, "C": TEXT,
        "D": TEXT, "category": TEXT, "image": Image(), "source": TEXT, "L2-category": TEXT, "comment": TEXT,
        "split": TEXT,
    }
)  # fmt: skip
EN = Table(MmBenchEn(), FEATURES, "en/dev-00000-of-00001.parquet")
CN = Table(MmBenchCn(), FEATURES, "cn/dev-00000-of-00001.parquet")


def row(index: int | str, **changes: Any) -> dict[str, Any]:
    return {
        "index": index,
        "question": "Which is larger?",
        "hint": "nan",
        "answer": "B",
        "A": "left",
        "B": "right",
        "C": "nan",
        "D": "nan",
        "category": "spatial_relationship",
        "image": encoded(f"#{int(index) % 1_000_000:06x}", "JPEG"),
        "source": "made",
        "L2-category": "finegrained_perception (cross-instance)",
        "comment": "nan",
        "split": "dev",
        **changes,
    }


def circular(base: int) -> Rows:
    return [
        row(base),
        row(1_000_000 + base, A="right", B="left", answer="A"),
    ]


PROMPTS = {
    "lmms": (
        "Which is larger? There are several options:\nA. left\nB. right\n\n"
        "Answer with the option's letter from the given choices directly."
    ),
    "llava": ("Which is larger?\nA. left\nB. right\nAnswer with the option's letter from the given choices directly."),
    "vlmevalkit": (
        "Question: Which is larger?\nOptions:\nA. left\nB. right\n"
        "Please select the correct answer from the options above. \n"
    ),
}


@pytest.mark.parametrize("style", PROMPTS)
def test_prompt_without_a_hint(tmp_path: Path, style: str) -> None:
    assert EN.fetched(tmp_path, [row(5)], style)[0].prompt == PROMPTS[style]


@pytest.mark.parametrize(
    ("style", "begins"), [("lmms", "Look. "), ("llava", "Look.\n"), ("vlmevalkit", "Hint: Look.\n")]
)
def test_hint_stands_before_the_question(tmp_path: Path, style: str, begins: str) -> None:
    (sample,) = EN.fetched(tmp_path, [row(5, hint="Look.")], style)
    assert sample.prompt == begins + PROMPTS[style]


@pytest.mark.parametrize(
    ("style", "asks"),
    [
        ("lmms", "孰大？ There are several options:\nA. 左\nB. 右\n\n请直接使用所提供的选项字母作为答案回答。"),
        ("llava", "孰大？\nA. 左\nB. 右\n请直接回答选项字母。"),
        (
            "vlmevalkit",
            "Question: 孰大？\nOptions:\nA. 左\nB. 右\nPlease select the correct answer from the options above. \n",
        ),
    ],
)
def test_chinese_prompt_asks_in_chinese(tmp_path: Path, style: str, asks: str) -> None:
    (sample,) = CN.fetched(tmp_path, [row(5, question="孰大？", A="左", B="右")], style)
    assert sample.prompt == asks


@pytest.mark.parametrize("hint", ["nan", None, ""])
def test_hint_that_is_not_there_is_left_out(tmp_path: Path, hint: str | None) -> None:
    assert CN.fetched(tmp_path, [row(5, hint=hint)])[0].prompt.startswith("Which is larger? There")


def test_options_that_are_not_there_are_left_out(tmp_path: Path) -> None:
    samples = EN.fetched(tmp_path, [row(5), row(6, C="both", D=None), row(7, C="both", D="none", answer="D")])
    assert [sample.options for sample in samples] == [
        ("left", "right"),
        ("left", "right", "both"),
        ("left", "right", "both", "none"),
    ]


def test_empty_option_between_others_keeps_its_letter_and_has_no_line(tmp_path: Path) -> None:
    (sample,) = EN.fetched(tmp_path, [row(5, A=None, C="both")])
    assert "options:\nB. right\nC. both\n\n" in sample.prompt
    assert (sample.options, sample.answers) == (("nan", "right", "both"), ("B",))


def test_rotations_of_a_question_are_a_group(tmp_path: Path) -> None:
    samples = EN.fetched(tmp_path, [row for base in (241, 252) for row in circular(base)])
    assert [(sample.id, sample.group, sample.facts["rotation"]) for sample in samples] == [
        ("241", "241", "0"),
        ("1000241", "241", "1"),
        ("252", "252", "0"),
        ("1000252", "252", "1"),
    ]
    assert [sample.answers for sample in samples] == [("B",), ("A",)] * 2
    assert {sample.category for sample in samples} == {"spatial_relationship"}


def test_draw_takes_every_rotation(tmp_path: Path) -> None:
    CN.fetched(tmp_path, [row for base in range(5) for row in circular(base)])
    assert cut_groups("mmbench_cn", tmp_path, 5) == []


def test_part_that_is_fetched_has_every_rotation(tmp_path: Path) -> None:
    rows = [each for base in range(5) for each in circular(base)]
    part = EN.fetched(tmp_path, rows, draw=Draw(5, seed=0))
    assert len(part) == 4
    assert all([s.facts["rotation"] for s in part if s.group == sample.group] == ["0", "1"] for sample in part)


def test_index_that_is_a_string_is_read_as_the_same(tmp_path: Path) -> None:
    drifted = Table(MmBenchEn(), Features({**FEATURES, "index": TEXT}), EN.file)
    (sample,) = drifted.fetched(tmp_path, [row("3000241")])
    assert (sample.id, sample.group, dict(sample.facts)) == ("3000241", "241", {"rotation": "3"})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"answer": "C"}, "the answer is 'C', not the letter of one of 2 options"),
        ({"answer": "nan"}, "the answer is 'nan'"),
        ({"B": "nan", "answer": "A"}, "expected two options or more in A, B, C, D"),
        ({"question": None}, "question is None"),
    ],
)
def test_row_that_is_not_as_published_is_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(DatasetError, match=rf"^mmbench_en, row 2 \(7\): {said}"):
        EN.fetched(tmp_path, [row(6), row(7, **change)])


def test_index_that_is_no_number_names_the_row(tmp_path: Path) -> None:
    drifted = Table(MmBenchEn(), Features({**FEATURES, "index": TEXT}), EN.file)
    with pytest.raises(DatasetError, match=r"^mmbench_en, row 1: the index is 'x'"):
        drifted.fetched(tmp_path, [row(1) | {"index": "x"}])
