"""The rule for regressions: what a cell's comparison with an earlier run says of it."""

from __future__ import annotations

from pytest_vtc.gates import Outcome
from pytest_vtc.power import samples_needed
from pytest_vtc.run_comparison import CellComparison
from pytest_vtc.standings import SIGNIFICANT
from pytest_vtc.statistics import Interval

_ROUNDING = 1e-9


def condition(limit: float | None) -> str:
    """How the rule is written in a verdict's name: `max_regression=1` or `no_regression`."""
    return "no_regression" if limit is None else f"max_regression={limit:g}"


def judge(cell: CellComparison, limit: float | None, n_tests: int) -> tuple[Outcome, str]:
    """Whether a cell is worse than it was, and the reason in a phrase.

    A cell in which no answer and no score changed passes, whatever its size. Otherwise, with a limit (percentage
    points): pass if the whole 95 % interval of the loss is at most the limit, fail if all of it is above, inconclusive
    in between. Without one: fail if the cell is significantly worse after Holm's correction over the `n_tests` cells
    compared, otherwise pass. Inconclusive where there is no interval (samples of one image only); not judged where
    answers changed and have no scores.
    """
    if not cell.n:
        return "not judged", "no sample was measured in both runs"
    if not cell.flips:
        return "pass", f"no answer changed over {cell.n:,} samples"
    if cell.versus is None:
        n = len(cell.flips)
        return "not judged", f"{n:,} of {cell.n:,} answers changed; dataset {cell.after.dataset} has none to score by"
    versus = cell.versus
    counts = f"{versus.flips.gained:,} gained, {versus.flips.lost:,} lost" if versus.flips else ""
    found = f"{in_points(versus.difference_pp)} over {versus.n:,} samples ({counts})"
    if versus.difference_pp.low is None or versus.difference_pp.high is None:
        return "inconclusive", f"{found}: samples of one image give no interval; more images would"
    if limit is None:
        return _without_limit(cell, found, n_tests)
    return _within(limit, versus.difference_pp, versus.n, found)


def _without_limit(cell: CellComparison, found: str, n_tests: int) -> tuple[Outcome, str]:
    assert cell.versus is not None
    p = cell.p_holm
    significant = p is not None and p < SIGNIFICANT
    over = f" after Holm's correction over {n_tests:,} cells" if n_tests > 1 else ""
    said = "no p-value" if p is None else f"p {p:.2g}{over}"
    if significant and cell.versus.difference_pp.estimate < 0:
        return "fail", f"{found}: significantly worse, {said}"
    return "pass", f"{found}: {'significantly better' if significant else 'not significantly worse'}, {said}"


def _within(limit: float, difference: Interval, n: int, found: str) -> tuple[Outcome, str]:
    assert difference.low is not None
    assert difference.high is not None
    least, loss, most = -difference.high, -difference.estimate, -difference.low
    allowed = f"at most {limit:g} pp below the baseline allowed"
    if most <= limit + _ROUNDING:
        return "pass", f"{found}; {allowed}"
    if least > limit + _ROUNDING:
        return "fail", f"{found}; {allowed}"
    needed = samples_needed(loss, most - loss if loss < limit else loss - least, limit, n)
    more = "no number of samples would decide it" if needed is None else f"about {needed:,} samples would decide it"
    return "inconclusive", f"{found}; {allowed}; {more}"


def in_points(difference: Interval) -> str:
    """`-1.6 pp [-3.0, -0.2]`."""
    estimate = f"{difference.estimate:+.2f} pp"
    if difference.low is None or difference.high is None:
        return estimate
    return f"{estimate} [{difference.low:.2f}, {difference.high:.2f}]"
