"""Draws the batches that tiny-gemma4 is trained on: easy-VQA, digit probes and details, train splits only."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Any

import easy_vqa  # type: ignore[import-untyped]
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from pytest_vtc.datasets.detail_scenes.placing import Box
from pytest_vtc.datasets.detail_scenes.planning import DETAILS
from pytest_vtc.datasets.detail_scenes.planning import make_scene as make_detail_scene
from pytest_vtc.datasets.detail_scenes.positions import DIRECTIONS, neighbour
from pytest_vtc.datasets.detail_scenes.rendering import render
from pytest_vtc.datasets.detail_scenes.scenes import Scene as DetailScene
from pytest_vtc.datasets.detail_scenes.scenes import Size, Task
from pytest_vtc.datasets.detail_scenes.vocabulary import LETTERS, SHAPES, WORDS
from pytest_vtc.datasets.palette import COLOURS, SOFT_TOKEN_PX
from pytest_vtc.datasets.probe_scenes import Scene, make_scene
from pytest_vtc.models.tiny_gemma4.model import PATCH_PX

CONTENTS = (
    "nothing",
    *(f"digit {n}" for n in range(10)),
    *(f"letter {letter}" for letter in LETTERS),
    *(f"word {word}" for word in WORDS),
    *(f"shape {shape}" for shape in SHAPES),
    "tallest bar", "bar", "shortest bar",
)  # fmt: skip
"""What may stand behind a soft token."""

_CONTENT = {name: i for i, name in enumerate(CONTENTS)}
_COLOUR = {name: 1 + i for i, name in enumerate(COLOURS)}
UNKNOWN = -1
N_LABELS = 2 + len(DIRECTIONS)

Asked = tuple[str, str, str]
"""Kind of a question, its text, its answer."""


@dataclass(frozen=True)
class Phase:
    """A stretch of the training. grids: rows and columns of soft tokens of a batch's images, one drawn for each.

    vqa_share and detail_share are of the images of a batch, the others are digit probes; categories are the details'.
    Where `answers` is false, only the throw-away head learns.
    """

    name: str
    steps: int
    peak_lr: float
    grids: tuple[tuple[int, int], ...]
    images: int
    questions_per_image: int
    max_digits: int
    vqa_share: float
    answers: bool
    detail_share: float = 0.0
    categories: tuple[tuple[Task, Size], ...] = ()


@dataclass(frozen=True)
class Batch:
    """Images of one size and what is asked about them. `labels` is UNKNOWN where a token's content is unknown."""

    pixels: Tensor  # [B, patches, 768] in 0..1
    positions: Tensor  # [B, patches, 2], x then y
    labels: Tensor  # [B, tokens, 6]: place in CONTENTS, 1 + colour, 1 + shape of the neighbour in each of DIRECTIONS
    questions: list[list[Asked]]


class TrainingData:
    """Draws batches; every random decision comes from the two seeded generators."""

    def __init__(self, seed: int) -> None:
        texts, answers, image_ids = easy_vqa.get_train_questions()
        paths = easy_vqa.get_train_image_paths()
        self.vqa: dict[int, list[Asked]] = defaultdict(list)
        for text, answer, image_id in zip(texts, answers, image_ids, strict=True):
            self.vqa[image_id].append(("vqa", text, answer))
        self.vqa_ids = sorted(self.vqa)
        images = [np.array(Image.open(paths[i]).convert("RGB")) for i in self.vqa_ids]
        self.vqa_pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
        self.rng = random.Random(seed)
        self.next_scene = self.next_detail = seed * 10_000_000

    def state(self) -> tuple[object, int, int]:
        """What decides all later batches; `restore` goes back to it."""
        return self.rng.getstate(), self.next_scene, self.next_detail

    def restore(self, state: tuple[Any, int, int]) -> None:
        rng_state, self.next_scene, self.next_detail = state
        self.rng.setstate(rng_state)

    def words(self) -> set[str]:
        """Every word of every question and answer."""
        questions = [(text, answer) for asked in self.vqa.values() for _, text, answer in asked]
        questions += [(f"what digit is {colour} ?", str(n)) for colour in COLOURS for n in range(10)]
        questions += [("how many digits are there ?", "1"), ("what word letter is", "red")]
        questions += [(f"what color is the {height} bar ?", "red") for height in ("tallest", "shortest")]
        questions += [(f"what is {place} the {name} ?", name) for place in ("left of", "right of", "above", "below")
                      for name in SHAPES]  # fmt: skip
        questions += [("", name) for name in (*LETTERS, *WORDS)]
        return {word for text, answer in questions for word in [*text.replace("?", " ?").split(), answer]}

    def batch(self, phase: Phase) -> Batch:
        rows, columns = self.rng.choice(phase.grids)
        n_vqa = int(phase.images * phase.vqa_share) if rows == columns else 0
        n_details = int(phase.images * phase.detail_share)
        scenes = [self._scene(rows, columns, phase.max_digits) for _ in range(phase.images - n_vqa - n_details)]
        details = [self._detail(rows, columns, phase) for _ in range(n_details)]
        drawn = [scene.render() for scene in scenes] + [render(scene) for scene in details]
        pixels = torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2).float()
        labels = torch.stack([_digit_labels(s) for s in scenes] + [detail_labels(s) for s in details])
        questions = [self._ask(s, phase.questions_per_image) for s in scenes]
        questions += [self._ask_detail(s, phase.questions_per_image) for s in details]
        if n_vqa:
            picked = self.rng.sample(range(len(self.vqa_ids)), n_vqa)
            size = (rows * SOFT_TOKEN_PX, columns * SOFT_TOKEN_PX)
            # Matches the PIL resize of the image processor to 0.03 grey levels.
            vqa = functional.interpolate(self.vqa_pixels[picked].float(), size, mode="bicubic", antialias=True)
            pixels = torch.cat([vqa.round().clamp(0, 255), pixels])
            labels = torch.cat([torch.full((n_vqa, rows * columns, N_LABELS), UNKNOWN), labels])
            asked = [self.vqa[self.vqa_ids[i]] for i in picked]
            questions = [self.rng.sample(a, min(phase.questions_per_image, len(a))) for a in asked] + questions
        patches, positions = _patchify(pixels / 255)
        return Batch(patches, positions, labels, questions)

    def _scene(self, rows: int, columns: int, max_digits: int) -> Scene:
        self.next_scene += 1
        return make_scene("train", self.next_scene, rows, columns, max_digits)

    def _detail(self, rows: int, columns: int, phase: Phase) -> DetailScene:
        self.next_detail += 1
        layout = replace(DETAILS, rows=rows, columns=columns, categories=phase.categories, n_questions=4)
        return make_detail_scene(layout, "train", self.next_detail)

    def _ask(self, scene: Scene, n: int) -> list[Asked]:
        *digits, count = [(q.task, q.text, q.answer) for q in scene.questions()]
        return [*self.rng.sample(digits, min(n - 1, len(digits))), count] if n else []

    def _ask_detail(self, scene: DetailScene, n: int) -> list[Asked]:
        kind = f"{scene.task}/{scene.size}"
        asked = [(kind, question.text, question.answers[0]) for question in scene.questions]
        return self.rng.sample(asked, min(n, len(asked)))


