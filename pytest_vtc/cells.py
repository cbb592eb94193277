"""Cells and measurements: the words that every other part of the tool shares. Imports nothing of ours and no torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

Positions = Literal["original", "compact"]


@dataclass(frozen=True)
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
        return asdict(self)


@dataclass(frozen=True)
class Generation:
    """What the model did with one sample in one cell: what the store keeps. The score is derived from it.

    n_tokens: vision tokens of the unmodified model. n_asked: what the ratio asked for. n_kept: what was left.
    positions: the policy really used. truncated: the answer met the token limit before its end token.
    seconds: this case's share of the time its window took.
    """

    answer: str
    n_tokens: int
    n_asked: int
    n_kept: int
    n_generated: int
    positions: Positions
    truncated: bool
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Generation:
        return cls(**{field.name: data[field.name] for field in fields(cls)})


@dataclass(frozen=True)
class Measurement:
    """The record of one case.

    score: 0 to 1, or None where the dataset has no answers. parsed: what the scoring rule read out of the answer.
    unparsed: the rule found nothing it could read. cached: answered from the store. group: cluster of the sample.
    expected: its accepted answers. order: its place in the whole sweep, whichever part of it was run.
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
    order: int = 0

    @property
    def empty(self) -> bool:
        return not self.generation.answer.strip()

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for `samples.jsonl` and for the way from an xdist worker to the controller."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Measurement:
        values = {field.name: data[field.name] for field in fields(cls)}
        values["cell"] = Cell(**values["cell"])
        values["expected"] = tuple(values["expected"])
        values["generation"] = Generation.from_dict(values["generation"])
        return cls(**values)


@dataclass(frozen=True)
class CaseError:
    """A case that could not be measured, and why."""

    cell: Cell
    sample: str
    message: str
