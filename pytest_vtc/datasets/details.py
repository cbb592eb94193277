"""Details, test split: letters, words, shapes, positions and bar charts of 0.25 to 4 soft tokens, drawn when needed."""

# ruff: noqa: ARG002  # signatures are the contract's, whether or not an implementation needs all of it

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pytest_vtc.datasets.base import BuiltInDataset, Sample
from pytest_vtc.datasets.detail_scenes.planning import DETAILS, DETAILS_LARGE, make_scene
from pytest_vtc.datasets.detail_scenes.scenes import Layout, Scene, Split

if TYPE_CHECKING:
    from PIL import Image

GENERATOR_VERSION = 1
"""To be raised whenever a scene is drawn differently: stored answers about it are then no longer used."""


@dataclass(frozen=True)
class DetailImage:
    """The picture of one scene, as an `ImageSource`: drawn each time it is opened."""

    layout: Layout = field(repr=False)
    split: Split
    index: int

    def open(self) -> Image.Image:
        from PIL import Image

        from pytest_vtc.datasets.detail_scenes.rendering import render  # imports numpy: only when a scene is drawn

        return Image.fromarray(render(make_scene(self.layout, self.split, self.index)))

    def fingerprint(self) -> str:
        return f"{self.layout.name}-v{GENERATOR_VERSION}/{self.split}/{self.index}"

    def __str__(self) -> str:
        return f"{self.layout.name} scene {self.split}/{self.index}"


class _DrawnDetails(BuiltInDataset):
    """A built-in dataset of one layout's scenes; categories by task and by the size of the detail in soft tokens."""

    licence: ClassVar[str] = "generated; letters from the DejaVu fonts (Bitstream Vera licence)"
    scoring: ClassVar[str] = "soft"
    max_new_tokens: ClassVar[int] = 8
    layout: ClassVar[Layout]
    n_scenes: ClassVar[int]

    def state(self, home: Path) -> str:
        return f"built in, drawn on the spot ({self.n_scenes:,} scenes)"

    def load(self, home: Path, prompt_style: str | None = None) -> Sequence[Sample]:
        return _samples(self.layout, self.n_scenes)


class Details(_DrawnDetails):
    """Plain scenes of 8 x 8 soft tokens: 100 of each of 22 categories, two questions each."""

    name: ClassVar[str] = "details"
    description: ClassVar[str] = "letters, words, shapes, positions, bar charts: details of 0.25 to 4 vision tokens"
    layout: ClassVar[Layout] = DETAILS
    n_scenes: ClassVar[int] = 2_200


class DetailsLarge(_DrawnDetails):
    """Crowded scenes of 16 x 16 soft tokens on uneven ground: 80 of each of 25 categories, three questions each."""

    name: ClassVar[str] = "details_large"
    description: ClassVar[str] = "the same on 768 x 768 pixels, crowded and on uneven ground: for real checkpoints"
    layout: ClassVar[Layout] = DETAILS_LARGE
    n_scenes: ClassVar[int] = 2_000


@functools.cache
def _samples(layout: Layout, n_scenes: int) -> tuple[Sample, ...]:
    return tuple(sample for index in range(n_scenes) for sample in _scene_samples(layout, "test", index))


def _scene_samples(layout: Layout, split: Split, index: int) -> list[Sample]:
    scene = make_scene(layout, split, index)
    name, images = f"s{index:04d}", (DetailImage(layout, split, index),)
    return [
        Sample(
            id=f"{name}-{scene.task}{n}",
            images=images,
            prompt=question.text,
            answers=question.answers,
            category=category(scene),
            group=name,
        )
        for n, question in enumerate(scene.questions, 1)
    ]


def category(scene: Scene) -> str:
    """What is asked and how large the detail is: letter/0.25 tokens."""
    return f"{scene.task}/{scene.size} token{'' if scene.size == '1' else 's'}"
