"""easy-VQA: the whole test split, asked in the words that the embedded model knows."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

from pytest_vtc.datasets.base import Sample
from pytest_vtc.datasets.easyvqa import SIZE, EasyVqa


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return list(EasyVqa().load(Path("unused")))


def test_it_is_the_whole_test_split(samples: list[Sample]) -> None:
    assert len(samples) == len({s.id for s in samples}) == SIZE == 9_673
    assert len({s.group for s in samples}) == 1_000


def test_the_prompt_is_the_question_as_it_is(samples: list[Sample]) -> None:
    assert samples[0].id == "i0000-q0"
    assert samples[0].prompt == "what is the red shape?"
    assert all(s.prompt.endswith("?") and s.prompt.count("?") == 1 for s in samples)


def test_category_is_the_type_of_question(samples: list[Sample]) -> None:
    answers: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        answers[sample.category] |= set(sample.answers)
    assert answers == {
        "yes/no": {"yes", "no"},
        "shape": {"circle", "rectangle", "triangle"},
        "colour": {"black", "blue", "brown", "gray", "green", "red", "teal", "yellow"},
    }


def test_questions_on_one_image_are_neighbours_and_one_group(samples: list[Sample]) -> None:
    images = [s.images for s in samples]
    assert [s.group for s in samples] == [f"i{Path(str(image[0])).stem:0>4}" for image in images]
    assert [s.group for s in samples] == sorted(s.group for s in samples)


def test_images_open(samples: list[Sample]) -> None:
    assert samples[-1].images[0].open().size == (64, 64)
