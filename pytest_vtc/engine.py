"""Encode, compress, generate: computes a window of cases together. The heart of the tool; knows nothing of pytest.

The vision side runs once per image and is shared by all cells of the window; a compressor that does not read the
question runs once per image, and one that ranks tokens once for all ratios. What all questions on a compressed image
have in common goes through the language model once.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from pytest_vtc.answering import answer_rows
from pytest_vtc.batching import Appetite, BatchLimits, halving
from pytest_vtc.cells import AnswerMode, CaseFailed, Generation, Positions
from pytest_vtc.compressed import Compressed
from pytest_vtc.compression import Compressor, budget
from pytest_vtc.datasets.base import Sample
from pytest_vtc.image_compression import EncodedImage, ImageCompression, or_failed, reads_text, uses, wants
from pytest_vtc.models.backend import Backend
from pytest_vtc.models.decoding import Output
from pytest_vtc.models.sequences import Prefix, Row, Tile, VisionTokens
from pytest_vtc.models.vision_side import VISION_BATCH, Wants
from pytest_vtc.vision import ImagesAhead, Opened, Shown


@dataclass(frozen=True)
class Job:
    """One case for the engine. compressor None: stock."""

    sample: Sample
    compressor: Compressor | None
    ratio: float


class Engine:
    """Runs jobs on one loaded model.

    batch_size: rows per call of the language model; None: by memory and length. positions None: the family's default.
    answers: `letters` answers multiple-choice samples by their likeliest letter; one without options fails.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        positions: Positions | None = None,
        batch_size: int | None = None,
        seed: int = 42,
        answers: AnswerMode = "generate",
    ) -> None:
        self.backend, self.answers = backend, answers
        self.positions: Positions = positions or backend.default_positions
        self.seed = seed
        devices = {parameter.device for parameter in backend.model.parameters()}
        self.limits = BatchLimits(batch_size, Appetite.of(backend.model), devices)
        self.vision_batch = VISION_BATCH
        self.images = ImagesAhead(backend)

    def run(
        self, jobs: Sequence[Job], max_new_tokens: int, upcoming: Iterable[Sample] = ()
    ) -> list[Generation | CaseFailed]:
        """Compute jobs together; one result per job, in order. A job that fails takes no other with it.

        upcoming: samples of the jobs that will follow, in order; some images are opened while the model computes.
        """
        started = time.perf_counter()
        window = _Window(self, jobs)
        window.encode(upcoming)
        window.compress()
        prepared = [window.prepare(job) for job in jobs]
        rows = [item.row for item in prepared if isinstance(item, _Prepared)]
        longest = 1 if self.answers == "letters" else max_new_tokens
        outputs = iter(answer_rows(self.backend, self.limits, rows, longest))
        seconds = time.perf_counter() - started
        self.limits.learn(len(rows), sum(map(len, rows)), seconds, *window.size())
        share = seconds / max(1, len(jobs))
        texts: dict[tuple[int, ...], str] = {}
        results: list[Generation | CaseFailed] = []
        for item in prepared:
            output = item if isinstance(item, CaseFailed) else next(outputs)
            if isinstance(item, CaseFailed) or isinstance(output, CaseFailed):
                results.append(output)  # type: ignore[arg-type]
                continue
            key = tuple(output.token_ids)
            if key not in texts:
                texts[key] = self.backend.answer(output)
            results.append(item.generation(texts[key], output, self.backend, self.positions, share))
        return results


@dataclass(frozen=True)
class _Variant:
    """The images of a sample as one compressor and ratio leave them. key: equal for equal tokens."""

    kept: list[Compressed | None]
    n_tokens: int
    n_asked: int
    key: tuple[Any, ...]


@dataclass(frozen=True)
class _Prepared:
    row: Row
    variant: _Variant

    def generation(
        self, answer: str, output: Output, backend: Backend, positions: Positions, seconds: float
    ) -> Generation:
        window = backend.sliding_window
        n_kept = sum(len(features) for features in self.row.features)
        uncompressed = len(self.row) - n_kept + self.variant.n_tokens + len(output.token_ids)
        return Generation(
            answer=answer,
            n_tokens=self.variant.n_tokens,
            n_asked=self.variant.n_asked,
            n_kept=n_kept,
            kv_bytes=backend.kv_bytes(len(self.row)),
            n_generated=len(output.token_ids),
            positions=positions,
            truncated=output.truncated,
            beyond_window=window is not None and uncompressed > window,
            seconds=seconds,
        )


