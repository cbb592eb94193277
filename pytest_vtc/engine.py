"""Encode, compress, generate: computes a window of cases together. The heart of the tool; knows nothing of pytest.

The vision side runs once per image and is shared by all cells of the window; a compressor that does not read the
question runs once per image and ratio. What is left, one row per case, goes through the language model in left-padded
batches of rows of similar length.
"""

from __future__ import annotations

import hashlib
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from pytest_vtc.cells import Generation, Positions
from pytest_vtc.compression import (
    CONTEXT_NAMES,
    Compressed,
    CompressionError,
    Compressor,
    budget,
    run_compressor,
)
from pytest_vtc.datasets.base import DatasetError, ImageSource, Sample
from pytest_vtc.models.backend import Backend, Output, PromptError, Row, VisionTokens

_DEFAULT_BATCH = 64
_PROVIDED = frozenset({"hidden", "text", "image", "encode"})


class CaseFailed(RuntimeError):  # noqa: N818  (an outcome, told apart from the errors that cause it)
    """A case could not be measured; the message says why."""


@dataclass(frozen=True)
class Job:
    """One case for the engine. compressor None: stock."""

    sample: Sample
    compressor: Compressor | None
    ratio: float


@dataclass
class _Encoded:
    image: Image.Image
    tokens: VisionTokens


