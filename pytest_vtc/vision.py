"""Opens, resizes and pre-processes images on CPU threads, ahead of need where the model would wait for them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from PIL import Image

from pytest_vtc.cells import CaseFailed
from pytest_vtc.datasets.base import DatasetError, ImageSource
from pytest_vtc.models.backend import Backend

_AHEAD = 16
"""Images that may lie ready at once: a few hundred MB of pixels with the largest processors."""


@dataclass(frozen=True)
class Shown:
    """An image as a prompt shows it. beside: others with it, where the model encodes it differently for that."""

    source: ImageSource
    beside: bool = False

    def __str__(self) -> str:
        return str(self.source)


@dataclass(frozen=True)
class Opened:
    """An image and what the vision side takes of it."""

    image: Image.Image
    processed: Any


class ImagesAhead:
    """Images on their way to the vision side, opened by several threads: while the model computes, or in its pauses.

    Where a device computes, they run ahead of it. Where the model computes on the CPU, threads beside it would take its
    cores from it, and its own threads wait for the slowest; so it waits until all images that may lie ready do so.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._beside = backend.device.type != "cpu"
        cores = os.cpu_count() or 2
        # Beside a device one core is left to the thread that feeds it.
        n_threads = max(1, cores - 1) if self._beside else cores
        self._pool = ThreadPoolExecutor(min(8, n_threads), thread_name_prefix="vtc-image")
        self._begun: dict[Shown, Future[Opened | CaseFailed]] = {}

    def keep_only(self, images: set[Shown]) -> None:
        """Let go of images that were begun and are not wanted after all."""
        for shown in self._begun.keys() - images:
            self._begun.pop(shown).cancel()

    def take(self, images: Sequence[Shown], then: Iterable[Shown] = ()) -> list[Opened | CaseFailed]:
        """These images, or why they cannot be used; they are not kept.

        then: what will be taken next, in order; as many of them are begun as may lie ready.
        """
        complete = all(shown in self._begun for shown in images)
        for shown in images:
            self._begin(shown)
        if self._beside or not complete:
            following = iter(then)
            while len(self._begun) < len(images) + _AHEAD and (shown := next(following, None)) is not None:
                self._begin(shown)
        if not self._beside:
            wait(self._begun.values())
        return [self._begun.pop(shown).result() for shown in images]

    def _begin(self, shown: Shown) -> None:
        if shown not in self._begun:
            self._begun[shown] = self._pool.submit(self._open, shown)

    def _open(self, shown: Shown) -> Opened | CaseFailed:
        try:
            image = shown.source.open()
        except DatasetError as error:
            return CaseFailed.because(error)
        except Exception as error:  # noqa: BLE001  Files are broken in many ways.
            return CaseFailed.because(error, f"{shown} cannot be opened")
        try:
            return Opened(image, self._backend.process(image, shown.beside))
        except Exception as error:  # noqa: BLE001  Processors reject odd images in many ways: that image's cases fail.
            return CaseFailed.because(error, f"{shown} ({image.width}x{image.height}) is refused by the processor")
