"""easy-VQA, test split: 9,673 questions about 1,000 images of one coloured shape, from the package `easy-vqa`."""

# ruff: noqa: ARG002  # signatures are the contract's, whether or not an implementation needs all of it

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from pytest_vtc.datasets.base import BuiltInDataset, Sample
from pytest_vtc.datasets.images import ImageFile

SIZE = 9_673
_SHAPES = frozenset({"circle", "rectangle", "triangle"})


class EasyVqa(BuiltInDataset):
    """Victor Zhou's easy-VQA, https://github.com/vzhou842/easy-VQA. Answering without looking gets 67 %."""

    name: ClassVar[str] = "easyvqa"
    description: ClassVar[str] = "one coloured shape an image: its shape, its colour, yes or no"
    licence: ClassVar[str] = "MIT"
    scoring: ClassVar[str] = "exact"
    max_new_tokens: ClassVar[int] = 8

    def state(self, home: Path) -> str:
        return f"built in, {SIZE:,} samples"

    def load(self, home: Path, prompt_style: str | None = None) -> Sequence[Sample]:
        return _samples()


@functools.cache
def _samples() -> tuple[Sample, ...]:
    import easy_vqa  # type: ignore[import-untyped]  # reads files: only when the dataset is asked for

    texts, answers, image_ids = easy_vqa.get_test_questions()
    paths = {int(image_id): Path(path) for image_id, path in easy_vqa.get_test_image_paths().items()}
    asked: dict[int, int] = {}
    samples: list[Sample] = []
    for text, answer, image_id in sorted(zip(texts, answers, image_ids, strict=True), key=lambda row: row[2]):
        number = asked[image_id] = asked.get(image_id, -1) + 1
        group = f"i{image_id:04d}"
        samples.append(
            Sample(
                id=f"{group}-q{number}",
                images=(ImageFile(paths[image_id]),),
                prompt=text,
                answers=(answer,),
                category=_question_type(answer),
                group=group,
            )
        )
    return tuple(samples)


def _question_type(answer: str) -> str:
    if answer in ("yes", "no"):
        return "yes/no"
    return "shape" if answer in _SHAPES else "colour"
