"""Finds prompts that cannot fit into a model's context, before the first case is computed."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from pytest_vtc.datasets.base import Sample
from pytest_vtc.models.backend import Backend, PromptError

_MOST_TOKENISED = 256
"""Of the prompts that may be too long at all only so many are looked at, the longest: for whatever is left, a case says
by itself that it is too long."""


def check_prompts(backend: Backend, dataset: str, samples: Iterable[Sample], max_new_tokens: int) -> None:
    """Refuse samples whose text and answer alone are longer than the context, however few vision tokens there are.

    Raises PromptError, naming the longest sample, its length and the context.
    """
    context = backend.context_length
    if context is None:
        return
    around = _length(backend, "")
    candidates: list[tuple[int, Sample]] = []
    for sample in samples:
        # A token stands for a byte at least, so that as a rule no prompt has to be tokenised.
        n_bytes = len(sample.prompt.encode(errors="surrogatepass"))
        if around + n_bytes + max_new_tokens > context:
            candidates.append((n_bytes, sample))
    lengths = {
        sample.id: length
        for _, sample in heapq.nlargest(_MOST_TOKENISED, candidates, key=lambda candidate: candidate[0])
        if (length := _length(backend, sample.prompt) + max_new_tokens) > context
    }
    if not lengths:
        return
    longest = max(lengths, key=lambda sample: lengths[sample])
    more = len(lengths) - 1
    raise PromptError(
        f"sample {longest!r} of {dataset} does not fit into the context of the model: prompt and answer (up to "
        f"{max_new_tokens:,} tokens) need {lengths[longest]:,} tokens even without its image, the context has "
        f"{context:,}{f'; so for {more:,} more samples' if more else ''}. Shorten or leave out such samples, or lower "
        "--vtc-max-new-tokens"
    )


def _length(backend: Backend, text: str) -> int:
    """Tokens of a prompt without its images, of which only the image processor knows how many there will be."""
    try:
        return len(backend.prompt_ids(text, []))
    except (PromptError, ValueError, TypeError):
        return 0  # what else is wrong with such a prompt its own cases say
