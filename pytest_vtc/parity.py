"""The check that a run's numbers mean something: keep-all through the compressed path must be the stock model."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from pytest_vtc.answering import common_lead, within_window
from pytest_vtc.compressed import Compressed
from pytest_vtc.datasets.base import DatasetError, Sample
from pytest_vtc.datasets.probes import Probes
from pytest_vtc.models.backend import Backend, PromptError
from pytest_vtc.models.decoding import Prefilled
from pytest_vtc.models.precision import quantized_already
from pytest_vtc.models.sequences import Prefix, Row


class ParityError(RuntimeError):
    """The compressed path is not the stock model on this machine; no number of this run could be trusted."""


_AGREEMENT = 0.995
"""Of answers in a batch with those alone, at least, where they need not all agree."""


@dataclass(frozen=True)
class Parity:
    """What was compared. max_logit_difference: over all samples, steps and vocabulary; must be 0.

    batch_agreement: share of answers that are in one padded batch of different lengths, and after a beginning computed
        beforehand, as they are alone; None where that was not asked for.
    """

    samples: int
    max_logit_difference: float
    same_tokens: bool
    batch_agreement: float | None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def usable_samples(backend: Backend, samples: Iterable[Sample], limit: int = 4) -> list[Sample]:
    """The first few samples that can be put to the model; a scene of the probes if there is none.

    Samples with an unreadable image or an impossible prompt are passed over here: they fail their own cases.
    """
    usable: list[Sample] = []
    for sample in itertools.islice(samples, 4 * limit):
        try:
            images = backend.encode_prompt([image.open() for image in sample.images])
            backend.prompt_ids(sample.prompt, [tokens.tiles for tokens in images])
        except (DatasetError, PromptError, ValueError, TypeError, OSError):
            continue
        usable.append(sample)
        if len(usable) == limit:
            break
    return usable or [Probes().load(Path())[0]]


def check_parity(backend: Backend, samples: Sequence[Sample], max_new_tokens: int = 8, batched: bool = True) -> Parity:
    """Run `samples` through the unmodified model and, all tokens kept, through the compressed path, and compare.

    batched: compare answers in a batch with answers alone as well; without it nothing depends on a batch.
    Raises ParityError, saying what differs: logits or tokens anywhere, or, in plain float32, an answer that depends on
    the batch it is computed in. (In half precision or quantised, batches may round differently: the share is recorded,
    not judged, and a warning says so where it is below 99.5 %.)
    """
    difference, same, alone = 0.0, True, []
    rows: list[Row] = []
    for sample in samples:
        images = [source.open() for source in sample.images]
        # In one call, as the unmodified model has them: alone, they may round differently.
        tokens = backend.encode_prompt(images)
        prompt = backend.prompt_ids(sample.prompt, [of_image.tiles for of_image in tokens])
        stock = backend.generate_stock(prompt, images, max_new_tokens, with_logits=True)
        row = backend.row(prompt, tokens, [_first(len(t), len(t)) for t in tokens], backend.default_positions)
        ours = backend.generate([row], max_new_tokens, with_logits=True)[0]
        same = same and ours.token_ids == stock.token_ids
        assert ours.logits is not None
        assert stock.logits is not None
        steps = min(len(ours.logits), len(stock.logits))
        difference = max(difference, float((ours.logits[:steps] - stock.logits[:steps]).abs().max()))
        if batched:
            # Half of the tokens as well, so that the batch below mixes lengths.
            half = [_first((len(t) + 1) // 2, len(t)) for t in tokens]
            rows += [row, backend.row(prompt, tokens, half, backend.default_positions)]
            alone += [ours.token_ids, backend.generate([rows[-1]], max_new_tokens)[0].token_ids]
    agreement = None
    if batched:
        together = _in_one_batch(backend, rows, max_new_tokens)
        same_as_alone = [a == b for a, b in zip(alone, together, strict=True)]
        # The longest would never go on from a beginning: the others do.
        short = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        while short and not within_window(backend, [rows[i] for i in short], max_new_tokens):
            short.pop()
        for begin in (_from_lead, _from_prefixes) if short else ():
            together = _in_one_batch(backend, [rows[i] for i in short], max_new_tokens, begin)
            same_as_alone += [alone[i] == answer for i, answer in zip(short, together, strict=True)]
        agreement = sum(same_as_alone) / len(same_as_alone)
    parity = Parity(len(samples), difference, same, agreement)
    if difference != 0 or not same:
        raise ParityError(
            "keeping all vision tokens does not give the stock model's answer: logits differ by up to "
            f"{difference:.3g} and tokens are {'the same' if same else 'different'} on {len(samples)} samples. "
            "No compressed number would be comparable with stock, so the run stops here. The likely cause is a version "
            "of transformers whose image path this backend does not know."
        )
    if agreement is not None and agreement < 1 and _rounds_alike(backend):
        raise ParityError(
            f"answers depend on the batch: {agreement:.0%} of {len(alone)} rows answer in one batch as they do alone. "
            "In float32 they must all agree; run with --vtc-batch-size 1, where none shares a batch, and report this "
            "model."
        )
    if agreement is not None and agreement < _AGREEMENT:
        warnings.warn(
            f"{agreement:.0%} of {len(alone)} rows answer in a batch, or after a beginning computed beforehand, as "
            "they do alone: this precision rounds differently from batch to batch. --vtc-batch-size 1 makes answers "
            "independent of what shares their batch",
            stacklevel=2,
        )
    return parity


def _rounds_alike(backend: Backend) -> bool:
    """Whether a row rounds in a batch as it does alone, as nearly as answers can show.

    Half precision does not, nor does int8, which takes the scale and the outliers of its activations from the batch.
    """
    return backend.dtype == torch.float32 and quantized_already(backend.model.config) is None


def _in_one_batch(
    backend: Backend,
    rows: list[Row],
    max_new_tokens: int,
    begin: Callable[[Backend, list[Prefix]], Prefilled | None] = lambda _backend, _prefixes: None,
) -> list[list[int]]:
    """Answers of all rows in one batch, or in two halves where memory does not hold it.

    begin: computes what the rows begin with; they go on from that.
    """
    try:
        prefilled = begin(backend, [row.prefix for row in rows])
        return [output.token_ids for output in backend.generate(rows, max_new_tokens, prefilled=prefilled)]
    except torch.OutOfMemoryError:
        if len(rows) <= 2:
            raise
        torch.cuda.empty_cache()
    half = len(rows) // 2
    return [
        answer for part in (rows[:half], rows[half:]) for answer in _in_one_batch(backend, part, max_new_tokens, begin)
    ]


def _from_lead(backend: Backend, prefixes: list[Prefix]) -> Prefilled | None:
    lead = common_lead(backend, prefixes)
    return backend.prefill_lead(lead) if lead else None


def _from_prefixes(backend: Backend, prefixes: list[Prefix]) -> Prefilled | None:
    return backend.prefill(prefixes, _from_lead(backend, prefixes))


def _first(n_kept: int, n_tokens: int) -> Compressed:
    indices = torch.arange(n_tokens)[:n_kept]
    return Compressed(indices, None, indices)
