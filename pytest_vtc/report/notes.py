"""Sentences below a table: what it does not show, and what its figures rest on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_vtc.judge.unread import unread_replies
from pytest_vtc.report.figures import MARK, bracketed
from pytest_vtc.report.rows import Row
from pytest_vtc.report.unparsed import Unparsed, unparsed_notes
from pytest_vtc.results import CellSummary, Results
from pytest_vtc.statistics import Interval

FEW_IMAGES = 30
"""Below so many clusters a cluster-robust interval is known to be too narrow at times (Cameron and Miller 2015)."""

_OFF_BY = 0.25  # of the interval's half width
_OFF_BY_POINTS = 0.5


def notes(results: Results, model: str, dataset: str, rows: Sequence[Row]) -> list[str]:
    """Everything there is to say of one model and dataset beside its figures, most of the time nothing."""
    figures = [row.figures for row in rows]
    return [
        *_substitutes(results, model, [row for row in rows if row.compressor is not None]),
        *_beyond_window(results, model, dataset),
        *_unparsed(results.manifest["datasets"][dataset]["scoring"], rows),
        *_judge(results, model, dataset),
        *_few_images(results, figures, dataset),
        *_bootstrap(rows),
        *_ended_early(rows),
        *_not_run(results, model, dataset),
    ]


def _substitutes(results: Results, model: str, rows: Sequence[Row]) -> list[str]:
    """A note for each sentence on what compressors do for want of what the model lacks."""
    said = results.manifest["models"][model]["substitutes"] if rows else {}
    names: dict[str, list[str]] = {}
    for row in rows:
        for sentence in said.get(str(row.cells[0].compressor), {}).values():
            names.setdefault(sentence, []).append(str(row.compressor))
    return [f"{', '.join(dict.fromkeys(found))} on {model}: {sentence}" for sentence, found in names.items()]


def _ended_early(rows: Sequence[Row]) -> Iterator[str]:
    """A note on rows that have fewer samples than the others, as their gates were decided."""
    ended = [(row, found) for row in rows if (found := row.figures.sequential) is not None and found.decided]
    if said := [
        f"{row.compressor}@{row.ratio:g} after {found.n_samples:,} of {found.of_samples:,} samples"
        for row, found in ended
        if row.ratio is not None and found.n_samples < found.of_samples
    ]:
        yield f"Ended as their gates were decided: {', '.join(said)}"


def _beyond_window(results: Results, model: str, dataset: str) -> list[str]:
    """A note on samples for which cells differ in more than the tokens that were dropped."""
    samples: dict[str, bool] = {}
    for m in results.measurements:
        if (m.cell.model, m.cell.dataset) == (model, dataset):
            samples[m.sample] = samples.get(m.sample, False) or m.generation.beyond_window
    n = sum(samples.values())
    if not n:
        return []
    window = results.manifest["models"][model]["sliding_window"]
    return [
        f"{n:,} of {len(samples):,} samples {'is' if n == 1 else 'are'}, uncompressed, longer than the model's sliding "
        f"window of {window:,} tokens: with fewer vision tokens their text sees further back than in stock."
    ]


def _unparsed(rule: str, rows: Sequence[Row]) -> list[str]:
    found = [(row.full_name, row.figures) for row in rows]
    return unparsed_notes(
        rule, [Unparsed(name, f.n_measured, f.n_unparsed, f.by_chance, f.by_default) for name, f in found]
    )


def _judge(results: Results, model: str, dataset: str) -> Iterator[str]:
    """Notes on scores that a language model has given."""
    about = results.manifest["datasets"][dataset]["judge"]
    if about is None:
        return
    asked = ", asked in the words of pytest-vtc: not to be compared with published ones" if about["own_words"] else ""
    yield f"{dataset}: scores are grades by {about['model']}{asked}"
    mine = [m for m in results.measurements if (m.cell.model, m.cell.dataset) == (model, dataset)]
    if n := unread_replies(results.manifest, mine)[dataset]:
        yield f"{dataset}: of {n:,} of {len(mine):,} answers no reply of the judge could be read; they count as wrong"


def _few_images(results: Results, figures: Sequence[CellSummary], dataset: str) -> Iterator[str]:
    """A note where intervals have so few clusters that they promise too much."""
    compared = [row.versus for row in figures if row.versus is not None and _is_for_one_look(row.versus.difference_pp)]
    n_images = max((versus.n_images for versus in compared), default=FEW_IMAGES)
    if n_images < FEW_IMAGES:
        what = "groups" if results.manifest["datasets"][dataset]["whole_groups"] else "images"
        yield f"{dataset}: {n_images} {what} only; with fewer than about {FEW_IMAGES}, intervals and {MARK} are rough"


def _is_for_one_look(interval: Interval) -> bool:
    return interval.low is not None and not interval.anytime


def _bootstrap(rows: Sequence[Row]) -> Iterator[str]:
    """A note on rows of whose difference the cluster bootstrap is less sure than the interval that is shown.

    Said of enough images only: with few it is the bootstrap that is too narrow.
    """
    for row in rows:
        versus = row.figures.versus
        if versus is None or versus.bootstrap_pp is None or versus.n_images < FEW_IMAGES:
            continue
        if wider(versus.bootstrap_pp, versus.difference_pp):
            yield (
                f"{row.full_name}: a bootstrap over images gives {bracketed(versus.bootstrap_pp)} for the difference "
                f"to stock, not {bracketed(versus.difference_pp)}: take it as rough"
            )


def wider(check: Interval, interval: Interval) -> bool:
    """Whether an end of the check, in percentage points, lies outside the interval by more than half a point and more
    than a quarter of the half width. A check that lies within says only that the interval is careful: with few changed
    answers, a bootstrap is too narrow.
    """
    if interval.low is None or interval.high is None or check.low is None or check.high is None:
        return False
    outside = max(interval.low - check.low, check.high - interval.high)
    return outside > max(_OFF_BY_POINTS, _OFF_BY * (interval.high - interval.low) / 2)


def _not_run(results: Results, model: str, dataset: str) -> list[str]:
    """A note for each reason on the cells that the model cannot run."""
    variants: dict[str, list[str]] = {}
    for item in results.skipped:
        if (item.cell.model, item.cell.dataset) == (model, dataset):
            variants.setdefault(item.reason, []).append(item.cell.variant)
    return [f"Not run: {', '.join(names)}: {reason}" for reason, names in variants.items()]
