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
        self._begun: dict[ImageSource, Future[Opened | CaseFailed]] = {}

    def keep_only(self, sources: set[ImageSource]) -> None:
        """Let go of images that were begun and are not wanted after all."""
        for source in self._begun.keys() - sources:
            self._begun.pop(source).cancel()

    def take(self, sources: Sequence[ImageSource], then: Iterable[ImageSource] = ()) -> list[Opened | CaseFailed]:
        """These images, or why they cannot be used; they are not kept.

        then: what will be taken next, in order; as many of them are begun as may lie ready.
        """
        complete = all(source in self._begun for source in sources)
        for source in sources:
            self._begin(source)
        if self._beside or not complete:
            following = iter(then)
            while len(self._begun) < len(sources) + _AHEAD and (source := next(following, None)) is not None:
                self._begin(source)
        if not self._beside:
            wait(self._begun.values())
        return [self._begun.pop(source).result() for source in sources]

    def _begin(self, source: ImageSource) -> None:
        if source not in self._begun:
            self._begun[source] = self._pool.submit(self._open, source)

    def _open(self, source: ImageSource) -> Opened | CaseFailed:
        try:
            image = source.open()
        except DatasetError as error:
            return CaseFailed.because(error)
        except Exception as error:  # noqa: BLE001  Files are broken in many ways.
            return CaseFailed.because(error, f"{source} cannot be opened")
        try:
            return Opened(image, self._backend.process(image))
        except Exception as error:  # noqa: BLE001  Processors reject odd images in many ways: that image's cases fail.
            return CaseFailed.because(error, f"{source} ({image.width}x{image.height}) is refused by the processor")
