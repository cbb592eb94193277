"""HallusionBench from a parquet file of its published schema: sets of figures, which published figures need whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import Features, Image, Value
from hub_tables import Table, cut_groups
from published_rows import encoded

from pytest_vtc.datasets.base import DatasetError
from pytest_vtc.datasets.hallusionbench import HallusionBench

TEXT = Value("string")
TABLE = Table(
    HallusionBench(),
    Features(
        category=TEXT, subcategory=TEXT, visual_input=TEXT, set_id=TEXT, figure_id=TEXT, sample_note=TEXT,
        question_id=TEXT, question=TEXT, gt_answer_details=TEXT, gt_answer=TEXT, filename=TEXT, image=Image(),
    ),
    "data/image-00000-of-00001.parquet",
)  # fmt: skip


def row(
    figures: int, figure: int, number: int, category: str = "VD", part: str = "ocr", **changes: Any
) -> dict[str, Any]:
    return {
        "category": category,
        "subcategory": part,
        "visual_input": "1",
        "set_id": str(figures),
        "figure_id": str(figure),
        "sample_note": "",
        "question_id": str(number),
        "question": f"Does line {number} say so?",
        "gt_answer_details": "It does.",
        "gt_answer": "1",
        "filename": f"./hallusion_bench/{category}/{part}/{figures}_{figure}.png",
        "image": encoded(figure + 1, mode="P"),
        **changes,
    }


@pytest.mark.parametrize("style", [None, "official", "vlmevalkit"])
def test_prompt_is_the_question_alone(tmp_path: Path, style: str | None) -> None:
    assert TABLE.fetched(tmp_path, [row(0, 0, 3)], style)[0].prompt == "Does line 3 say so?"


def test_answer_is_yes_for_one_and_no_for_nought(tmp_path: Path) -> None:
    samples = TABLE.fetched(tmp_path, [row(0, 0, 0), row(0, 0, 1, gt_answer="0")])
    assert [sample.answers for sample in samples] == [("yes",), ("no",)]


def test_sample_knows_its_set_figure_and_question(tmp_path: Path) -> None:
    (sample,) = TABLE.fetched(tmp_path, [row(7, 2, 1, "VS", "chart", visual_input="2")])
    assert dict(sample.facts) == {"set": "7", "figure": "2", "question": "1"}
    assert (sample.id, sample.category) == ("VS_chart_2_7_2_1", "VS/chart")


def test_group_is_the_set_by_its_part_and_number_as_the_published_figures_have_it(tmp_path: Path) -> None:
    rows = [row(1, 0, 0), row(1, 1, 0), row(1, 0, 1, "VS"), row(1, 0, 0, part="math"), row(2, 0, 0)]
    groups = [sample.group for sample in TABLE.fetched(tmp_path, rows)]
    assert groups == ["ocr/1", "ocr/1", "ocr/1", "math/1", "ocr/2"]


def test_draw_takes_whole_sets(tmp_path: Path) -> None:
    TABLE.fetched(tmp_path, [row(s, f, q) for s in range(4) for f in range(2) for q in range(2)])
    assert cut_groups("hallusionbench", tmp_path, 6) == []


def test_numbers_in_place_of_strings_are_read_as_the_same(tmp_path: Path) -> None:
    number = Value("int64")
    drifted = Table(
        TABLE.dataset,
        Features({**TABLE.features, "set_id": number, "figure_id": number, "question_id": number, "gt_answer": number}),
        TABLE.file,
    )
    (sample,) = drifted.fetched(tmp_path, [row(1, 0, 2, set_id=1, figure_id=0, question_id=2, gt_answer=0)])
    assert (sample.id, sample.answers) == ("VD_ocr_1_1_0_2", ("no",))


def test_answer_that_is_neither_names_the_row(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"^hallusionbench, row 2 \(VD_ocr_1_0_1_0\): the answer is '2'"):
        TABLE.fetched(tmp_path, [row(0, 0, 0), row(0, 1, 0, gt_answer="2")])


def test_question_without_an_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="it has no image"):
        TABLE.fetched(tmp_path, [row(0, 0, 0, image=None)])
