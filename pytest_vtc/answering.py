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
    shared, alone = _split(list(of_prefix.values()), backend.sliding_window, max_new_tokens)

    def generate(batch: list[Row], prefilled: Prefilled | None = None) -> None:
        found = limits.halving(
            batch, lambda part: backend.generate(part, max_new_tokens, prefilled=prefilled), "this case"
        )
        answers.update(zip(map(id, batch), found, strict=True))

    # Rows of like length share a batch: little padding. Ties keep their order.
    alone.sort(key=len)
    for batch in chunks(alone, lambda n, longest: limits.fits(n, len(longest), len(longest) + max_new_tokens)):
        generate(batch)

    def prefill(prefixes: list[Prefix]) -> list[None]:
        prefilled = backend.prefill(prefixes)
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


def _key(row: Row) -> tuple[int, ...]:
    return (id(row.prefix), row.n_options, *row.suffix)


def _split(
    groups: list[list[Row]], sliding_window: int | None, max_new_tokens: int
) -> tuple[list[list[Row]], list[Row]]:
    """Groups of rows whose common prefix is computed once, and rows that are computed whole.

    Going on from a prefix leaves padding between it and a shorter suffix. That is exact while every layer sees all
    slots; beyond the shortest sliding window it is not, and such rows are computed whole.
    """
    longest = max((len(row.suffix) for group in groups for row in group), default=0)
    shared: list[list[Row]] = []
    alone: list[Row] = []
    for group in groups:
        prefix = group[0].prefix
        slots = len(prefix) + longest + max_new_tokens
        exact = sliding_window is None or slots <= sliding_window
        if len(group) > 1 and len(prefix) and exact and all(row.suffix for row in group):
            shared.append(group)
        else:
            alone += group
    return shared, alone
