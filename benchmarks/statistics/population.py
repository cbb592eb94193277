"""Questions on images whose true accuracy, difference, share of stock and correlation within an image are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FATES = ("right both times", "gained", "lost", "wrong both times")
BEFORE = np.array((1.0, 0.0, 1.0, 0.0))
AFTER = np.array((1.0, 1.0, 0.0, 0.0))


@dataclass(frozen=True)
class Population:
    """What becomes of a question: `FATES`, with probabilities that differ from image to image.

    Each image draws its probabilities of the four fates from a Dirichlet distribution around the population's, with
    concentration (1 - icc) / icc; the fates of its questions are then independent. Any score that depends on the fate
    (stock's correctness, the compressed one's, their difference, their sum) then correlates by exactly `icc` between
    two questions on one image, and by nothing between images. The true values are the population's: nothing is
    estimated from draws.

    stock: accuracy of stock. changed: share of questions gained or lost. difference: gained less lost.
    """

    stock: float
    changed: float
    difference: float
    icc: float

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """[4], in the order of `FATES`."""
        gained, lost = (self.changed + self.difference) / 2, (self.changed - self.difference) / 2
        parts = np.array((self.stock - lost, gained, lost, 1 - self.stock - gained))
        if parts.min() < -1e-12:
            raise ValueError(f"no such population: {self}")
        return parts.clip(0)

    @property
    def accuracy(self) -> float:
        return self.stock + self.difference

    @property
    def share(self) -> float:
        return self.accuracy / self.stock

    def draw(self, sizes: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """How many questions of each image meet each fate: [..., images, 4], for `sizes` [..., images]."""
        if self.icc == 0:
            return rng.multinomial(sizes, self.probabilities)
        weights = rng.standard_gamma(self.probabilities * (1 - self.icc) / self.icc, size=(*sizes.shape, len(FATES)))
        return rng.multinomial(sizes, weights / weights.sum(axis=-1, keepdims=True))


def scores(fates: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Before, after and image of every question of one run, from its counts [images, 4]."""
    fate = np.concatenate([np.repeat(np.arange(len(FATES)), row) for row in fates])
    return BEFORE[fate], AFTER[fate], np.repeat(np.arange(len(fates)), fates.sum(axis=1))
