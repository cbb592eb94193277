"""Puts one question to a compressor (an image, a budget) and says what is wrong with its answer, aspect by aspect."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from pytest_vtc.compressed import place_of
from pytest_vtc.compression import Compressor, Kept
from pytest_vtc.conformance import randomness
from pytest_vtc.conformance.made_up import MadeUpImage


class Broken(Exception):  # noqa: N818  It is a verdict; the message is all there is to see of it.
    """A compressor does not keep to its contract.

    what: what it did. tried: with what. advice: what to do about it.
    """

    def __init__(self, what: str, tried: object, advice: str) -> None:
        super().__init__(f"{what}\ntried: {tried}\nto do: {advice}")


class NotTried(Exception):  # noqa: N818  As above.
    """A property that cannot be judged, and why."""


@dataclass(frozen=True)
class Question:
    """Keep `n_target` of the tokens of an image. about: what is special about it, in words."""

    image: MadeUpImage
    n_target: int
    about: str = ""

    @property
    def n_tokens(self) -> int:
        return len(self.image.features)

    def __str__(self) -> str:
        image = self.image
        grids = " and ".join(f"{rows} x {columns}" for rows, columns in image.tiles or (image.grid,))
        facts = [
            f"{grids} tokens of width {image.features.shape[1]} (N = {self.n_tokens})",
            f"n_target = {self.n_target}",
            f"seed {image.seed}",
            *([self.about] if self.about else []),
            *([] if image.has_cls else ["no class token"]),
            *(f"no {name}" for name in sorted(image.without)),
            *([] if image.features.device.type == "cpu" else [f"on {image.features.device}"]),
        ]
        return ", ".join(facts)


@dataclass(frozen=True, eq=False)
class Answer:
    """What a compressor returned. rows: its indices (`selects`) or the rows themselves, if it is a tensor at all."""

    question: Question
    rows: Any
    positions: Any = None
    merge: Callable[[Tensor], Tensor] | None = None
    selects: bool = False

    @classmethod
    def of(cls, question: Question, result: Any) -> Answer:
        if isinstance(result, Kept):
            return cls(question, result.features, result.positions, result.merge)
        return cls(question, result, selects=isinstance(result, Tensor) and result.ndim == 1)

    def differs(self, other: Answer) -> str | None:
        """In what, bit for bit; the order of a selection means nothing."""
        for name, one, two in (("rows", self.rows, other.rows), ("positions", self.positions, other.positions)):
            if isinstance(one, Tensor) != isinstance(two, Tensor):
                return name
            if not isinstance(one, Tensor):
                continue
            if self.selects and name == "rows":
                one, two = one.sort().values, two.sort().values
            if not _same(one.cpu(), two.cpu()):
                return "indices" if self.selects else name
        return None


def _same(one: Tensor, other: Tensor) -> bool:
    """Equal, NaN and NaN being so as well."""
    if one.shape != other.shape:
        return False
    return bool(((one == other) | ((one != one) & (other != other))).all())


def _wrong_shape(answer: Answer, _compressor: Compressor) -> str | None:
    rows, width = answer.rows, answer.question.image.features.shape[1]
    if not isinstance(rows, Tensor):
        return f"it returned {type(rows).__name__}, not a tensor of indices, a Kept or a tensor of rows"
    if answer.selects:
        if rows.is_floating_point() or rows.is_complex() or rows.dtype == torch.bool:
            return f"it returned indices of dtype {rows.dtype}"
        return None
    if rows.ndim != 2 or rows.shape[1] != width:
        return f"it returned rows of shape {list(rows.shape)}, not [n, {width}]"
    if rows.dtype != torch.float32:
        return f"it returned rows of dtype {rows.dtype} for features of torch.float32"
    return None


def _wrong_count(answer: Answer, compressor: Compressor) -> str | None:
    count, asked = len(answer.rows), answer.question.n_target
    kind = "indices" if answer.selects else "rows"
    if compressor.exact and count != asked:
        return f"it returned {count} {kind}, not the {asked} it was asked for"
    if not 1 <= count <= asked:
        return f"it returned {count} {kind}; it was asked for at most {asked}, and one at least"
    return None


def _wrong_indices(answer: Answer, _compressor: Compressor) -> str | None:
    if not answer.selects or not len(answer.rows):
        return None
    indices, n = answer.rows.long().cpu().sort().values, answer.question.n_tokens
    if indices[0] < 0 or indices[-1] >= n:
        return f"it returned index {int(indices[0] if indices[0] < 0 else indices[-1])}; there are 0 to {n - 1}"
    repeated = indices[1:][indices[1:] == indices[:-1]]
    if len(repeated):
        return f"it returned index {int(repeated[0])} more than once"
    return None


def _wrong_positions(answer: Answer, compressor: Compressor) -> str | None:
    positions, n = answer.positions, answer.question.n_tokens
    if positions is None:
        if not answer.selects and compressor.tiles == "apart":
            return "it works tile by tile (tiles = 'apart') and returned rows without positions"
        return None
    if not isinstance(positions, Tensor):
        return f"it returned positions as {type(positions).__name__}, not as a tensor"
    if positions.is_floating_point() or positions.dtype == torch.bool or positions.shape != answer.rows.shape[:1]:
        return (
            f"it returned positions of shape {list(positions.shape)} and dtype {positions.dtype} for "
            f"{len(answer.rows)} rows"
        )
    if len(positions) and not 0 <= int(positions.min()) <= int(positions.max()) < n:
        return f"it returned positions from {int(positions.min())} to {int(positions.max())}; there are 0 to {n - 1}"
    return None


def _not_finite(answer: Answer, _compressor: Compressor) -> str | None:
    if answer.selects:
        return None
    bad = (~torch.isfinite(answer.rows)).any(dim=1).nonzero()
    if len(bad):
        return f"row {int(bad[0])} of what it returned holds NaN or infinity ({len(bad)} of {len(answer.rows)} rows do)"
    return None


@dataclass(frozen=True)
class Aspect:
    """One thing that may be wrong with any answer. look: None, or what is wrong; advice: what to do about it."""

    look: Callable[[Answer, Compressor], str | None]
    advice: str


ASPECTS = {
    "shape": Aspect(
        _wrong_shape, "return a long tensor [n] of indices, Kept(rows, positions), or rows [n, D] in float32"
    ),
    "count": Aspect(
        _wrong_count,
        "fill up, or cut, to n_target (stable sorts and ties by index help); a method that cannot reach every number "
        "may declare `exact = False` and keep fewer",
    ),
    "indices": Aspect(
        _wrong_indices, "take what is chosen out of the race; indices are those of rows of `features`, each once"
    ),
    "positions": Aspect(
        _wrong_positions, "give Kept(rows, positions) with the raster index of the token that each row stands for"
    ),
    "finite": Aspect(
        _not_finite, "look for divisions by a norm, a spread or a sum that can be 0 (clamp them), and for squares of "
        "large numbers in float32",
    ),
}  # fmt: skip
"""In the order in which they are looked at; `shape` comes first, as the others build on it."""


class Trial:
    """A compressor that is being tried."""

    def __init__(self, compressor: Compressor) -> None:
        self.compressor = compressor

    def ask(self, question: Question, seeded: bool = True) -> Answer:
        """Raises Broken if the compressor raises. seeded: as in `guarded`."""
        image = question.image
        return self.ask_with(question, image.features.clone(), image.context(self.compressor), seeded)

    def ask_with(self, question: Question, features: Tensor, context: dict[str, Any], seeded: bool = True) -> Answer:
        """With a context and features of one's own. Raises Broken if the compressor raises. seeded: as in `guarded`."""
        return Answer.of(
            question,
            self.guarded(question, lambda: self.compressor.compress(features, question.n_target, **context), seeded),
        )

    def guarded(self, tried: object, call: Callable[[], Any], seeded: bool = True) -> Any:
        """What `call`, a call of the compressor, gives. Raises Broken if it raises.

        seeded: with global random states of its own, and not those there are.
        """
        try:
            # The same global random state for all: what draws from it is to be found out once, and not everywhere.
            with torch.no_grad(), randomness.seeded() if seeded else nullcontext():
                return call()
        except Exception as error:
            # A person's code may raise anything; what and where is all they need.
            raise Broken(
                f"it raised {type(error).__name__}: {error} ({place_of(error)})",
                tried,
                "return an answer for every image and budget; what cannot be computed needs a rule of its own",
            ) from error

    def complaint(self, answer: Answer, ignored: frozenset[str] = frozenset()) -> tuple[str, str] | None:
        """The first aspect that is wrong with an answer, other than `ignored` ones, and how; None if nothing is."""
        for name, aspect in ASPECTS.items():
            wrong = aspect.look(answer, self.compressor)
            if wrong is not None and name not in ignored:
                return name, wrong
            if wrong is not None and name == "shape":
                return None  # of what has not the right shape, nothing else can be told
        return None

    def check(self, question: Question) -> Answer:
        """Ask, and raise Broken for what is wrong, unless it is wrong with answers about ordinary images as well.

        What is wrong there has a verdict of its own, and repeating it everywhere would hide what else there is.
        """
        answer = self.ask(question)
        if (found := self.complaint(answer, self.always_wrong)) is not None:
            name, wrong = found
            raise Broken(wrong, answer.question, ASPECTS[name].advice)
        return answer

    def check_tiles(self, image: MadeUpImage, n_target: int, about: str = "") -> None:
        """As `check`, of an image that may have several tiles, as the engine would show it."""
        parts = image.apart() if self.compressor.tiles == "apart" else [image]
        for part in parts:
            share = max(1, n_target * len(part.features) // len(image.features))
            self.check(Question(part, share, about))

    def check_runs(self) -> None:
        """Raises NotTried if the compressor cannot be run on any made-up image."""
        if self.compressor.stage not in ("encoder", "pre_llm"):
            raise NotTried(f"it acts at stage {self.compressor.stage!r}; only 'encoder' and 'pre_llm' can be run")
        lacking = self.compressor.needs - MadeUpImage.drawn(2, 2, 4).context(self.compressor).keys()
        if lacking:
            raise NotTried(f"it needs {', '.join(sorted(lacking))}, which no made-up image has")

    @cached_property
    def runs(self) -> bool:
        """Whether it answers about ordinary images at all."""
        try:
            for question in ordinary():
                self.ask(question)
        except Broken:
            return False
        return True

    def check_repeats(self) -> None:
        """Raises NotTried if it does not answer the same twice, after which nothing can be compared."""
        if not self._repeats:
            raise NotTried("it does not even answer the same twice")

    @cached_property
    def _repeats(self) -> bool:
        return all(self.ask(question).differs(self.ask(question)) is None for question in ordinary())

    @cached_property
    def always_wrong(self) -> frozenset[str]:
        """The aspects that are wrong with answers about ordinary images."""
        answers = [self.ask(question) for question in ordinary()]
        return frozenset(found[0] for answer in answers if (found := self.complaint(answer)) is not None)


def ordinary() -> list[Question]:
    """Images as they usually are: normally distributed features, and the ratios of papers."""
    return [
        Question(image, max(1, len(image.features) * ninths // 18))
        for image in (MadeUpImage.drawn(8, 8, 32, seed=1), MadeUpImage.drawn(14, 10, 48, seed=2))
        for ninths in (9, 4, 2)
    ]


def without(image: MadeUpImage, names: frozenset[str]) -> MadeUpImage:
    """The image as a model shows it that lacks these parts; one of them may be the class row, `cls`."""
    return replace(image, has_cls=image.has_cls and "cls" not in names, without=image.without | (names - {"cls"}))