class _Window:
    """What the cases of one window share: encoded images, compressed tokens, prompts, prefixes."""

    def __init__(self, engine: Engine, jobs: Sequence[Job]) -> None:
        self.engine, self.backend, self.jobs = engine, engine.backend, jobs
        self._encoded: dict[Shown, EncodedImage | CaseFailed] = {}
        self._compression = ImageCompression(engine.backend, engine.seed)
        self._variants: dict[tuple[Any, ...], _Variant | CaseFailed] = {}
        self._prompts: dict[tuple[Any, ...], tuple[list[int], list[int]] | CaseFailed] = {}
        # Of the samples of the window, by their id: the jobs keep them, so that no other object can have it.
        self._own = {id(job.sample) for job in jobs}
        self._shown_of: dict[int, tuple[Shown, ...]] = {}
        self._prompt_of: dict[int, tuple[list[int], list[int]] | CaseFailed] = {}
        self._prefixes: dict[tuple[Any, ...], Prefix | CaseFailed] = {}

    # Vision

    def encode(self, upcoming: Iterable[Sample]) -> None:
        """Take every image of the window through the vision side; those that will follow are opened meanwhile."""
        ahead = self.engine.images
        images = list(dict.fromkeys(shown for job in self.jobs for shown in self._shown(job.sample)))
        ahead.keep_only(set(images))
        compressors = [job.compressor for job in self.jobs if job.compressor is not None]
        keep_pixels = any(uses(compressor, self.backend) & {"image", "encode", "inside"} for compressor in compressors)
        wanted = wants(compressors, self.backend)
        following = (shown for sample in upcoming for shown in self._shown(sample))
        start = 0
        while start < len(images):
            stop = start + self.engine.vision_batch
            batch, then, start = images[start:stop], images[stop:], stop
            opened = dict(zip(batch, ahead.take(batch, itertools.chain(then, following)), strict=True))
            self._encoded |= {shown: failed for shown, failed in opened.items() if isinstance(failed, CaseFailed)}
            self._encode({shown: it for shown, it in opened.items() if isinstance(it, Opened)}, keep_pixels, wanted)

    def _shown(self, sample: Sample) -> tuple[Shown, ...]:
        # A sample is asked for by each of its cells: looked up by what it is, not by what it holds.
        if (found := self._shown_of.get(id(sample))) is None:
            beside = self.backend.shown_beside(len(sample.images))
            found = tuple(Shown(source, beside) for source in sample.images)
            if id(sample) in self._own:
                self._shown_of[id(sample)] = found
        return found

    def _encode(self, batch: dict[Shown, Opened], keep_pixels: bool, wanted: Wants) -> None:
        found = halving(
            list(batch.values()),
            lambda part: self.backend.encode_many([opened.processed for opened in part], wanted),
            on_no_memory=self._fewer_images,
        )
        for (shown, opened), tokens in zip(batch.items(), found, strict=True):
            if isinstance(tokens, CaseFailed):
                size = f"{opened.image.width}x{opened.image.height}"
                self._encoded[shown] = CaseFailed(f"{shown} ({size}) does not go through the vision side: {tokens}")
            elif not torch.isfinite(tokens.rows).all():
                self._encoded[shown] = CaseFailed(
                    f"{shown}: the vision side gave NaN or infinity; try another --vtc-dtype"
                )
            else:
                pixels = opened.image if keep_pixels else None
                self._encoded[shown] = EncodedImage(shown.source, pixels, tokens)

    def _fewer_images(self, too_many: list[Opened]) -> None:
        self.engine.vision_batch = max(1, len(too_many) // 2)
        self.engine.limits.say_halved(f"{len(too_many)} images")

    def size(self) -> tuple[int, int]:
        """Bytes of all images' features, and how many images there are."""
        tokens = [encoded.tokens for encoded in self._encoded.values() if isinstance(encoded, EncodedImage)]
        return sum(of_image.n_bytes for of_image in tokens), len(tokens)

    # Compression

    def compress(self) -> None:
        """Run every compressor on every image it is needed for."""
        for job in self.jobs:
            if job.compressor is None:
                continue
            for shown in self._shown(job.sample):
                encoded = self._encoded[shown]
                if isinstance(encoded, EncodedImage):
                    n_target = budget(len(encoded.tokens), job.ratio)
                    key = self._image_key(job, job.compressor, shown)
                    self._compression.want(key, job.compressor, encoded, job.sample.prompt, n_target)
        self._compression.run()

    @staticmethod
    def _image_key(job: Job, compressor: Compressor, shown: Shown) -> tuple[Any, ...]:
        return shown, compressor.spec, job.sample.prompt if reads_text(compressor) else None

    # Rows

    def prepare(self, job: Job) -> _Prepared | CaseFailed:
        """The row of a job; jobs with equal tokens and equal beginnings share its prefix."""
        variant = self._variant(job)
        if isinstance(variant, CaseFailed):
            return variant
        by_letter = self.engine.answers == "letters"
        if by_letter and not job.sample.options:
            return CaseFailed("the sample has no options, so it cannot be answered by letters")
        images = [self._tokens(shown) for shown in self._shown(job.sample)]
        if (prompt := self._prompt_of.get(id(job.sample))) is None:
            prompt = self._prompt(job.sample.prompt, tuple(tokens.tiles for tokens in images), by_letter)
            self._prompt_of[id(job.sample)] = prompt
        if isinstance(prompt, CaseFailed):
            return prompt
        head, suffix = prompt
        key = (*variant.key, tuple(head))
        if key not in self._prefixes:
            self._prefixes[key] = or_failed(
                lambda: self.backend.prefix(head, images, variant.kept, self.engine.positions), "the prompt"
            )
        prefix = self._prefixes[key]
        if isinstance(prefix, CaseFailed):
            return prefix
        return _Prepared(Row(prefix, suffix, len(job.sample.options) if by_letter else 0), variant)

    def _tokens(self, shown: Shown) -> VisionTokens:
        encoded = self._encoded[shown]
        assert isinstance(encoded, EncodedImage)
        return encoded.tokens

    def _variant(self, job: Job) -> _Variant | CaseFailed:
        compressor, images = job.compressor, self._shown(job.sample)
        text = job.sample.prompt if compressor is not None and reads_text(compressor) else None
        key = (images, None if compressor is None else compressor.spec, job.ratio, text)
        if key not in self._variants:
            self._variants[key] = self._make_variant(job, images, compressor)
        return self._variants[key]

    def _make_variant(
        self, job: Job, images: tuple[Shown, ...], compressor: Compressor | None
    ) -> _Variant | CaseFailed:
        kept: list[Compressed | None] = []
        n_tokens = n_asked = 0
        for shown in images:
            encoded = self._encoded[shown]
            if isinstance(encoded, CaseFailed):
                return encoded
            n_rows = len(encoded.tokens.rows)
            n_tokens += n_rows
            if compressor is None:
                kept.append(None)
                n_asked += n_rows
                continue
            n_target = budget(len(encoded.tokens), job.ratio)
            compressed = self._compression.found(self._image_key(job, compressor, shown), n_target)
            if isinstance(compressed, CaseFailed):
                return compressed
            kept.append(compressed)
            n_asked += budget(n_rows, job.ratio)
        return _Variant(kept, n_tokens, n_asked, (images, *map(_content, kept)))

    def _prompt(
        self, text: str, images: tuple[tuple[Tile, ...], ...], by_letter: bool
    ) -> tuple[list[int], list[int]] | CaseFailed:
        key = (text, images, by_letter)
        if key not in self._prompts:
            self._prompts[key] = or_failed(
                lambda: self.backend.split_prompt(self.backend.prompt_ids(*key)), "the chat template"
            )
        return self._prompts[key]


def _content(kept: Compressed | None) -> Any:
    """Equal for results that are the same tokens of the same image; selections of different methods may be."""
    if kept is None or kept.indices is None:
        return kept if kept is None else id(kept)
    return kept.indices.numpy().tobytes()
