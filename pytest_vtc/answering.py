"""Takes rows through the language model: equal rows once, a prefix that several rows share once, in full batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pytest_vtc.batching import BatchLimits, chunks, halving
from pytest_vtc.cells import CaseFailed
from pytest_vtc.models.backend import Backend
from pytest_vtc.models.decoding import Output, Prefilled
from pytest_vtc.models.sequences import Prefix, Row

Answer = Output | CaseFailed


def answer_rows(backend: Backend, limits: BatchLimits, rows: Sequence[Row], max_new_tokens: int) -> list[Answer]:
    """One answer per row, in order; a row that fails takes no other with it."""
    distinct = {_key(row): row for row in rows}
    answering = _Answering(backend, limits, list(distinct.values()), max_new_tokens)
    answers = answering.answer()
    return [answers[id(distinct[_key(row)])] for row in rows]


_Size = Callable[[list[Row]], tuple[int, int]]


class _Answering:
    """One call of `answer_rows`. rows: no two are equal."""

    def __init__(self, backend: Backend, limits: BatchLimits, rows: Sequence[Row], max_new_tokens: int) -> None:
        self.backend, self.limits, self.rows, self.max_new_tokens = backend, limits, rows, max_new_tokens
        self.answers: dict[int, Answer] = {}
        """By the id of the row."""
        self.of_prefix: dict[int, list[Row]] = {}
        """The rows that go on from each prefix that is computed once, by its id, longest last."""
        self.lead = self._lead([*{id(row.prefix): row.prefix for row in rows}.values()])

    def answer(self) -> dict[int, Answer]:
        shared = self._share()
        for batch in chunks(shared, self._prefixes_fit):
            self._go_on_from(batch)
        # What failed beside its prefix may have lacked the memory that the prefixes took: it has a try without.
        left = [row for row in self.rows if not isinstance(self.answers.get(id(row)), Output)]
        # Rows of like length share a batch: little padding. Ties keep their order.
        left.sort(key=len)
        for batch in chunks(left, lambda batch, row: self.limits.fits(len(batch) + 1, *self._size([row]))):
            begun = self.lead if within_window(self.backend, batch, self.max_new_tokens) else None
            self._generate(batch, begun, self._size)
        return self.answers

    def _size(self, rows: list[Row]) -> tuple[int, int]:
        """Tokens that a row of the batch computes and slots that it holds, padding included."""
        longest = max(map(len, rows))
        return longest, longest + self.max_new_tokens

    def _generate(self, batch: list[Row], begun: Prefilled | None, size: _Size) -> None:
        def call(part: list[Row]) -> list[Output]:
            return self.backend.generate(part, self.max_new_tokens, prefilled=begun)

        found = self.limits.halving(batch, call, "this case", size)
        self.answers.update(zip(map(id, batch), found, strict=True))

    # Prefixes that are computed once

    def _share(self) -> list[Prefix]:
        """Prefixes that are to be computed once, shortest first; fills `of_prefix`."""
        for row in self.rows:
            if row.suffix and len(row.prefix) and within_window(self.backend, [row], self.max_new_tokens):
                self.of_prefix.setdefault(id(row.prefix), []).append(row)
        self.of_prefix = {
            prefix: sorted(rows, key=lambda row: len(row.suffix))
            for prefix, rows in self.of_prefix.items()
            if len(rows) > 1
        }
        return sorted((rows[0].prefix for rows in self.of_prefix.values()), key=len)

    def _prefixes_fit(self, batch: list[Prefix], longest: Prefix) -> bool:
        # Twice: rows that go on get keys and values of their own.
        if not self.limits.fits(len(batch) + 1, len(longest), 2 * len(longest)):
            return False
        # The longest suffix of any beside the longest prefix: they may share a batch.
        reach = [self.of_prefix[id(prefix)][-1] for prefix in (*batch, longest)]
        return within_window(self.backend, reach, self.max_new_tokens)

    def _go_on_from(self, prefixes: list[Prefix]) -> None:
        """Compute prefixes, and answer the rows that go on from them."""

        def call(part: list[Prefix]) -> list[None]:
            prefilled = self.backend.prefill(part, self.lead)
            width = prefilled.batch.width
            follow = sorted((row for p in part for row in self.of_prefix[id(p)]), key=lambda row: len(row.suffix))

            def size(rows: list[Row]) -> tuple[int, int]:
                longest = max(len(row.suffix) for row in rows)
                return longest, width + longest + self.max_new_tokens

            def fits(batch: list[Row], row: Row) -> bool:
                return self.limits.fits(len(batch) + 1, *size([row]), beside=len(part) * width)

            for batch in chunks(follow, fits):
                self._generate(batch, prefilled, size)
            return [None] * len(part)

        found = self.limits.halving(prefixes, call, "this image", lambda part: (len(part[-1]), 2 * len(part[-1])))
        for prefix, failed in zip(prefixes, found, strict=True):
            if failed is not None:
                self.answers.update((id(row), failed) for row in self.of_prefix[id(prefix)])

    def _lead(self, prefixes: Sequence[Prefix]) -> Prefilled | None:
        """Keys and values of the text before the first image, which a chat template makes the same for all.

        None where it is too short for a call of its own, or different.
        """
        ids = common_lead(self.backend, prefixes)
        if not ids or len(ids) * len(prefixes) < self.limits.tokens // 4:
            return None
        (lead,) = halving([ids], lambda batch: [self.backend.prefill_lead(*batch)])
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
    if window is None:
        return True
    slots = max(len(row.prefix) for row in rows) + max(len(row.suffix) for row in rows) + max_new_tokens
    return slots <= window
