"""POPE's figures: the positive class is "yes"."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_vtc.scoring import judged, rule
from pytest_vtc.scoring.published import Answered, metric
from tests.scoring.goldens import answered, files, name_of, rows_of

OF_GOLDENS = {"pope_aggregate_official": ("pope_official", "pope"), "pope_aggregate_lmms": ("pope_lmms", "pope_lmms")}


@pytest.mark.parametrize("file", files(OF_GOLDENS))
def test_figures_are_the_originals(file: Path) -> None:
    reading, name = OF_GOLDENS[name_of(file)]
    for row in rows_of(file):
        figures = metric(name).figures(answered(reading, row["prediction"], row["target"]))
        expected = {key: value for key, value in row["score"].items() if key.islower()}
        assert {key: figures[key] for key in expected} == pytest.approx(expected, abs=1e-6)


def test_f1_is_averaged_over_categories_and_each_has_its_own() -> None:
    said, expected = ["yes", "yes", "no", "yes"], ["yes", "no", "yes", "yes"]
    rows = answered("pope_official", said, expected, categories=["random", "random", "popular", "popular"])
    figures = metric("pope").figures(rows)
    assert figures["random/f1"] == figures["popular/f1"] == figures["mean_f1"] == pytest.approx(2 / 3)
    assert (figures["random/yes_ratio"], figures["popular/yes_ratio"]) == (1, 0.5)


def silent_on(answer: str) -> Answered:
    score = judged(rule("pope_official"), "", [answer])
    return Answered(sample="silent", score=score.value, parsed=score.parsed, expected=(answer,))


def test_silence_counts_against_accuracy_and_recall_but_not_as_yes() -> None:
    spoken = answered("pope_official", ["yes", "no"], ["yes", "no"])
    figures = metric("pope").figures([*spoken, silent_on("yes"), silent_on("no")])
    assert figures == pytest.approx(
        {"accuracy": 0.5, "precision": 1, "recall": 0.5, "f1": 2 / 3, "yes_ratio": 0.25, "mean_f1": 2 / 3}
    )


def test_who_never_says_yes_has_no_precision_and_no_f1_worth_the_name() -> None:
    figures = metric("pope").figures(answered("pope_official", ["no", "no"], ["yes", "no"]))
    assert "precision" not in figures
    assert (figures["recall"], figures["f1"]) == (0, 0)


def test_mean_f1_is_left_out_where_a_category_has_none() -> None:
    rows = answered("pope_official", ["yes", "no"], ["yes", "no"], categories=["random", "popular"])
    figures = metric("pope").figures(rows)
    assert "mean_f1" not in figures
    assert "popular/f1" not in figures


def test_lmms_leaves_sentences_out_of_precision_and_recall() -> None:
    rows = answered("pope_lmms", ["yes", "Yes, it is.", "No."], ["yes", "no", "yes"])
    figures = metric("pope_lmms").figures(rows)
    assert (figures["accuracy"], figures["precision"], figures["recall"]) == (pytest.approx(1 / 3), 1, 1)


def test_capital_letters_of_a_rule_that_reads_words_are_no_matter() -> None:
    rows = answered("yorn_vlmevalkit", ["Yes, it is.", "No.", "Yes."], ["yes", "no", "no"])
    figures = metric("pope").figures(rows)
    assert (figures["precision"], figures["recall"], figures["yes_ratio"]) == (0.5, 1, pytest.approx(2 / 3))
