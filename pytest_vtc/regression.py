"""The rule for regressions: what a cell's comparison with an earlier run says of it."""

from __future__ import annotations

from dataclasses import replace

from pytest_vtc.cells import Cell
from pytest_vtc.comparison import Comparison
from pytest_vtc.gates import Verdict
from pytest_vtc.judging import changes_variance, decide
from pytest_vtc.power import samples_needed
from pytest_vtc.run_comparison import CellComparison
from pytest_vtc.standings import SIGNIFICANT
from pytest_vtc.statistics import Interval


def not_judged(name: str, cell: Cell, limit: float | None, reason: str) -> Verdict:
    """The verdict on a cell that cannot be judged. name: of the cell, as gates name it."""
    condition = "no_regression" if limit is None else "max_regression"
    called = condition if limit is None else f"{condition}={limit:g}"
    return Verdict(f"{name} {called}", cell, "not judged", reason, condition=condition, limit=limit)


def judge(name: str, found: CellComparison, limit: float | None, n_tests: int) -> Verdict:
    """Whether a cell is worse than it was.

    A cell in which no answer and no score changed passes, whatever its size. Otherwise, with a limit (percentage
    points): pass if the whole 95 % interval of the loss is at most the limit, fail if all of it is above, inconclusive
    in between. Without one: fail if the cell is significantly worse after Holm's correction over the `n_tests` cells
    compared, otherwise pass. Inconclusive where there is no interval (samples of one image only); not judged where
    answers changed and have no scores.
    """
    blank = not_judged(name, found.after, limit, "")
    if not found.n:
        return replace(blank, reason="no sample was measured in both runs")
    if not found.flips:
        return replace(blank, outcome="pass", reason=f"no answer changed over {found.n:,} samples", n=found.n)
    if found.versus is None:
        changed = f"{len(found.flips):,} of {found.n:,} answers changed"
        return replace(blank, reason=f"{changed}; dataset {found.after.dataset} has none to score by", n=found.n)
    versus = found.versus
    loss = _loss(versus.difference_pp)
    blank = replace(blank, estimate=loss.estimate, low=loss.low, high=loss.high, n=versus.n)
    counts = f" ({versus.flips.gained:,} gained, {versus.flips.lost:,} lost)" if versus.flips else ""
    figures = f"{in_points(versus.difference_pp)} over {versus.n:,} samples{counts}"
    if loss.low is None or loss.high is None:
        return replace(
            blank, outcome="inconclusive", reason=f"{figures}: samples of one image give no interval; more images would"
        )
    if limit is None:
        return _without_limit(blank, found, figures, n_tests)
    return _within(blank, limit, loss, figures, versus)


def _without_limit(blank: Verdict, found: CellComparison, figures: str, n_tests: int) -> Verdict:
    p = found.p_holm
    significant = p is not None and p < SIGNIFICANT
    over = f" after Holm's correction over {n_tests:,} cells" if n_tests > 1 else ""
    said = "no p-value" if p is None else f"p {'< 0.001' if p < 0.001 else f'= {p:.3f}'}{over}"
    if significant and blank.estimate is not None and blank.estimate > 0:
        return replace(blank, outcome="fail", reason=f"{figures}: significantly worse, {said}")
    standing = "significantly better" if significant else "not significantly worse"
    return replace(blank, outcome="pass", reason=f"{figures}: {standing}, {said}")


def _within(blank: Verdict, limit: float, loss: Interval, figures: str, versus: Comparison) -> Verdict:
    assert loss.low is not None
    assert loss.high is not None
    outcome = decide(loss, limit, is_upper=True, rule="interval")
    reason = f"{figures}; at most {limit:g} pp below the baseline allowed"
    if outcome != "inconclusive":
        return replace(blank, outcome=outcome, reason=reason)
    end = loss.high if loss.estimate < limit else loss.low
    of_change = changes_variance(versus)

    def variance(lost: float) -> float:
        return 1.0 if of_change is None else of_change(-lost)

    needed = samples_needed(loss.estimate, end, limit, versus.n, variance)
    more = "no number of samples would decide it" if needed is None else f"about {needed:,} samples would decide it"
    return replace(blank, outcome=outcome, reason=f"{reason}; {more}", n_needed=needed)


def _loss(difference: Interval) -> Interval:
    """What was lost: the difference with its sign turned."""
    low, high = difference.low, difference.high
    return Interval(-difference.estimate, None if high is None else -high, None if low is None else -low)


def in_points(difference: Interval) -> str:
    """`-1.6 pp [-3.0, -0.2]`."""
    # `or` turns the -0.00 of a small loss into 0.00.
    estimate = f"{round(difference.estimate, 2) or 0.0:+.2f} pp"
    if difference.low is None or difference.high is None:
        return estimate
    return f"{estimate} [{round(difference.low, 2) or 0.0:.2f}, {round(difference.high, 2) or 0.0:.2f}]"
