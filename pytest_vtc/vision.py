"""Opens, resizes and pre-processes images on CPU threads ahead of need, so that the model does not wait for them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
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
    """Images on their way to the vision side. `begin` never waits; `take` waits for the one image."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        # One core is left to the thread that feeds the model.
        self._pool = ThreadPoolExecutor(max(1, min(8, (os.cpu_count() or 2) - 1)), thread_name_prefix="vtc-image")
        self._begun: dict[ImageSource, Future[Opened | CaseFailed]] = {}

    def begin(self, sources: Iterable[ImageSource]) -> None:
        """Start on the first of `sources`, as many as may lie ready."""
        for source in sources:
            if len(self._begun) >= _AHEAD:
                return
            if source not in self._begun:
                self._begun[source] = self._pool.submit(self._open, source)

    def keep_only(self, sources: set[ImageSource]) -> None:
        """Let go of images that were begun and are not wanted after all."""
        for source in self._begun.keys() - sources:
            self._begun.pop(source).cancel()

    def take(self, source: ImageSource) -> Opened | CaseFailed:
        """The image, or why it cannot be used; it is not kept."""
        begun = self._begun.pop(source, None)
        return self._open(source) if begun is None else begun.result()

    def _open(self, source: ImageSource) -> Opened | CaseFailed:
        try:
            image = source.open()
        except DatasetError as error:
            return CaseFailed.because(error)
        try:
            return Opened(image, self._backend.process(image))
        except Exception as error:  # noqa: BLE001  Processors reject odd images in many ways: that image's cases fail.
            return CaseFailed.because(error, f"{source} ({image.width}x{image.height}) is refused by the processor")
