"""One variant against another on the same samples: how far apart, how sure that is, and what changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_vtc.paired_tests import mcnemar_p
from pytest_vtc.statistics import Interval, bootstrap_difference, paired_test, share_of_stock


@dataclass(frozen=True)
class Flips:
    """What became of the answers, in samples. gained, lost: the score rose, fell.

    wrong_otherwise: neither answer is right, and they differ. same_answer: what the scoring rule read, or where it read
    nothing the whole answer, is the same.
    """

    gained: int
    lost: int
    wrong_otherwise: int
    same_answer: int


@dataclass(frozen=True)
class Comparison:
    """`after` against `before` on the n samples scored in both, about n_images images. Intervals are of 95 %.

    difference_pp: after minus before, percentage points. bootstrap_pp: the same by a cluster bootstrap, as a check;
    None where it was not asked for. share: mean score after / before; None where nothing before is right.
    flips: None where a score is the mean of several answers.
    p: that there is no difference; exact McNemar where scores are 0 or 1 and every image has one sample, otherwise from
    the clustered score test of the interval. p_mcnemar: McNemar's whether or not images have several samples, which it
    ignores; None where a score is a fraction.
    """

    n: int
    n_images: int
    difference_pp: Interval
    bootstrap_pp: Interval | None
    share: Interval | None
    flips: Flips | None
    p: float | None
    p_mcnemar: float | None

    @property
    def share_degrees(self) -> int | None:
        """Degrees of freedom of the t that the interval of the share was made with; None for the normal quantile."""
        is_alone = self.n_images == self.n and self.p_mcnemar is not None
        return None if is_alone else self.n_images - 1

    @property
    def agreement(self) -> float | None:
        """Share of samples with the same answer."""
        return None if self.flips is None else self.flips.same_answer / self.n


class AgainstStock:
    """What is compared with stock, or is stock itself: then there is no `versus`."""

    versus: Comparison | None

    @property
    def delta_pp(self) -> Interval | None:
        """Accuracy minus stock's in percentage points, paired."""
        return None if self.versus is None else self.versus.difference_pp

    @property
    def n_paired(self) -> int:
        """Samples scored here and in stock."""
        return 0 if self.versus is None else self.versus.n


def compare_scores(
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    groups: NDArray[Any],
    answers: tuple[Sequence[str], Sequence[str]] | None = None,
    check: bool = False,
) -> Comparison | None:
    """Compare scores [n] of the same samples, in the same order; None if there are none.

    groups: [n] labels of images. answers: what was said, before and after; for `Flips`. check: bootstrap as well.
    """
    if not len(before):
        return None
    n_images = len(np.unique(groups))
    mcnemar = mcnemar_p(before, after)
    share = share_of_stock(before, after, groups) if before.any() else None
    difference, p = paired_test(before, after, groups)
    return Comparison(
        n=len(before),
        n_images=n_images,
        difference_pp=difference.scaled(100),
        bootstrap_pp=bootstrap_difference(before, after, groups).scaled(100) if check and n_images > 1 else None,
        share=share,
        flips=None if answers is None else _flips(before, after, *answers),
        p=mcnemar if mcnemar is not None and n_images == len(before) else p,
        p_mcnemar=mcnemar,
    )


def _flips(
    before: NDArray[np.float64], after: NDArray[np.float64], said_before: Sequence[str], said_after: Sequence[str]
) -> Flips:
    same = np.fromiter((b == a for b, a in zip(said_before, said_after, strict=True)), dtype=np.bool_)
    return Flips(
        gained=int((after > before).sum()),
        lost=int((after < before).sum()),
        wrong_otherwise=int(((before < 1) & (after < 1) & (before == after) & ~same).sum()),
        same_answer=int(same.sum()),
    )
