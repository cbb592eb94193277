"""Decides what a scene shows: things at random places here, positions and charts in files of their own."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pytest_vtc.datasets.detail_scenes.charts import plan_chart
from pytest_vtc.datasets.detail_scenes.draws import Draws
from pytest_vtc.datasets.detail_scenes.glyphs import FONTS, text_size
from pytest_vtc.datasets.detail_scenes.placing import GAP_PX, capacity, scatter
from pytest_vtc.datasets.detail_scenes.positions import plan_positions
from pytest_vtc.datasets.detail_scenes.scenes import SIDES_PX, Layout, Question, Scene, Size, Split, Thing
from pytest_vtc.datasets.detail_scenes.sizes import fitted, shape_size
from pytest_vtc.datasets.detail_scenes.vocabulary import LETTERS, LONG_WORDS, SHAPES, WORDS
from pytest_vtc.datasets.palette import COLOURS, SOFT_TOKEN_PX

Kind = Literal["letter", "word", "shape"]

DETAILS = Layout(
    name="details",
    rows=8,
    columns=8,
    categories=(
        *(("letter", size) for size in SIDES_PX),
        *(("word", size) for size in SIDES_PX if size != "4"),
        *(("shape", size) for size in SIDES_PX),
        *(("position", size) for size in SIDES_PX if size != "4"),
        *(("chart", size) for size in SIDES_PX if size != "4"),
    ),
    words=WORDS,
    crowd=(3, 6),
    n_questions=2,
)
"""Plain scenes of 8 x 8 soft tokens; a word, a chart or a board of details of 4 tokens does not fit such a canvas."""

DETAILS_LARGE = Layout(
    name="details_large",
    rows=16,
    columns=16,
    categories=tuple((task, size) for task in ("letter", "word", "shape", "position", "chart") for size in SIDES_PX),
    words=WORDS + LONG_WORDS,
    crowd=(6, 8),
    n_questions=3,
    textured=True,
    axis=True,
)
"""Scenes of 16 x 16 soft tokens with more things, an uneven background and things that are not asked about."""


def make_scene(layout: Layout, split: Split, index: int) -> Scene:
    """The scene number `index` of a split: of the layout's categories in turn."""
    task, size = layout.categories[index % len(layout.categories)]
    seed = f"{layout.name}/{split}/{index}"
    draws = Draws(seed)
    background = draws.between(225, 255)
    if task == "position":
        things, questions = plan_positions(draws, layout, size)
        return Scene(
            layout.rows, layout.columns, task, size, seed, background, layout.textured, questions, things=things
        )
    if task == "chart":
        chart, questions = plan_chart(draws, layout, size)
        return Scene(layout.rows, layout.columns, task, size, seed, background, layout.textured, questions, chart=chart)
    things, distractors = _things(draws, layout, task, size)
    questions = tuple(
        Question(f"what {task} is {thing.colour} ?", names(thing)) for thing in things[: layout.n_questions]
    )
    return Scene(
        layout.rows, layout.columns, task, size, seed, background, layout.textured, questions, things, distractors
    )


def names(thing: Thing) -> tuple[str, ...]:
    """What a thing may be called."""
    return SHAPES[thing.value] if thing.kind == "shape" else (thing.value,)


@dataclass(frozen=True)
class _Draft:
    """A thing without its colour and place; width and height in pixels."""

    kind: Kind
    value: str
    text: str
    font: str
    width: int
    height: int


def _things(draws: Draws, layout: Layout, kind: Kind, size: Size) -> tuple[tuple[Thing, ...], tuple[Thing, ...]]:
    """Things of one kind, no two of one colour or name, and, on a textured canvas, as many of another kind."""
    wanted = draws.between(*layout.crowd)
    asked = [_draft(draws, layout, kind, value, size) for value in draws.some(_values(layout, kind, size), wanted)]
    while _room(layout, asked) < len(asked):
        asked.pop()
    others: list[_Draft] = []
    if layout.textured:
        other: Kind = "letter" if kind == "shape" else "shape"
        values = draws.some(_values(layout, other, size), len(asked))
        others = [_draft(draws, layout, other, value, size) for value in values]
        while _room(layout, asked + others) < len(asked + others):
            others.pop()
    colours = draws.some(tuple(COLOURS), len(asked))
    # Of the colours that are asked about: who looks for the colour alone finds the wrong thing.
    colours += [draws.one(colours[: len(asked)]) for _ in others]
    drafts = asked + others
    boxes = scatter(draws, *_canvas(layout), [(draft.width, draft.height) for draft in drafts])
    placed = tuple(
        Thing(draft.kind, draft.value, colour, box, draft.text, draft.font)
        for draft, colour, box in zip(drafts, colours, boxes, strict=True)
    )
    return placed[: len(asked)], placed[len(asked) :]


def _draft(draws: Draws, layout: Layout, kind: Kind, value: str, size: Size) -> _Draft:
    side = draws.between(*SIDES_PX[size])
    if kind == "shape":
        return _Draft(kind, value, "", "", *fitted(shape_size(value), side))
    font = draws.one(FONTS)
    if kind == "letter":
        return _Draft(kind, value, value.upper(), font, *fitted(text_size(font, value.upper()), side))
    text = value if layout.textured and draws.below(2) else value.upper()
    return _Draft(kind, value, text, font, *_word_size(font, text, side))


def _word_size(font: str, text: str, side: int) -> tuple[int, int]:
    width, height = text_size(font, text)
    return (width * side + height // 2) // height, side


def _canvas(layout: Layout) -> tuple[int, int]:
    return layout.columns * SOFT_TOKEN_PX, layout.rows * SOFT_TOKEN_PX


def _room(layout: Layout, drafts: Sequence[_Draft]) -> int:
    return capacity(*_canvas(layout), (max(d.width for d in drafts), max(d.height for d in drafts)))


@functools.cache
def _values(layout: Layout, kind: Kind, size: Size) -> tuple[str, ...]:
    """What a thing of a kind can be; of words, those that fit the canvas in every font."""
    if kind == "letter":
        return LETTERS
    if kind == "shape":
        return tuple(SHAPES)
    side, width = SIDES_PX[size][1], _canvas(layout)[0]
    return tuple(
        word
        for word in layout.words
        if all(_word_size(f, text, side)[0] + GAP_PX <= width for f in FONTS for text in (word, word.upper()))
    )
