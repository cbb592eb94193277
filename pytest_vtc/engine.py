"""Encode, compress, generate: computes a window of cases together. The heart of the tool; knows nothing of pytest.

The vision side runs once per image and is shared by all cells of the window; a compressor that does not read the
question runs once per image, and one that ranks tokens once for all ratios. What all questions on a compressed image
have in common goes through the language model once.
"""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import torch
from PIL import Image
from torch import Tensor

from pytest_vtc.answering import answer_rows
from pytest_vtc.batching import Appetite, BatchLimits, halving
from pytest_vtc.cells import AnswerMode, CaseFailed, Generation, Positions
from pytest_vtc.compression import (
    CONTEXT_NAMES,
    Compressed,
    CompressionError,
    Compressor,
    Ranking,
    budget,
    run_compressor,
    run_ranking,
)
from pytest_vtc.datasets.base import DatasetError, ImageSource, Sample
from pytest_vtc.models.backend import VISION_BATCH, Backend, PromptError
from pytest_vtc.models.decoding import Output
from pytest_vtc.models.sequences import Prefix, Row, VisionTokens
from pytest_vtc.vision import ImagesAhead, Opened

Made = TypeVar("Made")

_PROVIDED = frozenset({"hidden", "text", "image", "encode"})


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
        self, jobs: Sequence[Job], max_new_tokens: int, upcoming: Iterable[ImageSource] = ()
    ) -> list[Generation | CaseFailed]:
        """Compute jobs together; one result per job, in order. A job that fails takes no other with it.

        upcoming: images of the jobs that will follow, in order; some are opened while the model computes.
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
            results.append(item.generation(texts[key], output, self.positions, self.backend.sliding_window, share))
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
        self, answer: str, output: Output, positions: Positions, window: int | None, seconds: float
    ) -> Generation:
        n_kept = sum(len(features) for features in self.row.features)
        uncompressed = len(self.row) - n_kept + self.variant.n_tokens + len(output.token_ids)
        return Generation(
            answer=answer,
            n_tokens=self.variant.n_tokens,
            n_asked=self.variant.n_asked,
            n_kept=n_kept,
            n_generated=len(output.token_ids),
            positions=positions,
            truncated=output.truncated,
            beyond_window=window is not None and uncompressed > window,
            seconds=seconds,
        )


@dataclass(frozen=True)
class _Encoded:
    """One image in a window. image: None if no compressor of the window looks at pixels."""

    image: Image.Image | None
    tokens: VisionTokens


@dataclass(frozen=True)
class _Wanted:
    """What one compressor has to do on one image. key: image, spec and, if it reads the text, the question."""

    key: tuple[Any, ...]
    compressor: Compressor
    encoded: _Encoded
    prompt: str
    budgets: set[int]


class _Window:
    """What the cases of one window share: encoded images, compressed tokens, prompts, prefixes."""

    def __init__(self, engine: Engine, jobs: Sequence[Job]) -> None:
        self.engine, self.backend, self.jobs = engine, engine.backend, jobs
        self._encoded: dict[ImageSource, _Encoded | CaseFailed] = {}
        self._compressed: dict[tuple[Any, ...], Compressed | CaseFailed] = {}
        self._variants: dict[tuple[Any, ...], _Variant | CaseFailed] = {}
        self._prompts: dict[tuple[str, int], tuple[list[int], list[int]] | CaseFailed] = {}
        self._prefixes: dict[tuple[Any, ...], Prefix | CaseFailed] = {}

    # Vision

    def encode(self, upcoming: Iterable[ImageSource]) -> None:
        """Take every image of the window through the vision side; those that will follow are opened meanwhile."""
        ahead = self.engine.images
        sources = list(dict.fromkeys(source for job in self.jobs for source in job.sample.images))
        ahead.keep_only(set(sources))
        keep_pixels = any(job.compressor and job.compressor.needs & {"image", "encode"} for job in self.jobs)
        following = iter(upcoming)
        start = 0
        while start < len(sources):
            stop = start + self.engine.vision_batch
            batch, then, start = sources[start:stop], sources[stop:], stop
            opened = dict(zip(batch, ahead.take(batch, itertools.chain(then, following)), strict=True))
            self._encoded |= {source: failed for source, failed in opened.items() if isinstance(failed, CaseFailed)}
            self._encode({source: it for source, it in opened.items() if isinstance(it, Opened)}, keep_pixels)

    def _encode(self, batch: dict[ImageSource, Opened], keep_pixels: bool) -> None:
        found = halving(
            list(batch.values()),
            lambda part: self.backend.encode_many([opened.processed for opened in part]),
            on_no_memory=self._fewer_images,
        )
        for (source, opened), tokens in zip(batch.items(), found, strict=True):
            if isinstance(tokens, CaseFailed):
                size = f"{opened.image.width}x{opened.image.height}"
                tokens = CaseFailed(f"{source} ({size}) does not go through the vision side: {tokens}")
            elif not torch.isfinite(tokens.features).all():
                tokens = CaseFailed(f"{source}: the vision side gave NaN or infinity; try another --vtc-dtype")
            else:
                tokens = _Encoded(opened.image if keep_pixels else None, tokens)
            self._encoded[source] = tokens

    def _fewer_images(self, too_many: list[Opened]) -> None:
        self.engine.vision_batch = max(1, len(too_many) // 2)
        self.engine.limits.say_halved(f"{len(too_many)} images")

    def size(self) -> tuple[int, int]:
        """Bytes of all images' features, and how many images there are."""
        tokens = [e.tokens for e in self._encoded.values() if isinstance(e, _Encoded)]
        return sum(t.features.nbytes + t.hidden.nbytes for t in tokens), len(tokens)

    # Compression

    def compress(self) -> None:
        """Run every compressor on every image it is needed for."""
        wanted: dict[tuple[Any, ...], _Wanted] = {}
        for job in self.jobs:
            if job.compressor is None:
                continue
            for source in job.sample.images:
                encoded = self._encoded[source]
                if isinstance(encoded, _Encoded):
                    key = self._image_key(job, job.compressor, source)
                    item = wanted.setdefault(key, _Wanted(key, job.compressor, encoded, job.sample.prompt, set()))
                    item.budgets.add(budget(len(encoded.tokens), job.ratio))
        rankings: dict[tuple[str, int], list[_Wanted]] = {}
        for item in wanted.values():
            if isinstance(item.compressor, Ranking):
                rankings.setdefault((item.compressor.spec, len(item.encoded.tokens)), []).append(item)
            else:
                self._compress_alone(item)
        for items in rankings.values():
            self._rank(items)

    def _rank(self, items: list[_Wanted]) -> None:
        """One ranking of many images of one size, for all their budgets."""
        compressor = items[0].compressor
        assert isinstance(compressor, Ranking)
        try:
            found = run_ranking(
                compressor,
                [item.encoded.tokens.features for item in items],
                [item.budgets for item in items],
                [self._context(item) for item in items],
            )
        except Exception:  # noqa: BLE001  One by one it shows which image is at fault, and why.
            found = None
        if found is None:
            for item in items:
                self._compress_alone(item)
            return
        for item, by_budget in zip(items, found, strict=True):
            self._compressed.update(((*item.key, n_target), kept) for n_target, kept in by_budget.items())

    def _compress_alone(self, item: _Wanted) -> None:
        context = _or_failed(lambda: self._context(item), f"{item.compressor.spec} cannot be given what it needs")
        for n_target in sorted(item.budgets):
            if isinstance(context, CaseFailed):
                self._compressed[(*item.key, n_target)] = context
                continue
            self._compressed[(*item.key, n_target)] = _or_failed(
                lambda n_target=n_target, context=context: run_compressor(
                    item.compressor,
                    item.encoded.tokens.features,
                    n_target,
                    context | {"generator": self._generator(item)},  # from which no other budget has drawn
                ),
                f"{item.compressor.spec} failed",
            )

    @staticmethod
    def _image_key(job: Job, compressor: Compressor, source: ImageSource) -> tuple[Any, ...]:
        return source, compressor.spec, job.sample.prompt if "text" in compressor.needs else None

    def _context(self, item: _Wanted) -> dict[str, Any]:
        check_supported(item.compressor)
        encoded, tokens = item.encoded, item.encoded.tokens
        context: dict[str, Any] = {
            "grid": tokens.grid,
            "positions": _raster(*tokens.grid).clone(),
            "generator": self._generator(item),
        }
        costly: dict[str, Callable[[], Any]] = {
            "hidden": lambda: tokens.hidden.float(),
            "text": lambda: self.backend.text_embeddings(item.prompt),
            "image": lambda: encoded.image,
            "encode": lambda: self._encoder(encoded.image),
        }
        return context | {name: costly[name]() for name in item.compressor.needs}

    def _generator(self, item: _Wanted) -> torch.Generator:
        digest = hashlib.sha256(f"{self.engine.seed}:{item.key[0].fingerprint()}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))

    def _encoder(self, image: Image.Image | None) -> Callable[[int, int], Tensor]:
        assert image is not None
        return lambda rows, columns: self.backend.encode_resized(image, rows, columns)

    # Rows

    def prepare(self, job: Job) -> _Prepared | CaseFailed:
        """The row of a job; jobs with equal tokens and equal beginnings share its prefix."""
        variant, prompt = self._variant(job), self._prompt(job.sample)
        for item in (variant, prompt):
            if isinstance(item, CaseFailed):
                return item
        assert isinstance(variant, _Variant)
        assert isinstance(prompt, tuple)
        head, suffix = prompt
        key = (*variant.key, tuple(head))
        if key not in self._prefixes:
            images = [self._tokens(source) for source in job.sample.images]
            self._prefixes[key] = _or_failed(
                lambda: self.backend.prefix(head, images, variant.kept, self.engine.positions), "the prompt"
            )
        prefix = self._prefixes[key]
        if isinstance(prefix, CaseFailed):
            return prefix
        by_letter = self.engine.answers == "letters"
        if by_letter and not job.sample.options:
            return CaseFailed("the sample has no options, so it cannot be answered by letters")
        return _Prepared(Row(prefix, suffix, len(job.sample.options) if by_letter else 0), variant)

    def _tokens(self, source: ImageSource) -> VisionTokens:
        encoded = self._encoded[source]
        assert isinstance(encoded, _Encoded)
        return encoded.tokens

    def _variant(self, job: Job) -> _Variant | CaseFailed:
        compressor, sources = job.compressor, job.sample.images
        text = job.sample.prompt if compressor is not None and "text" in compressor.needs else None
        key = (sources, None if compressor is None else compressor.spec, job.ratio, text)
        if key not in self._variants:
            self._variants[key] = self._make_variant(job, sources, compressor)
        return self._variants[key]

    def _make_variant(
        self, job: Job, sources: tuple[ImageSource, ...], compressor: Compressor | None
    ) -> _Variant | CaseFailed:
        kept: list[Compressed | None] = []
        n_tokens = n_asked = 0
        for source in sources:
            encoded = self._encoded[source]
            if isinstance(encoded, CaseFailed):
                return encoded
            n_tokens += len(encoded.tokens)
            if compressor is None:
                kept.append(None)
                n_asked += len(encoded.tokens)
                continue
            n_target = budget(len(encoded.tokens), job.ratio)
            compressed = self._compressed[(*self._image_key(job, compressor, source), n_target)]
            if isinstance(compressed, CaseFailed):
                return compressed
            kept.append(compressed)
            n_asked += n_target
        return _Variant(kept, n_tokens, n_asked, (sources, *map(_content, kept)))

    def _prompt(self, sample: Sample) -> tuple[list[int], list[int]] | CaseFailed:
        key = (sample.prompt, len(sample.images))
        if key not in self._prompts:
            self._prompts[key] = _or_failed(
                lambda: self.backend.split_prompt(self.backend.prompt_ids(*key)), "the chat template"
            )
        return self._prompts[key]


def _or_failed(make: Callable[[], Made], what: str) -> Made | CaseFailed:
    """What `make` gives, or why it cannot: an error of one image or prompt is not to take a window with it."""
    try:
        return make()
    except (CompressionError, PromptError, DatasetError) as error:
        return CaseFailed.because(error)
    except Exception as error:  # noqa: BLE001  Tokenizers, models and memory fail in many ways.
        return CaseFailed.because(error, what)


def _content(kept: Compressed | None) -> Any:
    """Equal for results that are the same tokens of the same image; selections of different methods may be."""
    if kept is None or kept.indices is None:
        return kept if kept is None else id(kept)
    return kept.indices.numpy().tobytes()


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


@lru_cache(maxsize=64)
def _raster(rows: int, columns: int) -> Tensor:
    """Row and column of every token: [rows * columns, 2] long."""
    return torch.cartesian_prod(torch.arange(rows), torch.arange(columns))
