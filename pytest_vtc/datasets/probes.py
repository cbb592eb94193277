"""Probes, test split: questions about 2,000 scenes of coloured handwritten digits, drawn when they are needed."""

# ruff: noqa: ARG002  # signatures are the contract's, whether or not an implementation needs all of it

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from PIL import Image

from pytest_vtc.datasets.base import BuiltInDataset, Sample

if TYPE_CHECKING:
    from pytest_vtc.datasets.probe_scenes import Question, Scene, Split

N_SCENES = 2_000
DIGIT_QUESTIONS = 3
"""Of a scene's digits, at most so many are asked about: crowded scenes would outweigh the others."""

GENERATOR_VERSION = 1
"""To be raised whenever `probe_scenes` draws a scene differently: stored answers about it are then no longer used."""


@dataclass(frozen=True)
class SceneImage:
    """The picture of one scene, as an `ImageSource`: drawn each time it is opened."""

    split: Split
    index: int

    def open(self) -> Image.Image:
        return Image.fromarray(_scene(self.split, self.index).render())

    def fingerprint(self) -> str:
        return f"probes-v{GENERATOR_VERSION}/{self.split}/{self.index}"

    def __str__(self) -> str:
        return f"probe scene {self.split}/{self.index}"


class Probes(BuiltInDataset):
    """Details of 0.6 to 1 soft token in size, each of which a compressor may lose; categories by task and crowding."""

    name: ClassVar[str] = "probes"
    description: ClassVar[str] = "coloured handwritten digits at random places: which digit, how many"
    licence: ClassVar[str] = "generated; digits from scikit-learn (BSD-3-Clause; UCI, CC BY 4.0)"
    scoring: ClassVar[str] = "exact"
    max_new_tokens: ClassVar[int] = 8

    def state(self, home: Path) -> str:
        return f"built in, drawn on the spot ({N_SCENES:,} scenes)"

    def load(self, home: Path, prompt_style: str | None = None) -> Sequence[Sample]:
        return _samples("test")


@functools.cache
def _samples(split: Split) -> tuple[Sample, ...]:
    return tuple(sample for index in range(N_SCENES) for sample in _scene_samples(split, index))


def _scene_samples(split: Split, index: int) -> list[Sample]:
    *digits, count = _scene(split, index).questions()
    crowd = f"{len(digits)} digit{'s' if len(digits) > 1 else ''}"
    scene, images = f"s{index:04d}", (SceneImage(split, index),)

    def sample(name: str, question: Question) -> Sample:
        return Sample(
            id=f"{scene}-{name}",
            images=images,
            prompt=question.text,
            answers=(question.answer,),
            category=f"{question.task}/{crowd}",
            group=scene,
        )

    chosen = _chosen(split, index, len(digits))
    return [*(sample(f"digit{n}", digits[i]) for n, i in enumerate(chosen, 1)), sample("count", count)]


def _chosen(split: Split, index: int, n_digits: int) -> list[int]:
    """Which of a scene's digits are asked about, in placing order: the same ones everywhere and for ever."""

    def draw(digit: int) -> bytes:
        return hashlib.sha256(f"probes/{split}/{index}/{digit}".encode()).digest()

    return sorted(sorted(range(n_digits), key=draw)[:DIGIT_QUESTIONS])


def _scene(split: Split, index: int) -> Scene:
    from pytest_vtc.datasets.probe_scenes import make_scene  # imports numpy: only when a scene is needed

    return make_scene(split, index)
