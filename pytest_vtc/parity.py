"""The check that a run's numbers mean something: keep-all through the compressed path must be the stock model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from pytest_vtc.compression import Compressed
from pytest_vtc.datasets.base import Sample
from pytest_vtc.models.backend import Backend, Row


class ParityError(RuntimeError):
    """The compressed path is not the stock model on this machine; no number of this run could be trusted."""


@dataclass(frozen=True)
class Parity:
    """What was compared. max_logit_difference: over all samples, steps and vocabulary; must be 0.

    batch_agreement: share of samples whose answer in one padded batch of different lengths equals the answer alone.
    """

    samples: int
    max_logit_difference: float
    same_tokens: bool
    batch_agreement: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def check_parity(backend: Backend, samples: Sequence[Sample], max_new_tokens: int = 8) -> Parity:
    """Run `samples` through the unmodified model and, all tokens kept, through the compressed path, and compare.

    Raises ParityError, saying what differs: logits or tokens anywhere, or, in float32, an answer that depends on the
    batch it is computed in. (In half precision, batches may round differently: the share is recorded, not judged.)
    """
    difference, same, alone = 0.0, True, []
    full_rows: list[Row] = []
    for sample in samples:
        images = [source.open() for source in sample.images]
        prompt = backend.prompt_ids(sample.prompt, len(images))
        stock = backend.generate_stock(prompt, images, max_new_tokens, with_logits=True)
        tokens = [backend.encode(image) for image in images]
        keep_all = [_all(len(t)) for t in tokens]
        row = backend.row(prompt, tokens, keep_all, backend.default_positions)
        ours = backend.generate([row], max_new_tokens, with_logits=True)[0]
        same = same and ours.token_ids == stock.token_ids
        assert ours.logits is not None
        assert stock.logits is not None
        steps = min(len(ours.logits), len(stock.logits))
        difference = max(difference, float((ours.logits[:steps] - stock.logits[:steps]).abs().max()))
        # Half of the tokens as well, so that the batch below mixes lengths.
        half = [Compressed(k[: (len(k) + 1) // 2], None, k[: (len(k) + 1) // 2]) for k in map(_indices, keep_all)]
        full_rows += [row, backend.row(prompt, tokens, half, backend.default_positions)]
        alone += [ours.token_ids, backend.generate([full_rows[-1]], max_new_tokens)[0].token_ids]
    batched = [output.token_ids for output in backend.generate(full_rows, max_new_tokens)]
    agreement = sum(a == b for a, b in zip(alone, batched, strict=True)) / len(alone)
    parity = Parity(len(samples), difference, same, agreement)
    if difference != 0 or not same:
        raise ParityError(
            "keeping all vision tokens does not give the stock model's answer: logits differ by up to "
            f"{difference:.3g} and tokens are {'the same' if same else 'different'} on {len(samples)} samples. "
            "No compressed number would be comparable with stock, so the run stops here. The likely cause is a version "
            "of transformers whose image path this backend does not know."
        )
    if agreement < 1 and backend.dtype == torch.float32:
        raise ParityError(
            f"answers depend on the batch: {agreement:.0%} of {len(alone)} rows answer alone as they do in one batch. "
            "In float32 they must all agree; run with --vtc-batch-size 1 and report this model."
        )
    return parity


def _all(n_tokens: int) -> Compressed:
    indices = torch.arange(n_tokens)
    return Compressed(indices, None, indices)


def _indices(compressed: Compressed) -> torch.Tensor:
    assert compressed.indices is not None
    return compressed.indices
