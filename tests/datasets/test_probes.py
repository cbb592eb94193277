"""Probes: the same scenes and questions everywhere, of handwriting and arrangements that training never shows."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from pytest_vtc.datasets.base import Sample
from pytest_vtc.datasets.probe_scenes import make_scene
from pytest_vtc.datasets.probes import DIGIT_QUESTIONS, N_SCENES, Probes, SceneImage


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return list(Probes().load(Path("unused")))


@pytest.mark.parametrize(
    ("index", "sha256"),
    [
        (0, "5200d4dee914966b362c8b36c63450ddd59c2b3c6459bd520f3e67ff88d1ebc0"),
        (7, "36ff9476889e3793a729c76609abb68b36f776103219c1e59f237e98c281871b"),
        (1999, "b40bf7bc389da0cd344c6a9ce7dc0a282ca8d91faca7d8d041decca88c229177"),
    ],
)
def test_pixels_of_a_scene_never_change(index: int, sha256: str) -> None:
    # If this must change, raise GENERATOR_VERSION: stored answers are about the old pixels.
    assert hashlib.sha256(SceneImage("test", index).open().tobytes()).hexdigest() == sha256


def test_questions_do_not_depend_on_global_random_state(samples: list[Sample]) -> None:
    random.seed(1)
    np.random.seed(1)
    code = (
        "from pathlib import Path; from pytest_vtc.datasets.probes import Probes\n"
        "for s in Probes().load(Path('.'))[:200]: print(s.id, s.prompt, s.answers, s.category)"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    assert other == [f"{s.id} {s.prompt} {s.answers} {s.category}" for s in samples[:200]]


def test_every_scene_has_a_count_and_up_to_three_digit_questions(samples: list[Sample]) -> None:
    asked = Counter((s.group, s.category.split("/")[0]) for s in samples)
    digits = {f"s{i:04d}": len(make_scene("test", i).digits) for i in range(N_SCENES)}
    assert {group: asked[group, "count"] for group in digits} == dict.fromkeys(digits, 1)
    assert {group: asked[group, "digit"] for group in digits} == {g: min(DIGIT_QUESTIONS, n) for g, n in digits.items()}


def test_crowded_scenes_ask_about_different_places(samples: list[Sample]) -> None:
    first = [s for s in samples if s.category == "digit/8 digits" and s.id.endswith("digit1")]
    at = [[d.colour for d in make_scene("test", int(s.group[1:])).digits].index(s.prompt.split()[3]) for s in first]
    assert len(set(at)) >= 5


def test_answers_are_those_of_the_scene(samples: list[Sample]) -> None:
    for sample in samples[:300]:
        asked = {q.text: q.answer for q in make_scene("test", int(sample.group[1:])).questions()}
        assert sample.answers == (asked[sample.prompt],)


def test_ids_and_categories_name_the_task(samples: list[Sample]) -> None:
    scene = next(s for s in samples if s.category == "count/3 digits")
    assert scene.id == f"{scene.group}-count"
    assert {s.category for s in samples if s.group == scene.group} == {"digit/3 digits", "count/3 digits"}
    assert len({s.id for s in samples}) == len(samples)


def test_samples_of_a_scene_are_neighbours_and_share_its_image(samples: list[Sample]) -> None:
    groups = [s.group for s in samples]
    assert groups == sorted(groups)
    assert len({s.images for s in samples}) == N_SCENES


def test_train_and_test_share_no_handwritten_digit() -> None:
    glyphs = {split: {d.glyph for i in range(500) for d in make_scene(split, i).digits} for split in ("train", "test")}
    assert not glyphs["train"] & glyphs["test"]


def test_train_and_test_scenes_of_one_index_differ() -> None:
    places = {split: [[d.cell for d in make_scene(split, i).digits] for i in range(50)] for split in ("train", "test")}
    assert not any(a == b for a, b in zip(places["train"], places["test"], strict=True) if len(a) > 1)


def test_fingerprint_tells_scenes_apart() -> None:
    assert SceneImage("test", 1).fingerprint() == SceneImage("test", 1).fingerprint()
    every = {SceneImage(split, i).fingerprint() for split in ("train", "test") for i in range(20)}
    assert len(every) == 40


def test_nothing_has_to_be_fetched(tmp_path: Path) -> None:
    said: list[str] = []
    assert Probes().fetch(tmp_path, None, said.append) is None
    assert said == ["probes is built in: nothing to fetch"]
    assert Probes().state(tmp_path).startswith("built in")
