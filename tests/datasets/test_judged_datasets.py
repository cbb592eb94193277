"""MM-Vet, LLaVA-Bench and MIA-Bench from parquet files of their published schemas."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import Features, Image, List, Value
from published_rows import encoded

from pytest_vtc.datasets.base import Dataset, DatasetError, Sample
from pytest_vtc.datasets.llava_bench import LlavaBench
from pytest_vtc.datasets.mia_bench import MiaBench
from pytest_vtc.datasets.mm_vet import MmVet
from pytest_vtc.datasets.registry import open_samples
from pytest_vtc.scoring.judges import Asked, known_judged_rules

TEXT, INT = Value("string"), Value("int32")
VET = Features(question_id=TEXT, image=Image(), question=TEXT, answer=TEXT, image_source=TEXT, capability=TEXT)
BENCH = Features(
    question_id=TEXT, question=TEXT, image=Image(), caption=TEXT, gpt_answer=TEXT, category=TEXT, image_id=TEXT
)
MIA = Features(
    image=Image(), instruction=TEXT, type=TEXT, num_of_component=INT, components=List(TEXT),
    component_weight=List(INT), component_type=List(TEXT),
)  # fmt: skip
Fetch = Callable[..., list[Sample]]


def vet_row(n: int = 0, **changes: Any) -> dict[str, Any]:
    row = {"question_id": f"v1_{n}", "image": encoded("red", "JPEG"), "question": "What is x?", "answer": "-1<AND>-5"}
    return row | {"image_source": "web", "capability": "ocr,math"} | changes


def bench_row(n: int = 0, **changes: Any) -> dict[str, Any]:
    row = {"question_id": str(n), "question": "What is this?", "image": encoded("blue"), "caption": "A blue square."}
    return row | {"gpt_answer": "A square.", "category": "conv", "image_id": "001"} | changes


def mia_row(**changes: Any) -> dict[str, Any]:
    row = {"image": encoded("green", "JPEG"), "instruction": "Describe it in one sentence.", "type": "basic"}
    parts = {"components": ["Describe it", "in one sentence"], "component_weight": [6, 4]}
    return row | {"num_of_component": 2, **parts, "component_type": ["describe", "length_limit"]} | changes


@pytest.fixture
def fetch(tmp_path: Path, publish: Any, said: list[str]) -> Fetch:
    def fetched(dataset: Dataset, features: Features, rows: list[dict[str, Any]], style: str | None = None) -> Any:
        split = "train" if isinstance(dataset, LlavaBench) else "test"
        publish(tmp_path / "source" / "data" / f"{split}-00000-of-00001.parquet", rows, features)
        dataset.fetch(tmp_path, tmp_path / "source", said.append)
        return list(dataset.load(tmp_path, style))

    return fetched


# MM-Vet


def test_mm_vet_asks_the_published_question(fetch: Fetch) -> None:
    (sample,) = fetch(MmVet(), VET, [vet_row()])
    assert (sample.id, sample.prompt, sample.answers) == ("v1_0", "What is x?", ("-1<AND>-5",))
    assert (sample.category, sample.facts["capability"]) == ("ocr,math", "ocr,math")
    assert len(sample.images) == 1


def test_lmms_eval_asks_mm_vet_to_reason_and_the_judge_is_not_told_so(fetch: Fetch) -> None:
    (sample,) = fetch(MmVet(), VET, [vet_row()], "lmms")
    assert sample.prompt == (
        "First please perform reasoning, and think step by step to provide best answer to the following question: "
        "\n\nWhat is x?"
    )
    asked = Asked("x = 1", sample.prompt, sample.answers, sample.category, sample.facts)
    assert known_judged_rules()["mm_vet"].values(asked)["question"] == "What is x?"


def test_mm_vet_without_a_capability_names_the_row(fetch: Fetch) -> None:
    with pytest.raises(DatasetError, match="mm_vet, row 2: it names no capability"):
        fetch(MmVet(), VET, [vet_row(), vet_row(1, capability=None)])


# LLaVA-Bench


def test_llava_bench_asks_the_question_alone_and_tells_the_judge_the_caption(fetch: Fetch) -> None:
    rows = [bench_row(), bench_row(1, category="llava_bench_detail"), bench_row(2, image_id="002")]
    first, second, third = fetch(LlavaBench(), BENCH, rows)
    assert (first.id, first.prompt, first.answers) == ("0", "What is this?", ("A square.",))
    assert first.facts == {"caption": "A blue square."}
    assert (first.category, second.category) == ("conv", "detail")
    assert first.group == second.group != third.group
    assert first.images == second.images


def test_llava_bench_takes_captions_in_a_list_too(fetch: Fetch) -> None:
    features = Features({**BENCH, "caption": List(TEXT)})
    (sample,) = fetch(LlavaBench(), features, [bench_row(caption=["A square.", "It is blue."])])
    assert sample.facts["caption"] == "A square.\nIt is blue."


def test_llava_bench_without_a_caption_names_the_row(fetch: Fetch) -> None:
    with pytest.raises(DatasetError, match="llava_bench, row 1: it has no caption"):
        fetch(LlavaBench(), BENCH, [bench_row(caption=None)])


# MIA-Bench


def test_mia_bench_holds_answers_against_the_parts_of_the_instruction(fetch: Fetch) -> None:
    (sample,) = fetch(MiaBench(), MIA, [mia_row()])
    assert sample.prompt == "Describe it in one sentence."
    assert sample.answers == ("Describe it", "in one sentence")
    assert sample.facts == {"weights": "6,4", "kinds": "describe,length_limit"}
    assert sample.category == "basic"


def test_mia_bench_tells_instructions_apart_by_their_parts_too(fetch: Fetch) -> None:
    one, other = fetch(MiaBench(), MIA, [mia_row(), mia_row(components=["Describe", "in a sentence"])])
    assert one.id != other.id


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"components": ["Describe it"]}, "1 parts, 2 weights and 2 kinds"),
        ({"component_type": ["a,b", "c"]}, "has a comma in it: 'a,b', 'c'"),
    ],
)
def test_mia_bench_rows_that_do_not_add_up_are_named(fetch: Fetch, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(DatasetError, match=f"mia_bench, row 1: .*{told}"):
        fetch(MiaBench(), MIA, [mia_row(**changes)])


# All


@pytest.mark.parametrize(
    ("dataset", "features", "row"),
    [(MmVet(), VET, vet_row()), (LlavaBench(), BENCH, bench_row()), (MiaBench(), MIA, mia_row())],
)
@pytest.mark.parametrize("style", ["official", "vlmevalkit"])
def test_what_is_asked_alike_has_both_names(
    fetch: Fetch, dataset: Dataset, features: Features, row: dict[str, Any], style: str
) -> None:
    assert fetch(dataset, features, [row], style)[0].prompt == fetch(dataset, features, [row])[0].prompt


@pytest.mark.parametrize(
    ("dataset", "features", "row"),
    [(MmVet(), VET, vet_row()), (LlavaBench(), BENCH, bench_row()), (MiaBench(), MIA, mia_row())],
)
@pytest.mark.parametrize("whose", ["official", "lmms", "vlmevalkit"])
def test_it_is_scored_by_whose_reading_is_asked_for(
    fetch: Fetch, tmp_path: Path, dataset: Dataset, features: Features, row: dict[str, Any], whose: str
) -> None:
    fetch(dataset, features, [row])
    data = open_samples(dataset.name, tmp_path, None, 0, whose)
    assert data.scoring in known_judged_rules()
    assert data.published == dataset.name
    assert all(data.samples[0].facts.get(name) for name in known_judged_rules()[data.scoring].needs)
