"""Details: the same scenes everywhere, questions with one right answer, details of the size that the category says."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_vtc.datasets.base import Sample
from pytest_vtc.datasets.detail_scenes.charts import LEVELS
from pytest_vtc.datasets.detail_scenes.glyphs import FONTS, text_ink, text_size
from pytest_vtc.datasets.detail_scenes.placing import GAP_PX, Box
from pytest_vtc.datasets.detail_scenes.planning import DETAILS, DETAILS_LARGE, make_scene
from pytest_vtc.datasets.detail_scenes.positions import DIRECTIONS
from pytest_vtc.datasets.detail_scenes.rendering import render
from pytest_vtc.datasets.detail_scenes.resampling import resample
from pytest_vtc.datasets.detail_scenes.scenes import Layout, Scene, Thing
from pytest_vtc.datasets.detail_scenes.shapes import shape_ink
from pytest_vtc.datasets.detail_scenes.sizes import shape_size
from pytest_vtc.datasets.detail_scenes.vocabulary import COLOUR_ANSWERS, LETTERS, LONG_WORDS, SHAPES, WORDS
from pytest_vtc.datasets.details import DetailImage, Details, DetailsLarge
from pytest_vtc.datasets.palette import COLOURS, SOFT_TOKEN_PX
from pytest_vtc.scoring.soft import Soft

LAYOUTS = [DETAILS, DETAILS_LARGE]
scenes = st.builds(
    make_scene, st.sampled_from(LAYOUTS), st.sampled_from(["train", "test"]), st.integers(0, 1_000_000_000)
)


@pytest.fixture(scope="module", params=[Details(), DetailsLarge()], ids=lambda dataset: dataset.name)
def dataset(request: pytest.FixtureRequest) -> Details | DetailsLarge:
    return request.param


@pytest.fixture(scope="module")
def samples(dataset: Details | DetailsLarge) -> list[Sample]:
    return list(dataset.load(Path("unused")))


@pytest.mark.parametrize(
    ("layout", "index", "sha256"),
    [
        (DETAILS, 0, "d293183236c194e45f8d8f254b22b46f8579a131a2274b880d9711f5d1d770cb"),
        (DETAILS, 8, "17a0f73c5dfd900d4e71d1be21de05569362c8d476502e96028c445dfee94761"),
        (DETAILS, 13, "402e8523de5febbfa954e584ac348c05d5cae7a13aa56305a9d2efa96b2933f0"),
        (DETAILS, 17, "7a71dbdb1f47514042e6db6bd716c1dcea8ac37d1efe519103b1ad164958bad1"),
        (DETAILS, 21, "1e918755f7b8c2117423806040156ff3ed9cc18a1945454f1405d344d95cbb75"),
        (DETAILS, 2199, "406f7bbd878694fc63762d34e82b4227e2595938c5821fc92034a9f7b07a3287"),
        (DETAILS_LARGE, 0, "8e5c967a003815365426715c9ebb095a8a9e53859fa53f6d64ceb7499cf1ead5"),
        (DETAILS_LARGE, 9, "cd499f3aac2ea4514c356fd0fb527cafabc08df9b1305e3dfd0725872bd18c55"),
        (DETAILS_LARGE, 19, "a0b11768c7061c35972936979a7399c1afff3ef7104350743aeb2d02908ca020"),
        (DETAILS_LARGE, 24, "78709b74f67ee39c2dcb1f0ac1d66a3499578c6196321fad21fc0cf8ff829a92"),
        (DETAILS_LARGE, 1999, "d723bf26374726d009042f64e2b984558e1fb88d1780dd06b6b19c3020756957"),
    ],
)
def test_pixels_of_a_scene_never_change(layout: Layout, index: int, sha256: str) -> None:
    # If this must change, raise GENERATOR_VERSION: stored answers are about the old pixels.
    assert hashlib.sha256(DetailImage(layout, "test", index).open().tobytes()).hexdigest() == sha256


def test_questions_never_change(dataset: Details | DetailsLarge, samples: list[Sample]) -> None:
    text = "\n".join(f"{s.id} {s.prompt} {s.answers} {s.category}" for s in samples)
    assert (
        hashlib.sha256(text.encode()).hexdigest()
        == {
            "details": "6f33e16590b688db11d38117e4fac55c0f2ce2a0915a81c1261d6887f1285d28",
            "details_large": "0a8809c99b3625c31e636572eafffa855e39da0d560fcc8fa07efc2dbc59fb0d",
        }[dataset.name]
    )


def test_samples_are_listed_without_numpy_or_torch() -> None:
    code = (
        "import sys; from pathlib import Path; from pytest_vtc.datasets.details import Details\n"
        "Details().load(Path('.')); sys.exit(bool({'numpy', 'torch'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_categories_are_balanced(dataset: Details | DetailsLarge, samples: list[Sample]) -> None:
    asked = Counter(s.category for s in samples)
    assert len(asked) == len(dataset.layout.categories)
    assert set(asked.values()) == {200 if dataset.name == "details" else 240}


def test_ids_are_unique_and_a_scene_is_a_group(dataset: Details | DetailsLarge, samples: list[Sample]) -> None:
    assert len({s.id for s in samples}) == len(samples)
    assert set(Counter(s.group for s in samples).values()) == {dataset.layout.n_questions}
    assert all(
        len({s.images[0].fingerprint() for s in samples if s.group == group}) == 1 for group in ("s0000", "s0100")
    )


def test_every_category_has_many_answers(samples: list[Sample]) -> None:
    for category in {s.category for s in samples}:
        counts = Counter(s.answers[0] for s in samples if s.category == category)
        assert max(counts.values()) <= 0.3 * sum(counts.values()), category


def test_questions_of_a_scene_differ(samples: list[Sample]) -> None:
    assert len({(s.group, s.prompt) for s in samples}) == len(samples)


def test_every_answer_is_right_by_the_scoring_rule_and_no_other_is(samples: list[Sample]) -> None:
    for answers in {s.answers for s in samples}:
        assert all(Soft().score(f"The answer is {answer.upper()}.", answers, ()).value == 1 for answer in answers)
        others = {s.answers for s in samples} - {answers}
        assert not any(Soft().score(other[0], answers, ()).value for other in others)


def test_train_scenes_are_not_test_scenes() -> None:
    def looks(split: str) -> set[object]:
        return {(s.things, s.chart) for s in (make_scene(DETAILS, split, i) for i in range(2_200))}  # type: ignore[arg-type]

    assert not looks("train") & looks("test")


def test_the_image_is_what_the_engine_expects(dataset: Details | DetailsLarge, samples: list[Sample]) -> None:
    image = samples[0].images[0].open()
    assert image.mode == "RGB"
    assert image.size == (dataset.layout.columns * SOFT_TOKEN_PX, dataset.layout.rows * SOFT_TOKEN_PX)


@settings(max_examples=200)
@given(scenes)
def test_things_lie_on_the_canvas_and_apart_from_each_other(scene: Scene) -> None:
    boxes = [thing.box for thing in (*scene.things, *scene.distractors)]
    boxes += [bar.box for bar in scene.chart.bars] if scene.chart else []
    for i, box in enumerate(boxes):
        assert box.left >= 0
        assert box.top >= 0
        assert box.right <= scene.columns * SOFT_TOKEN_PX
        assert box.bottom <= scene.rows * SOFT_TOKEN_PX
        assert all(_apart(box, other) >= GAP_PX for other in boxes[i + 1 :])


def _apart(a: Box, b: Box) -> int:
    """Free pixels between two boxes, across or down; negative where they overlap."""
    return max(b.left - a.right, a.left - b.right, b.top - a.bottom, a.top - b.bottom)


@settings(max_examples=200)
@given(scenes)
def test_details_have_the_size_of_their_category(scene: Scene) -> None:
    for width, height in _details(scene):
        side = {"word": height, "chart": width}.get(scene.task, max(width, height))
        tokens = side / SOFT_TOKEN_PX
        assert 0.9 * float(scene.size) <= tokens <= float(scene.size)


def _details(scene: Scene) -> list[tuple[int, int]]:
    boxes = [bar.box for bar in scene.chart.bars] if scene.chart else [thing.box for thing in scene.things]
    return [(box.width, box.height) for box in boxes]


@settings(max_examples=100)
@given(scenes)
def test_what_fits_a_token_lies_inside_one(scene: Scene) -> None:
    for thing in scene.things:
        if max(thing.box.width, thing.box.height) <= SOFT_TOKEN_PX - GAP_PX and scene.task != "word":
            assert thing.box.left // SOFT_TOKEN_PX == (thing.box.right - 1) // SOFT_TOKEN_PX
            assert thing.box.top // SOFT_TOKEN_PX == (thing.box.bottom - 1) // SOFT_TOKEN_PX


@settings(max_examples=40, deadline=None)
@given(st.builds(make_scene, st.just(DETAILS), st.just("test"), st.integers(0, 2_199)))
def test_ink_fills_the_boxes_of_things_and_nothing_else(scene: Scene) -> None:
    ink = (render(scene) != scene.background).any(-1)
    for thing in scene.things:
        box = thing.box
        window = ink[box.top : box.bottom, box.left : box.right]
        # A tip of a star may be too fine to leave a trace in its first row.
        assert window.any(1).nonzero()[0][0] <= 1
        assert window.any(1).nonzero()[0][-1] >= box.height - 2
        assert window.any(0).nonzero()[0][0] <= 1
        assert window.any(0).nonzero()[0][-1] >= box.width - 2
        window[...] = False
    if not scene.chart:
        assert not ink.any()


@settings(max_examples=200)
@given(scenes)
def test_a_colour_stands_for_one_thing_of_the_kind_that_is_asked_for(scene: Scene) -> None:
    colours = [thing.colour for thing in scene.things] or [bar.colour for bar in scene.chart.bars]  # type: ignore[union-attr]
    assert len(set(colours)) == len(colours)
    assert not {thing.kind for thing in scene.things} & {thing.kind for thing in scene.distractors}


@settings(max_examples=200)
@given(scenes.filter(lambda scene: scene.task in ("letter", "word", "shape")))
def test_letters_words_and_shapes_are_asked_by_their_colour(scene: Scene) -> None:
    by_colour = {thing.colour: thing for thing in scene.things}
    for question in scene.questions:
        thing = by_colour[question.text.split()[3]]
        assert question.text == f"what {thing.kind} is {thing.colour} ?"
        assert thing.value == question.answers[0]
        assert thing.text.lower() == ("" if thing.kind == "shape" else thing.value)


@settings(max_examples=200)
@given(scenes.filter(lambda scene: scene.task == "position"))
def test_positions_have_one_answer(scene: Scene) -> None:
    for question in scene.questions:
        direction = next(name for name in DIRECTIONS if f" {name} the " in question.text)
        *_, colour, shape, _ = question.text.split()
        (of,) = [thing for thing in scene.things if (thing.colour, thing.value) == (colour, shape)]
        right, down = DIRECTIONS[direction]
        there = [thing for thing in scene.things if _stands(thing, of, right, down)]
        assert [thing.value for thing in there] == [question.answers[0]]


def _stands(thing: Thing, of: Thing, right: int, down: int) -> bool:
    """Whether a thing's box lies beyond the other's in a direction, and beside it across."""
    a, b = thing.box, of.box
    if right:
        beside = min(a.bottom, b.bottom) > max(a.top, b.top)
        return beside and (a.left >= b.right if right > 0 else a.right <= b.left)
    beside = min(a.right, b.right) > max(a.left, b.left)
    return beside and (a.top >= b.bottom if down > 0 else a.bottom <= b.top)


@settings(max_examples=200)
@given(scenes.filter(lambda scene: scene.task == "chart"))
def test_charts_are_answered_by_the_heights_of_their_bars(scene: Scene) -> None:
    assert scene.chart
    height = {bar.colour: bar.box.height for bar in scene.chart.bars}
    assert len(set(height.values())) == len(height)
    for question in scene.questions:
        if "value" in question.text:
            asked = height[question.text.split()[6]]
            assert question.answers == (str(asked // scene.chart.unit),)
        else:
            extreme = max if "tallest" in question.text else min
            colour = extreme(height, key=height.__getitem__)
            assert question.answers == COLOUR_ANSWERS.get(colour, (colour,))


@settings(max_examples=100)
@given(scenes.filter(lambda scene: scene.chart is not None and bool(scene.chart.labels)))
def test_the_numbers_of_an_axis_stand_at_the_heights_they_name(scene: Scene) -> None:
    assert scene.chart
    base = scene.chart.bars[0].box.bottom
    assert [label.value for label in scene.chart.labels] == [str(level) for level in range(LEVELS + 1)]
    for label in scene.chart.labels:
        middle = label.box.top + label.box.height / 2
        assert abs(base - int(label.value) * scene.chart.unit - middle) <= 1
        assert scene.chart.area.left <= label.box.left
        assert label.box.right < min(bar.box.left for bar in scene.chart.bars)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_ground_is_paler_than_what_stands_on_it(layout: Layout) -> None:
    empty = make_scene(layout, "test", 0)
    ground = render(Scene(empty.rows, empty.columns, "shape", "1", "any", 225, layout.textured, ()))
    darkest = ground.astype(int).sum(-1).min()
    assert darkest > max(sum(colour) for colour in COLOURS.values())


@pytest.mark.parametrize("name", SHAPES)
def test_the_size_of_a_shape_is_known_without_drawing_it(name: str) -> None:
    assert shape_ink(name).shape[::-1] == shape_size(name)


@pytest.mark.parametrize("font", FONTS)
def test_letters_and_words_are_in_every_font(font: str) -> None:
    for text in (*"0123456789", *(t for w in (*LETTERS, *WORDS, *LONG_WORDS) for t in (w, w.upper()))):
        ink = text_ink(font, text)
        assert ink.shape[::-1] == text_size(font, text)
        # Cropped to the ink: its first and last rows and columns are not empty.
        assert all(edge.any() for edge in (ink[0], ink[-1], ink[:, 0], ink[:, -1]))


def test_letters_of_a_font_differ() -> None:
    for font in FONTS:
        assert len({resample(text_ink(font, letter.upper()), 12, 12).tobytes() for letter in LETTERS}) == len(LETTERS)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 60), st.integers(1, 60), st.integers(0, 255))
def test_scaling_keeps_an_even_mask_as_it_is(tall: int, wide: int, width: int, height: int, level: int) -> None:
    scaled = resample(np.full((tall, wide), level, np.uint8), width, height)
    assert scaled.shape == (height, width)
    assert (scaled == level).all()


def test_scaling_takes_the_mean_of_the_area() -> None:
    mask = np.array([[0, 255, 255], [0, 0, 255]], np.uint8)
    # Columns of a pixel and a half: (1 * 0 + 0.5 * 255) / 1.5 above, 0 below, and so on.
    assert resample(mask, 2, 1).tolist() == [[43, 213]]


def test_a_fingerprint_names_layout_split_and_number() -> None:
    assert DetailImage(DETAILS_LARGE, "test", 7).fingerprint() == "details_large-v1/test/7"
