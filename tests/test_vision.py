"""Images opened ahead of need: the same ones, no more than may lie ready, and every failure at its own image."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

from PIL import Image

from pytest_vtc.cells import CaseFailed
from pytest_vtc.datasets.base import DatasetError
from pytest_vtc.vision import ImagesAhead, Opened


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

    def process(self, image: Image.Image) -> Any:
        if image.width == 14:
            raise ValueError("unlucky size")
        return image.width


def ahead() -> ImagesAhead:
    opened.clear()
    return ImagesAhead(Processor())  # type: ignore[arg-type]


def test_an_image_that_was_begun_is_opened_once_and_on_another_thread() -> None:
    images = ahead()
    images.begin([Source(3), Source(4)])
    taken = images.take(Source(3))
    assert isinstance(taken, Opened)
    assert taken.processed == 4
    images.take(Source(4))
    assert sorted(opened) == [(3, False), (4, False)]


def test_an_image_that_was_not_begun_is_opened_when_taken() -> None:
    images = ahead()
    taken = images.take(Source(5))
    assert isinstance(taken, Opened)
    assert taken.image.width == 6


def test_only_so_many_images_lie_ready() -> None:
    images = ahead()
    images.begin(Source(n) for n in range(20, 80))
    for n in range(20, 36):
        images.take(Source(n))
    assert len(opened) == 16


def test_images_no_longer_wanted_are_let_go() -> None:
    images = ahead()
    images.begin([Source(n) for n in range(20, 36)])
    images.keep_only({Source(20)})
    images.begin([Source(99)])
    images.take(Source(99))
    assert (99, False) in opened


def test_a_missing_image_fails_with_its_own_message() -> None:
    images = ahead()
    images.begin([Source(-1)])
    failed = images.take(Source(-1))
    assert isinstance(failed, CaseFailed)
    assert str(failed) == "image -1: no such image"


def test_an_image_that_the_processor_refuses_is_named_with_its_size() -> None:
    failed = ahead().take(Source(13))
    assert isinstance(failed, CaseFailed)
    assert "(14x1) is refused by the processor: ValueError: unlucky size" in str(failed)
