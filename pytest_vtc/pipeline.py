"""The engine for one image and one question: `Pipeline("tiny-gemma4")(image, "what digit is red ?", ...)`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from pytest_vtc.cells import Generation, Positions
from pytest_vtc.compression import CompressionError, Compressor
from pytest_vtc.datasets.base import ImageSource, Sample
from pytest_vtc.datasets.images import ImageFile
from pytest_vtc.discovery import SpecError, resolve
from pytest_vtc.engine import Engine, Job
from pytest_vtc.image_compression import check_supported
from pytest_vtc.models.attention import Attention
from pytest_vtc.models.catalogue import ModelLocation, Quantization
from pytest_vtc.models.loading import load_backend
from pytest_vtc.models.precision import DType


@dataclass(frozen=True, eq=False)
class _Loaded:
    """An image that is in memory already; one image object is equal to itself alone."""

    image: Image.Image

    def open(self) -> Image.Image:
        return self.image.convert("RGB")

    def fingerprint(self) -> str:
        return hashlib.sha256(self.image.tobytes()).hexdigest()

    def __str__(self) -> str:
        return f"<image {self.image.width}x{self.image.height}>"


class Pipeline:
    """A model that answers questions about images with all of its vision tokens or with fewer.

    on_progress: told in a line how much is about to be loaded. Raises ModelError if the model cannot be loaded.
    """

    def __init__(
        self,
        model: str | ModelLocation,
        *,
        dtype: DType = "auto",
        quantization: Quantization | None = None,
        attention: Attention = "sdpa",
        positions: Positions | None = None,
        seed: int = 42,
        trust_remote_code: bool = False,
        on_progress: Callable[[str], None] | None = None,
    ) -> None:
        self.backend = load_backend(
            model,
            dtype,
            quantization,
            attention=attention,
            trust_remote_code=trust_remote_code,
            on_progress=on_progress,
        )
        self.engine = Engine(self.backend, positions=positions, seed=seed)

    def __call__(
        self,
        image: Image.Image | str | Path,
        prompt: str,
        *,
        compressor: Compressor | str | None = None,
        ratio: float = 1.0,
        max_new_tokens: int = 256,
    ) -> Generation:
        """Answer one prompt about one image.

        `.answer` is the text, `.n_tokens` and `.n_kept` are the vision tokens, `.kv_bytes` what the cache holds of all.

        compressor: an instance or a spec such as "divprune" or "./mine.py"; None is the unmodified model.
        Raises CaseFailed (unreadable image, compressor that breaks its contract), SpecError, CompressionError (one that
        this model cannot run among other things).
        """
        chosen = choose(compressor, ratio)
        if chosen is not None:
            check_supported(chosen, self.backend)
        source: ImageSource = _Loaded(image) if isinstance(image, Image.Image) else ImageFile(Path(image))
        job = Job(Sample(id="image", images=(source,), prompt=prompt), chosen, ratio)
        (result,) = self.engine.run([job], max_new_tokens)
        if not isinstance(result, Generation):
            raise result
        return result


def _one(spec: str) -> Compressor:
    found: list[Compressor] = resolve([spec])
    if len(found) != 1:
        raise SpecError(f"{spec} holds {len(found)} compressors; name one: {spec}:{found[0].name}")
    return found[0]


def choose(compressor: Compressor | str | None, ratio: float) -> Compressor | None:
    """The compressor that was asked for. Raises SpecError, or CompressionError if it does not go with the ratio."""
    if not 0 < ratio <= 1:
        raise CompressionError(f"ratio {ratio:g} is outside (0, 1]; 0.25 keeps a quarter of the vision tokens")
    if ratio < 1 and compressor is None:
        raise CompressionError("a ratio says how many tokens to keep, a compressor which: name one, such as divprune")
    chosen = _one(compressor) if isinstance(compressor, str) else compressor
    if chosen is not None:
        check_supported(chosen)
    return chosen