class Engine:
    """Runs jobs on one loaded model.

    batch_size: rows per call of the language model; None lets the engine choose. positions None: the family's default.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        positions: Positions | None = None,
        batch_size: int | None = None,
        seed: int = 42,
    ) -> None:
        self.backend = backend
        self.positions: Positions = positions or backend.default_positions
        self.batch_size = batch_size or _DEFAULT_BATCH
        self.seed = seed

    def run(self, jobs: Sequence[Job], max_new_tokens: int) -> list[Generation | CaseFailed]:
        """Compute jobs together; one result per job, in order. A job that fails takes no other with it."""
        started = time.perf_counter()
        window = _Window(self)
        prepared = [window.prepare(job) for job in jobs]
        rows = [(i, p.row) for i, p in enumerate(prepared) if isinstance(p, _Prepared)]
        # Rows of like length share a batch: little padding. Ties keep the order of the jobs.
        rows.sort(key=lambda item: len(item[1]))
        outputs: dict[int, Output | CaseFailed] = {}
        start = 0
        while start < len(rows):
            chunk = rows[start : start + self.batch_size]
            start += len(chunk)
            for (i, _), output in zip(chunk, self._generate([row for _, row in chunk], max_new_tokens), strict=True):
                outputs[i] = output
        seconds = (time.perf_counter() - started) / max(1, len(jobs))
        results: list[Generation | CaseFailed] = []
        for i, item in enumerate(prepared):
            output = outputs.get(i)
            if isinstance(item, CaseFailed):
                results.append(item)
            elif isinstance(output, Output):
                results.append(item.generation(self.backend.answer(output), output, self.positions, seconds))
            else:
                assert output is not None
                results.append(output)
        return results

    def _generate(self, rows: list[Row], max_new_tokens: int) -> list[Output | CaseFailed]:
        """One batch; a batch that fails is halved until only the bad row is left."""
        try:
            return list(self.backend.generate(rows, max_new_tokens))
        except torch.cuda.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            if len(rows) == 1:
                return [_failed("out of GPU memory with this case alone in a batch", error)]
            half = len(rows) // 2
            if half < self.batch_size:
                warnings.warn(f"out of GPU memory with {len(rows)} rows: going on with {half}", stacklevel=2)
                self.batch_size = half
        except Exception as error:  # noqa: BLE001  Whatever the model raises on one row is that case's result.
            if len(rows) == 1:
                return [_failed("the model failed on this case", error)]
            half = len(rows) // 2
        return self._generate(rows[:half], max_new_tokens) + self._generate(rows[half:], max_new_tokens)


@dataclass(frozen=True)
class _Prepared:
    row: Row
    n_tokens: int
    n_asked: int
    n_kept: int

    def generation(self, answer: str, output: Output, positions: Positions, seconds: float) -> Generation:
        return Generation(
            answer=answer,
            n_tokens=self.n_tokens,
            n_asked=self.n_asked,
            n_kept=self.n_kept,
            n_generated=len(output.token_ids),
            positions=positions,
            truncated=output.truncated,
            seconds=seconds,
        )


class _Window:
    """What the cases of one window share: opened and encoded images, compressed tokens, prompts."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.backend = engine, engine.backend
        self._encoded: dict[ImageSource, _Encoded | CaseFailed] = {}
        self._compressed: dict[tuple[Any, ...], Compressed | CaseFailed] = {}
        self._prompts: dict[tuple[str, int], list[int]] = {}

    def prepare(self, job: Job) -> _Prepared | CaseFailed:
        try:
            encoded = [self._encode(source) for source in job.sample.images]
            images = [e.tokens for e in encoded]
            asked = [len(t) if job.compressor is None else budget(len(t), job.ratio) for t in images]
            kept = [
                None if job.compressor is None else self._compress(job, job.compressor, source, e, n)
                for source, e, n in zip(job.sample.images, encoded, asked, strict=True)
            ]
            row = self.backend.row(self._prompt(job.sample), images, kept, self.engine.positions)
        except CaseFailed as failed:
            return failed
        except (CompressionError, PromptError) as error:
            return _failed(None, error)
        n_kept = sum(len(features) for features in row.features)
        return _Prepared(row, sum(len(t) for t in images), sum(asked), n_kept)

    def _prompt(self, sample: Sample) -> list[int]:
        key = (sample.prompt, len(sample.images))
        if key not in self._prompts:
            self._prompts[key] = self.backend.prompt_ids(*key)
        return self._prompts[key]

    def _encode(self, source: ImageSource) -> _Encoded:
        if source not in self._encoded:
            self._encoded[source] = self._open_and_encode(source)
        found = self._encoded[source]
        if isinstance(found, CaseFailed):
            raise found
        return found

    def _open_and_encode(self, source: ImageSource) -> _Encoded | CaseFailed:
        try:
            image = source.open()
        except DatasetError as error:
            return _failed(None, error)
        try:
            tokens = self.backend.encode(image)
        except Exception as error:  # noqa: BLE001  Processors reject odd images in many ways: that image's cases fail.
            return _failed(f"{source} ({image.width}x{image.height}) does not go through the vision side", error)
        if not torch.isfinite(tokens.features).all():
            return CaseFailed(f"{source}: the vision side gave NaN or infinity; try another --vtc-dtype")
        return _Encoded(image, tokens)

    def _compress(
        self, job: Job, compressor: Compressor, source: ImageSource, encoded: _Encoded, n_target: int
    ) -> Compressed:
        reads_text = job.sample.prompt if "text" in compressor.needs else None
        key = (source, compressor.spec, n_target, reads_text)
        if key not in self._compressed:
            try:
                context = self._context(compressor, source, encoded, job.sample.prompt)
                self._compressed[key] = run_compressor(compressor, encoded.tokens.features, n_target, context)
            except CompressionError as error:
                self._compressed[key] = _failed(None, error)
        found = self._compressed[key]
        if isinstance(found, CaseFailed):
            raise found
        return found

    def _context(self, compressor: Compressor, source: ImageSource, encoded: _Encoded, prompt: str) -> dict[str, Any]:
        check_supported(compressor)
        tokens = encoded.tokens
        columns = tokens.grid[1]
        raster = torch.arange(len(tokens))
        context: dict[str, Any] = {
            "grid": tokens.grid,
            "positions": torch.stack([raster // columns, raster % columns], dim=1),
            "generator": _generator(self.engine.seed, source.fingerprint()),
        }
        costly: dict[str, Callable[[], Any]] = {
            "hidden": lambda: tokens.hidden.float(),
            "text": lambda: self.backend.text_embeddings(prompt),
            "image": lambda: encoded.image,
            "encode": lambda: self._encoder(encoded.image),
        }
        return context | {name: costly[name]() for name in compressor.needs}

    def _encoder(self, image: Image.Image) -> Callable[[int, int], Tensor]:
        return lambda rows, columns: self.backend.encode_resized(image, rows, columns)


def check_supported(compressor: Compressor) -> None:
    """Raise CompressionError if the engine cannot give a compressor what it declares to need."""
    if compressor.stage != "pre_llm":
        raise CompressionError(f"{compressor.spec} acts at stage {compressor.stage!r}; only 'pre_llm' can be run")
    if unknown := compressor.needs - CONTEXT_NAMES:
        raise CompressionError(f"{compressor.spec} needs {sorted(unknown)}; there is {sorted(CONTEXT_NAMES)}")
    if missing := compressor.needs - _PROVIDED:
        raise CompressionError(
            f"{compressor.spec} needs {sorted(missing)}, which this model's backend does not provide"
        )


def _generator(seed: int, image: str) -> torch.Generator:
    digest = hashlib.sha256(f"{seed}:{image}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


def _failed(what: str | None, error: Exception) -> CaseFailed:
    message = str(error) if what is None else f"{what}: {type(error).__name__}: {error}"
    failed = CaseFailed(message)
    failed.__cause__ = error
    return failed
