"""Cells and measurements: the words that every other part of the tool shares. Imports nothing of ours and no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Positions = Literal["original", "compact"]

MEANINGLESS = "random weights: answers mean nothing; for timing and plumbing only"
"""Said wherever results of such a model are shown."""

AnswerMode = Literal["generate", "letters"]
"""How answers come about: the model writes them, or the likeliest option letter is taken from one forward pass."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One column of the sweep: model x dataset x compressor x ratio. The stock cell has neither of the last two.

    compressor: the compressor's spec as shown, parameters included: `divprune_hybrid(alpha=0.3)`.
    """

    model: str
    dataset: str
    compressor: str | None = None
    ratio: float | None = None

    @property
    def is_stock(self) -> bool:
        return self.compressor is None

    @property
    def variant(self) -> str:
        """`stock` or `divprune@0.5`: the part of the id that gates and tables speak of."""
        return "stock" if self.compressor is None else f"{self.compressor}@{self.ratio:g}"

    @property
    def id(self) -> str:
        return f"{self.model}/{self.dataset}/{self.variant}"

    @property
    def stock(self) -> Cell:
        """The stock cell this one is compared with."""
        return Cell(self.model, self.dataset)

    def to_dict(self) -> dict[str, Any]:
        return {"model": self.model, "dataset": self.dataset, "compressor": self.compressor, "ratio": self.ratio}


@dataclass(frozen=True, slots=True)
class SkippedCell:
    """A cell that is not run because its model cannot give the compressor what it needs. reason: why, in a phrase."""

    cell: Cell
    reason: str

    def to_dict(self) -> dict[str, Any]:
        return {**self.cell.to_dict(), "reason": self.reason}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> SkippedCell:
        return cls(Cell(data["model"], data["dataset"], data["compressor"], data["ratio"]), data["reason"])


@dataclass(frozen=True, slots=True)
class Generation:
    """What the model did with one sample in one cell: what the store keeps. The score is derived from it.

    n_tokens: vision tokens of the unmodified model. n_asked: what the ratio asked for. n_kept: what was left.
    kv_bytes: what the language model's key-value cache holds of the prompt, text and kept vision tokens, before the
    answer: of this case alone, without padding and whatever batches share.
    positions: the policy really used. truncated: the answer met the token limit before its end token.
    beyond_window: prompt, all vision tokens of the unmodified model and answer are longer than its sliding window:
    with fewer of them the text sees further back, so that dropping tokens is more than hiding them.
    seconds: this case's share of the time its window took.
    """

    answer: str
    n_tokens: int
    n_asked: int
    n_kept: int
    kv_bytes: int
    n_generated: int
    positions: Positions
    truncated: bool
    beyond_window: bool
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        # Written out, here and below: dataclasses.asdict takes ten times as long, and this is done for every case.
        return {
            "answer": self.answer,
            "n_tokens": self.n_tokens,
            "n_asked": self.n_asked,
            "n_kept": self.n_kept,
            "kv_bytes": self.kv_bytes,
            "n_generated": self.n_generated,
            "positions": self.positions,
            "truncated": self.truncated,
            "beyond_window": self.beyond_window,
            "seconds": self.seconds,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Generation:
        return cls(
            data["answer"],
            data["n_tokens"],
            data["n_asked"],
            data["n_kept"],
            data["kv_bytes"],
            data["n_generated"],
            data["positions"],
            data["truncated"],
            data["beyond_window"],
            data["seconds"],
        )


@dataclass(frozen=True, slots=True)
class Measurement:
    """The record of one case.

    score: 0 to 1, or None where the dataset has no answers. parsed: what the scoring rule read out of the answer.
    unparsed: the rule found nothing it could read. cached: answered from the store. group: cluster of the sample.
    expected: its accepted answers. facts: what else published metrics need to know of it. order: its place in the whole
    sweep, whichever part of it was run.
    """

    cell: Cell
    sample: str
    category: str
    group: str
    expected: tuple[str, ...]
    generation: Generation
    score: float | None
    parsed: str | None
    unparsed: bool
    cached: bool
    order: int
    facts: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)

    @property
    def answer(self) -> str:
        return self.generation.answer

    @property
    def n_tokens(self) -> int:
        """Vision tokens before compression."""
        return self.generation.n_tokens

    @property
    def n_kept(self) -> int:
        """Vision tokens that the language model got."""
        return self.generation.n_kept

    @property
    def empty(self) -> bool:
        return not self.answer.strip()

    @property
    def said(self) -> str:
        """What two answers are compared by: what the scoring rule read or, where it read nothing, the whole answer."""
        return self.answer.strip() if self.parsed is None else self.parsed

    def to_row(self) -> tuple[Any, ...]:
        """Plain data, for the way from an xdist worker to the controller: values only, cell and generation flat."""
        cell, made = self.cell, self.generation
        return (
            (cell.model, cell.dataset, cell.compressor, cell.ratio),
            (self.sample, self.category, self.group, self.expected, tuple(self.facts.items())),
            tuple(made.to_dict().values()),
            (self.score, self.parsed, self.unparsed, self.cached, self.order),
        )

    @classmethod
    def from_row(cls, row: Sequence[Any], shared: dict[Any, Any]) -> Measurement:
        """What `to_row` has flattened. shared: cells, and what is known of samples, from the rows before this one.

        It is filled here: a thousand rows on one sample or cell hold the same objects, as they did in the worker.
        """
        cell: Cell | None = shared.get(row[0])
        if cell is None:
            cell = shared[row[0]] = Cell(*row[0])
        sample, category, group, expected, facts = shared.get(row[1]) or shared.setdefault(
            row[1], (*row[1][:-1], dict(row[1][-1]))
        )
        return cls(cell, sample, category, group, expected, Generation(*row[2]), *row[3], facts=facts)


@dataclass(frozen=True, slots=True)
class CaseError:
    """A case that could not be measured, and why."""

    cell: Cell
    sample: str
    message: str


class CaseFailed(RuntimeError):  # noqa: N818  (an outcome, told apart from the errors that cause it)
    """A case could not be measured; the message says why."""

    @classmethod
    def because(cls, error: Exception, what: str | None = None) -> CaseFailed:
        """With the message of `error`, after `what` failed if that needs saying.

        Only the message: its traceback would keep the tensors of the call that failed.
        """
        return cls(str(error) if what is None else f"{what}: {type(error).__name__}: {error}")
