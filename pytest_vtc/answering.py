"""Takes rows through the language model: equal rows once, a prefix that several rows share once, in full batches."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_vtc.batching import BatchLimits, chunks
from pytest_vtc.cells import CaseFailed
from pytest_vtc.models.backend import Backend
from pytest_vtc.models.decoding import Output, Prefilled
from pytest_vtc.models.sequences import Prefix, Row

Answer = Output | CaseFailed


def answer_rows(backend: Backend, limits: BatchLimits, rows: Sequence[Row], max_new_tokens: int) -> list[Answer]:
    """One answer per row, in order; a row that fails takes no other with it."""
    distinct = {_key(row): row for row in rows}
    answers: dict[int, Answer] = {}
    of_prefix: dict[int, list[Row]] = {}
    for row in distinct.values():
        of_prefix.setdefault(id(row.prefix), []).append(row)
    shared, alone = _split(backend, list(of_prefix.values()), max_new_tokens)

    lead = _lead(backend, limits, [group[0].prefix for group in of_prefix.values()])

    def generate(batch: list[Row], prefilled: Prefilled | None = None) -> None:
        if prefilled is None and within_window(backend, batch, max_new_tokens):
            prefilled = lead
        found = limits.halving(
            batch, lambda part: backend.generate(part, max_new_tokens, prefilled=prefilled), "this case"
        )
        answers.update(zip(map(id, batch), found, strict=True))

    # Rows of like length share a batch: little padding. Ties keep their order.
    alone.sort(key=len)
    for batch in chunks(alone, lambda n, longest: limits.fits(n, len(longest), len(longest) + max_new_tokens)):
        generate(batch)

    def prefill(prefixes: list[Prefix]) -> list[None]:
        prefilled = backend.prefill(prefixes, lead)
        width = prefilled.batch.width + max_new_tokens
        follow = sorted((row for p in prefixes for row in of_prefix[id(p)]), key=lambda row: len(row.suffix))
        for batch in chunks(follow, lambda n, row: limits.fits(n, len(row.suffix), width + len(row.suffix))):
            generate(batch, prefilled)
        return [None] * len(prefixes)

    prefixes = sorted((group[0].prefix for group in shared), key=len)
    for batch in chunks(prefixes, lambda n, longest: limits.fits(n, len(longest), len(longest))):
        for prefix, failed in zip(batch, limits.halving(batch, prefill, "this image"), strict=True):
            if failed is not None:
                answers.update((id(row), failed) for row in of_prefix[id(prefix)])
    return [answers[id(distinct[_key(row)])] for row in rows]


def _lead(backend: Backend, limits: BatchLimits, prefixes: Sequence[Prefix]) -> Prefilled | None:
    """Keys and values of the text before the first image, which a chat template makes the same for all.

    None where it is too short for a call of its own, or different.
    """
    ids = common_lead(backend, prefixes)
    if not ids or len(ids) * len(prefixes) < limits.tokens // 4:
        return None
    (lead,) = limits.halving([ids], lambda batch: [backend.prefill_lead(*batch)], "what all prompts begin with")
    return None if isinstance(lead, CaseFailed) else lead  # what is wrong shows in the rows


def common_lead(backend: Backend, prefixes: Sequence[Prefix]) -> list[int]:
    """The token ids that all prefixes begin with, up to the first image."""
    ids = [prefix.ids for prefix in prefixes]
    # What the first and the last in lexical order have in common, all have.
    lead: list[int] = []
    for token, other in zip(min(ids, default=[]), max(ids, default=[]), strict=False):
        if token != other or token == backend.image_token_id:
            break
        lead.append(token)
    return lead


def _key(row: Row) -> tuple[int, ...]:
    return (id(row.prefix), row.n_options, *row.suffix)


def within_window(backend: Backend, rows: Sequence[Row], max_new_tokens: int) -> bool:
    """Can these rows go on from prefixes computed before, all in one batch, without a change of their answers?

    Between a prefix and a shorter suffix lies padding. That is exact while every layer sees all slots; beyond the
    shortest sliding window the padding would push tokens out of sight.
    """
    window = backend.sliding_window
    slots = max(len(row.prefix) for row in rows) + max(len(row.suffix) for row in rows) + max_new_tokens
    return window is None or slots <= window


def _split(backend: Backend, groups: list[list[Row]], max_new_tokens: int) -> tuple[list[list[Row]], list[Row]]:
    """Groups of rows whose common prefix is computed once, and rows that are computed whole."""
    longest = max((row for group in groups for row in group), key=lambda row: len(row.suffix), default=None)
    shared: list[list[Row]] = []
    alone: list[Row] = []
    for group in groups:
        first = group[0]
        assert longest is not None
        # Any of them may share a batch with the longest suffix.
        exact = within_window(backend, [first, Row(first.prefix, longest.suffix)], max_new_tokens)
        if len(group) > 1 and len(first.prefix) and exact and all(row.suffix for row in group):
            shared.append(group)
        else:
            alone += group
    return shared, alone
