"""Each property notices what it is there for, and says it; nothing is held against a compressor that is right."""

from __future__ import annotations

import pytest

from pytest_vtc.compression import Compressor
from pytest_vtc.conformance.properties import properties_of
from pytest_vtc.conformance.trial import Broken, NotTried, Trial
from tests.conformance import broken_compressors as broken


def verdicts(compressor: Compressor) -> tuple[dict[str, str], dict[str, str]]:
    """By property: how it is broken, and why it was not tried."""
    trial, broke, not_tried = Trial(compressor), dict[str, str](), dict[str, str]()
    for each in properties_of(compressor):
        try:
            each.verdict(trial)
        except Broken as verdict:
            broke[each.name] = str(verdict)
        except NotTried as reason:
            not_tried[each.name] = str(reason)
    return broke, not_tried


@pytest.mark.parametrize(
    "cls",
    [
        broken.Right,
        broken.RightMerger,
        broken.RightSelection,
        broken.RightRanking,
        broken.UsesTheContext,
        broken.KeepsExactlyIfAsked,
    ],
)
def test_a_right_compressor_conforms(cls: type[Compressor]) -> None:
    broke, not_tried = verdicts(cls())
    assert broke == {}
    assert not_tried.keys() <= {"merge", "device"}


@pytest.mark.parametrize(
    ("cls", "properties", "message"),
    [
        (broken.UnknownNeed, {"declaration"}, "it declares 'atention'"),
        (broken.RoundsItsParameter, {"declaration"}, "made anew from its parameters"),
        (broken.Raises, {"runs"}, "it raised KeyError: 'width'"),
        (broken.RowsInDouble, {"shape-and-dtype"}, "rows of dtype torch.float64"),
        (broken.OneTooFew, {"keeps-exactly-n"}, "31 indices, not the 32"),
        (broken.OneTooMany, {"keeps-at-most-n"}, "33 indices; it was asked for at most 32"),
        (broken.Repeats, {"distinct-indices"}, "more than once"),
        (broken.PositionsBeyond, {"positions"}, "it returned positions from 64"),
        (broken.NotFinite, {"finite"}, "NaN or infinity"),
        (broken.Drifts, {"same-answer-twice"}, "asked the same twice, it returned other indices"),
        (broken.Remembers, {"remembers-nothing"}, "after other images it returned other indices"),
        (broken.DrawsFromTorch, {"global-random-state"}, "changes with the global seed of torch"),
        (broken.DrawsFromNumpy, {"global-random-state"}, "draws from, or seeds, the global random state of numpy"),
        (broken.SeedsRandom, {"global-random-state"}, "draws from, or seeds, the global random state of random"),
        (broken.LooksAtTheBatch, {"batch"}, "image 1 gets other tokens"),
        (broken.OneForAll, {"batch"}, "image 2 gets other tokens"),
        (broken.NotNested, {"nested-budgets"}, "asked for all 140 it begins with other tokens"),
        (broken.FailsOnEverything, {"ratio-1"}, "it raised ValueError: nothing to drop"),
        (broken.OddIsTooMuch, {"every-budget"}, "0 indices, not the 1 it was asked for"),
        (broken.FailsOnOne, {"tiny-images"}, "1 x 1 tokens of width 1 (N = 1)"),
        (broken.FailsOnMany, {"large-images"}, "it raised RuntimeError: too many tokens"),
        (broken.TakesItForSquare, {"oblong-grids", "several-tiles"}, "1 x 24 tokens"),
        (broken.TakesItForOneTile, {"several-tiles"}, "4 x 4 and 4 x 4 and 2 x 3 tokens"),
        (broken.DropsRepeats, {"repeated-rows"}, "every row twice"),
        (broken.DividesByNorms, {"zero-rows"}, "the first row zero"),
        (broken.DividesBySpread, {"equal-rows", "tiny-images"}, "all rows equal"),
        (broken.Squares, {"scales"}, "features of scale 1e20"),
        (broken.WritesIntoFeatures, {"input-unchanged"}, "it writes into `features`"),
        (broken.WritesIntoAttention, {"input-unchanged"}, "it writes into `attention[-2].received`"),
        (broken.MergesOtherwise, {"merge"}, "merge(features) is not the features"),
        (broken.MergesByTheRows, {"merge"}, "merge(a + b) is not merge(a) + merge(b)"),
        (broken.NeedsTheClassRow, {"without-class-token", "substitutes"}, "no class token"),
        (broken.NeedsTheText, {"substitutes"}, "KeyError: 'text'"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else None,
)
def test_what_is_broken_is_noticed_and_nothing_else(cls: type[Compressor], properties: set[str], message: str) -> None:
    broke, _ = verdicts(cls())
    assert broke.keys() == properties
    assert any(message in said for said in broke.values()), broke
    assert all("\ntried: " in said and "\nto do: " in said for said in broke.values())