def _digit_labels(scene: Scene) -> Tensor:
    labels = torch.zeros(scene.rows * scene.columns, N_LABELS, dtype=torch.long)
    labels[:, 2:] = UNKNOWN
    for digit in scene.digits:
        labels[digit.cell, :2] = torch.tensor([_CONTENT[f"digit {digit.value}"], _COLOUR[digit.colour]])
    return labels


def detail_labels(scene: DetailScene) -> Tensor:
    """Of each token the content and colour of what covers most of it, and the neighbours of that [tokens, 6].

    UNKNOWN where little of the thing is there, and for the neighbours of what does not stand on a board.
    """
    nobody = [UNKNOWN] * len(DIRECTIONS)
    found: list[tuple[Box, list[int]]] = []
    for thing in scene.things:
        around = nobody
        if scene.task == "position":
            beside = [neighbour(scene.things, thing, direction) for direction in DIRECTIONS]
            around = [0 if other is None else 1 + list(SHAPES).index(other.value) for other in beside]
        found.append((thing.box, [_CONTENT[f"{thing.kind} {thing.value}"], _COLOUR[thing.colour], *around]))
    if scene.chart:
        levels = [bar.level for bar in scene.chart.bars]
        for bar in scene.chart.bars:
            rank = "tallest " if bar.level == max(levels) else "shortest " if bar.level == min(levels) else ""
            found.append((bar.box, [_CONTENT[f"{rank}bar"], _COLOUR[bar.colour], *nobody]))
    labels = torch.zeros(scene.rows, scene.columns, N_LABELS, dtype=torch.long)
    labels[..., 2:] = UNKNOWN
    most = torch.zeros(scene.rows, scene.columns)
    for box, label in found:
        across = _covered(box.left, box.right, scene.columns)
        covered = _covered(box.top, box.bottom, scene.rows)[:, None] * across
        whole = min(box.width, SOFT_TOKEN_PX) * min(box.height, SOFT_TOKEN_PX)
        wins = covered > most
        labels[wins & (covered * 4 >= whole)] = torch.tensor(label)
        labels[wins & (covered * 4 < whole)] = UNKNOWN
        most = torch.maximum(most, covered)
    return labels.reshape(-1, N_LABELS)


def _covered(start: int, end: int, n: int) -> Tensor:
    """How many of the pixels start .. end - 1 lie in each of n tokens."""
    edges = torch.arange(n + 1) * SOFT_TOKEN_PX
    return (torch.clamp(edges[1:], max=end) - torch.clamp(edges[:-1], min=start)).clamp(min=0).float()


def _patchify(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """[B, 3, H, W] -> patches [B, P, 768] in raster order and their (x, y) [B, P, 2], as the image processor does."""
    b, _, height, width = pixels.shape
    h, w = height // PATCH_PX, width // PATCH_PX
    patches = pixels.reshape(b, 3, h, PATCH_PX, w, PATCH_PX).permute(0, 2, 4, 3, 5, 1).reshape(b, h * w, -1)
    x, y = torch.meshgrid(torch.arange(w), torch.arange(h), indexing="xy")
    return patches, torch.stack([x, y], -1).reshape(1, h * w, 2).expand(b, -1, -1)
