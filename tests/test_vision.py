"""Images opened ahead of need: the same ones, no more than may lie ready, and every failure at its own image."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from PIL import Image

from pytest_vtc.cells import CaseFailed
from pytest_vtc.datasets.base import DatasetError
from pytest_vtc.vision import ImagesAhead, Opened, Shown


@dataclass(frozen=True)
class Source:
    number: int

    def open(self) -> Image.Image:
        if self.number < 0:
            raise DatasetError(f"image {self.number}: no such image")
        opened.append((self.number, threading.current_thread() is threading.main_thread()))
        return Image.new("RGB", (self.number + 1, 1))

    def fingerprint(self) -> str:
        return str(self.number)


opened: list[tuple[int, bool]] = []


class Processor:
    """Stands in for a backend: what it makes of an image is the width."""

    def __init__(self, device: str) -> None:
        self.device = torch.device(device)

    def process(self, image: Image.Image, _beside: bool) -> Any:
        if image.width == 14:
            raise ValueError("unlucky size")
        return image.width


@pytest.fixture(params=["cpu", "cuda"])
def images(request: pytest.FixtureRequest) -> ImagesAhead:
    opened.clear()
    return ImagesAhead(Processor(request.param))  # type: ignore[arg-type]


def sources(*numbers: int) -> list[Any]:
    return [Shown(Source(number)) for number in numbers]


def widths(taken: list[Opened | CaseFailed]) -> list[int]:
    return [item.processed for item in taken if isinstance(item, Opened)]


def test_images_come_in_the_order_asked_for_from_other_threads(images: ImagesAhead) -> None:
    assert widths(images.take(sources(5, 3, 4))) == [6, 4, 5]
    assert sorted(opened) == [(3, False), (4, False), (5, False)]


def test_an_image_that_was_begun_is_opened_once(images: ImagesAhead) -> None:
    images.take(sources(1), then=sources(2, 3))
    assert widths(images.take(sources(2, 3))) == [3, 4]
    assert sorted(number for number, _ in opened) == [1, 2, 3]


def test_only_so_many_images_lie_ready(images: ImagesAhead) -> None:
    images.take(sources(20), then=sources(*range(21, 80)))
    images.take(sources(*range(21, 37)))
    assert sorted(number for number, _ in opened)[:17] == [*range(20, 37)]
    assert len(opened) <= 17 + 16


def test_a_device_finds_the_next_images_begun_as_others_are_taken() -> None:
    opened.clear()
    images = ImagesAhead(Processor("cuda"))  # type: ignore[arg-type]
    for first in (20, 24, 28):
        images.take(sources(*range(first, first + 4)), then=sources(*range(first + 4, 90)))
    images._pool.shutdown()
    assert sorted(number for number, _ in opened) == [*range(20, 32 + 16)]


def test_beside_a_model_on_the_cpu_no_thread_is_at_work() -> None:
    opened.clear()
    images = ImagesAhead(Processor("cpu"))  # type: ignore[arg-type]
    images.take(sources(*range(20, 24)), then=sources(*range(24, 90)))
    assert all(future.done() for future in images._begun.values())
    before = len(opened)
    images.take(sources(*range(24, 28)), then=sources(*range(28, 90)))
    assert len(opened) == before == 20


def test_images_no_longer_wanted_are_let_go(images: ImagesAhead) -> None:
    images.take(sources(19), then=sources(*range(20, 36)))
    images.keep_only({Shown(Source(20))})
    assert images._begun.keys() == {Shown(Source(20))}


def test_a_missing_image_fails_with_its_own_message(images: ImagesAhead) -> None:
    failed, found = images.take(sources(-1, 2))
    assert isinstance(failed, CaseFailed)
    assert str(failed) == "image -1: no such image"
    assert isinstance(found, Opened)


def test_an_image_that_the_processor_refuses_is_named_with_its_size(images: ImagesAhead) -> None:
    (failed,) = images.take(sources(13))
    assert isinstance(failed, CaseFailed)
    assert "(14x1) is refused by the processor: ValueError: unlucky size" in str(failed)
