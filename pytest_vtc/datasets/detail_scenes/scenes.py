"""What a scene of the `details` datasets shows and what is asked about it; nothing is drawn here.

A scene is fully determined by its layout, split and number. Train and test scenes draw from disjoint random streams.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pytest_vtc.datasets.detail_scenes.placing import Box

Split = Literal["train", "test"]
Task = Literal["letter", "word", "shape", "position", "chart"]
Size = Literal["0.25", "0.5", "1", "2", "4"]

SIDES_PX: dict[Size, tuple[int, int]] = {
    "0.25": (11, 12),
    "0.5": (22, 24),
    "1": (44, 46),
    "2": (88, 96),
    "4": (176, 188),
}
"""Fewest and most pixels of a detail's side: at least nine tenths of its category's size, and never more than it."""


@dataclass(frozen=True)
class Thing:
    """A letter, a word or a shape. `value` is its name in lower case, `text` what is written, "" for a shape."""

    kind: Literal["letter", "word", "shape"]
    value: str
    colour: str
    box: Box
    text: str = ""
    font: str = ""


@dataclass(frozen=True)
class Bar:
    colour: str
    level: int
    box: Box


@dataclass(frozen=True)
class Chart:
    """Bars on a base line. `unit`: pixels of one level; `labels`: the numbers at the axis, if there is one."""

    bars: tuple[Bar, ...]
    area: Box
    unit: int
    labels: tuple[Thing, ...] = ()


@dataclass(frozen=True)
class Question:
    text: str
    answers: tuple[str, ...]
    """What counts as right; the first is how it is usually said."""


@dataclass(frozen=True)
class Layout:
    """How scenes of one dataset are made: a canvas of rows x columns soft tokens, and how much stands on it.

    crowd: fewest and most things of at most one token in a scene that asks about letters, words or shapes; of larger
    ones, as many as fit and no more than the most. textured: an uneven background, and things that are not asked about.
    axis: charts have an axis with numbers, and values of bars are asked for.
    """

    name: str
    rows: int
    columns: int
    categories: tuple[tuple[Task, Size], ...]
    words: tuple[str, ...]
    crowd: tuple[int, int]
    n_questions: int
    textured: bool = False
    axis: bool = False


@dataclass(frozen=True)
class Scene:
    """One picture and its questions. `seed` names the random stream of its background."""

    rows: int
    columns: int
    task: Task
    size: Size
    seed: str
    background: int
    textured: bool
    questions: tuple[Question, ...]
    things: tuple[Thing, ...] = ()
    distractors: tuple[Thing, ...] = field(default=())
    chart: Chart | None = None
