"""The tables as a person sees them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_vtc.analysis import analyse
from pytest_vtc.cells import Cell, SkippedCell
from pytest_vtc.gates import Verdict, parse_gate
from pytest_vtc.judging import evaluate
from pytest_vtc.report.columns import Column, broken, chunks, clipped, tabulated
from pytest_vtc.report.terminal import render
from pytest_vtc.results import Results
from tests.run_of import HALF, QUARTER, STOCK, manifest, measured, of_seed, run_of, seeded

FILES = [Path("vtc-results/results.json"), Path("vtc-results/samples.jsonl")]


def shown(results: Results, *gates: str, width: int = 80, colour: bool = False) -> list[str]:
    analysis = analyse(results)
    verdicts: list[Verdict] = evaluate([parse_gate(gate) for gate in gates], results, analysis, results.expected)
    return render(results, analysis, verdicts, FILES, width, colour)


def row(lines: list[str], start: str) -> str:
    """The one line that starts with these words, runs of blanks made one."""
    (found,) = [line for line in lines if re.match(rf"{re.escape(start)}(\s|$)", " ".join(line.split()))]
    return " ".join(found.split())


def test_the_whole_of_a_small_run() -> None:
    results = run_of(
        {
            STOCK: [1.0] * 195 + [0.0] * 5,
            QUARTER: [1.0] * 150 + [0.0] * 50,
            HALF: [1.0] * 192 + [0.0] * 8,
            Cell("tiny", "probes", "fps", 0.5): [1.0] * 195 + [0.0] * 5,
        }
    )
    assert shown(results, "divprune@*: max_drop=2.5") == [
        "tiny on probes: 200 of 2,000 samples, seed 0, scored by exact_match",
        "",
        "Compressor  Ratio  Tokens            Accuracy               vs Stock  Of Stock",
        "----------  -----  ------  ------------------  ---------------------  --------",
        "stock           1      64  97.5% [94.3, 98.9]                     --        --",
        "divprune      0.5  64->32  96.0% [92.3, 98.0]   -1.5  [ -4.3,   0.4]     98.5%",
        "fps           0.5  64->32  97.5% [94.3, 98.9]   +0.0  [ -1.9,   1.9]    100.0%",
        "divprune     0.25  64->16  75.0% [68.6, 80.5]  -22.5* [-28.8, -17.3]     76.9%",
        "",
        "Not significantly beaten by another at the same ratio, best first:",
        "  0.5  all 2: no difference is significant",
        "",
        "vs Stock: percentage points, over the samples measured in both",
        "[ ]: 95 % intervals, clustered by image; those against stock are paired",
        "*: differs from stock, p < 0.05 after Holm's correction over 3 comparisons",
        "Of Stock: accuracy as a share of stock's, over the same samples",
        "",
        "Gates",
        "FAIL  divprune@0.25 max_drop=2.5: drop 22.5 pp [17.3, 28.8] on 200 samples, at",
        "      most 2.5 allowed",
        "INCONCLUSIVE  divprune@0.5 max_drop=2.5: drop 1.5 pp [-0.4, 4.3] on 200 samples,",
        "      at most 2.5 allowed: about 940 samples (740 more) would decide",
        "",
        "Written: vtc-results/results.json",
        "Written: vtc-results/samples.jsonl",
        "More: samples.jsonl has every answer; -v shows each case; --help lists options.",
    ]


def test_skipped_cells_stand_below_the_table_by_reason() -> None:
    skipped = tuple(
        SkippedCell(Cell("tiny", "probes", spec, ratio), reason)
        for spec, reason in (("far", "no encoder"), ("near", "one size"), ("wide", "no encoder"))
        for ratio in (0.5, 0.25)
    )
    lines = shown(run_of({STOCK: [1.0] * 40, HALF: [1.0] * 40}, skipped=skipped))
    table = next(i for i, line in enumerate(lines) if line.startswith("divprune "))
    assert lines[table + 1 : table + 4] == [
        "",
        "Not run: far@0.5, far@0.25, wide@0.5, wide@0.25: no encoder",
        "Not run: near@0.5, near@0.25: one size",
    ]


def test_a_model_of_which_every_cell_is_skipped_has_a_heading() -> None:
    skipped = (SkippedCell(Cell("other", "probes", "far", 0.5), "no encoder"),)
    lines = shown(run_of({STOCK: [1.0] * 2}, skipped=skipped))
    assert lines[lines.index("other on probes") + 2] == "Not run: far@0.5: no encoder"


def test_samples_beyond_the_sliding_window_are_counted_once_whatever_the_cells() -> None:
    rows = [
        measured(cell, i, beyond_window=i < (3 if cell == STOCK else 2)) for cell in (STOCK, HALF) for i in range(4)
    ]
    lines = shown(run_of({STOCK: [1.0] * 4, HALF: [1.0] * 4}, measurements=rows))
    assert "3 of 4 samples are, uncompressed, longer than the model's sliding window of 512" in lines


def test_tokens_are_those_really_kept_and_means_have_one_decimal() -> None:
    rows = [measured(HALF, i, tokens=(64, 32, 30 + i % 2)) for i in range(2)]
    lines = shown(run_of({STOCK: [], HALF: [1.0] * 2}, expected={STOCK: 2}, measurements=rows))
    assert row(lines, "divprune 0.5").split()[2] == "64->30.5"


def test_counts_have_a_column_only_if_there_is_something_to_count() -> None:
    rows = [measured(STOCK, 0), measured(STOCK, 1, 0.0, answer=""), measured(HALF, 0, truncated=True)]
    lines = shown(run_of({STOCK: [1.0] * 2, HALF: [1.0] * 2}, measurements=rows))
    assert row(lines, "Compressor").split()[-3:] == ["Missing", "Empty", "Truncated"]
    assert row(lines, "stock").split()[-3:] == ["0", "1", "0"]
    assert row(lines, "divprune").split()[-3:] == ["1", "0", "1"]


def test_counts_that_do_not_fit_get_a_table_of_their_own_with_the_rows_concerned() -> None:
    rows = [measured(STOCK, i, float(i % 2)) for i in range(20)]
    rows += [measured(QUARTER, i, float(i % 2)) for i in range(20)]
    rows += [measured(HALF, i, float(i % 3 == 0), answer="", unparsed=True, truncated=True) for i in range(19)]
    results = run_of({STOCK: [1.0] * 20, QUARTER: [1.0] * 20, HALF: [1.0] * 20}, measurements=rows)
    narrow, wide = shown(results), shown(results, width=160)
    at = narrow.index("Compressor  Ratio  Missing  Empty  Unparsed  Truncated")
    assert narrow[at + 2].split() == ["divprune", "0.5", "1", "19", "19", "19"]
    assert narrow[at + 3] == ""
    assert row(wide, "divprune 0.5").split()[-4:] == ["1", "19", "19", "19"]


def test_a_cell_of_which_nothing_was_measured_shows_dashes() -> None:
    lines = shown(run_of({STOCK: [1.0], HALF: []}, expected={HALF: 1}))
    assert row(lines, "divprune 0.5") == "divprune 0.5 -- -- -- 1"


def test_a_difference_without_an_interval_is_shown_without_one() -> None:
    lines = shown(run_of({STOCK: [1.0], HALF: [0.0]}))
    assert " -100.0 " in row(lines, "divprune 0.5")
    assert "-100.0 [" not in row(lines, "divprune 0.5")


def test_a_tiny_loss_is_not_minus_nothing() -> None:
    lines = shown(run_of({STOCK: [1.0] * 3000, HALF: [0.0] + [1.0] * 2999}))
    assert "+0.0 [-0.2, 0.1]" in row(lines, "divprune 0.5")


def test_rows_with_the_same_ratio_stand_together_in_the_order_of_the_compressors() -> None:
    cells = [Cell("tiny", "probes", name, ratio) for name in ("pool", "fps") for ratio in (0.25, 1.0, 0.5)]
    lines = shown(run_of({STOCK: [1.0], **{cell: [1.0] for cell in cells}}))
    table = [tuple(line.split()[:2]) for line in lines[4:11]]
    assert table == [
        ("stock", "1"),
        ("pool", "1"),
        ("fps", "1"),
        ("pool", "0.5"),
        ("fps", "0.5"),
        ("pool", "0.25"),
        ("fps", "0.25"),
    ]


def test_each_dataset_has_a_table_of_its_own() -> None:
    other = Cell("tiny", "easyvqa", "divprune", 0.5)
    lines = shown(run_of({STOCK: [1.0], HALF: [1.0], other.stock: [1.0], other: [1.0]}))
    assert [line for line in lines if " on " in line] == [
        "tiny on probes: 1 of 2,000 samples, seed 0, scored by exact_match",
        "tiny on easyvqa: 1 of 2,000 samples, seed 0, scored by exact_match",
    ]


def test_a_dataset_without_answers_shows_what_the_model_said_on_the_first_samples() -> None:
    rows = [
        measured(cell, i, None, answer=answer)
        for i in range(5)
        for cell, answer in ((STOCK, f"A  cat,\nnumber {i}, " + "asleep " * 20), (HALF, "" if i else "A \x1b[31mdog"))
    ]
    results = run_of(
        {STOCK: [None] * 5, HALF: [None] * 5}, measurements=rows, manifest=manifest("probes", scoring="none")
    )
    lines = shown(results)
    assert lines[0] == "tiny on probes: 5 of 2,000 samples, seed 0, not scored"
    assert "Accuracy" not in row(lines, "Compressor")
    at = lines.index("Sample s000")
    assert lines[at + 1].startswith("  stock         A cat, number 0, asleep asleep")
    assert lines[at + 1].endswith("...")
    assert lines[at + 2] == "  divprune@0.5  A ?[31mdog"
    assert lines[at + 6] == "  divprune@0.5  (empty)"
    assert "Sample s002" in lines
    assert "Sample s003" not in lines


def test_an_interrupted_run_says_so_first() -> None:
    lines = shown(run_of({STOCK: [1.0] * 2, HALF: [1.0]}, expected={HALF: 2}, interrupted=True), "*: max_drop=1")
    assert lines[0] == "Interrupted: the same command goes on where this run stopped."
    assert "NOT JUDGED  divprune@0.5 max_drop=1: the run was interrupted" in lines


def test_colour_adds_nothing_but_colour() -> None:
    results = run_of({STOCK: [1.0] * 40, HALF: [0.0] * 20 + [1.0] * 20, QUARTER: [1.0] * 40})
    coloured = shown(results, "*: max_drop=1", colour=True)
    assert [re.sub(r"\x1b\[\d+m", "", line) for line in coloured] == shown(results, "*: max_drop=1")
    assert any("\x1b[31m" in line and "*" in line for line in coloured)  # certainly below stock
    assert not any("\x1b" in line for line in coloured if line.startswith("divprune     0.25"))


NAMES = ["divprune", "divprune(start='farthest_pair')", "divprune_hybrid(alpha=0.3)", "fps", "a" * 40, "downsample"]
CATEGORIES = ["shape", "digit, three digits on the canvas", "Architecture_and_Engineering", ""]


@given(
    st.lists(st.sampled_from(NAMES), min_size=1, unique=True),
    st.lists(st.sampled_from([1.0, 0.5, 0.25, 0.125]), min_size=1, unique=True),
    st.lists(st.sampled_from(CATEGORIES), min_size=1, max_size=4, unique=True),
    st.sampled_from([0, 2, 3]),
    st.sampled_from([80, 100, 120, 160, 200]),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=30, deadline=None)
def test_every_line_fits_the_terminal(
    names: list[str],
    ratios: list[float],
    categories: list[str],
    n_seeds: int,
    width: int,
    flagged: bool,
    scored: bool,
) -> None:
    cells = [STOCK, *(Cell("tiny", "probes", name, ratio) for name in names for ratio in ratios)]
    cells += [of_seed(seed, ratio) for seed in range(n_seeds) for ratio in ratios]
    flags: dict[str, Any] = {"answer": "" if flagged else "seven " * 30, "truncated": flagged, "unparsed": flagged}
    rows = [
        measured(cell, i, float((i * 7 + rank) % 3 > 0) if scored else None, category=category, **flags)
        for i, category in enumerate(categories * 10)
        for rank, cell in enumerate(cells)
    ]
    skipped = (SkippedCell(Cell("tiny", "probes", "far" * 30, 0.5), "no encoder"),)
    results = run_of(
        {cell: [1.0] * 50 for cell in cells}, measurements=rows, manifest=seeded(*range(n_seeds)), skipped=skipped
    )
    lines = shown(results, "*: max_drop=1", width=width)
    assert max(map(len, lines)) <= width
    assert all(line == line.rstrip() and "\n" not in line for line in lines)


def test_the_table_is_ascii() -> None:
    assert all(line.isascii() for line in shown(run_of({STOCK: [1.0] * 20, HALF: [1.0] * 20}), "*: max_drop=1"))


# Columns


@given(st.text("ab_(=, )'", max_size=60), st.integers(1, 20))
def test_a_broken_name_fits_and_loses_nothing_but_blanks(name: str, width: int) -> None:
    lines = broken(name, width).split("\n")
    assert max(map(len, lines)) <= width
    assert "".join(lines).replace(" ", "") == name.replace(" ", "")


def test_a_name_breaks_where_its_parts_end() -> None:
    assert broken("divprune(start='farthest_pair')", 16).split("\n") == ["divprune(start=", "'farthest_pair')"]


@given(st.lists(st.integers(1, 12), max_size=20), st.integers(5, 40))
def test_chunks_keep_every_column_in_order_and_fit_where_one_column_does(widths: list[int], room: int) -> None:
    columns = [Column("x" * width, []) for width in widths]
    found = chunks(columns, room)
    assert [column for chunk in found for column in chunk] == columns
    assert all(len(chunk) <= 1 or sum(2 + c.width for c in chunk) <= room for chunk in found)


@pytest.mark.parametrize(("text", "line"), [("a\n b\tc", "a b c"), ("abcdefghijk", "abcdefg..."), ("", "")])
def test_a_clipped_text_is_one_short_line(text: str, line: str) -> None:
    assert clipped(text, 10) == line


def test_a_table_pads_its_columns() -> None:
    assert tabulated([Column("Name", ["a", "bcdef"]), Column("n", ["1", "1,000"])]) == [
        "Name       n",
        "-----  -----",
        "a          1",
        "bcdef  1,000",
    ]


def test_the_renderer_takes_summaries_in_any_order_of_ratio() -> None:
    results = run_of({STOCK: [1.0], QUARTER: [1.0], HALF: [1.0]})
    turned = replace(results, cells=(STOCK, HALF, QUARTER))
    assert shown(turned) == shown(results)


# Several seeds


def with_seeds(**more: Any) -> Results:
    right = {0: 120, 1: 100, 2: 110}
    return run_of(
        {
            STOCK: [1.0] * 190 + [0.0] * 10,
            HALF: [1.0] * 180 + [0.0] * 20,
            **{of_seed(seed): [1.0] * n + [0.0] * (200 - n) for seed, n in right.items()},
        },
        manifest=seeded(*right),
        **more,
    )


def test_the_seeds_of_one_compressor_are_one_row_with_their_lowest_and_highest() -> None:
    lines = shown(with_seeds())
    assert lines[2:7] == [
        "Compressor        Ratio  Tokens  Accuracy       Seeds               vs Stock",
        "----------------  -----  ------  --------  ----------  ---------------------",
        "stock                 1      64     95.0%                                 --",
        "divprune            0.5  64->32     90.0%               -5.0* [ -9.0,  -2.7]",
        "random (3 seeds)    0.5  64->32     55.0%  50.0..60.0  -40.0* [-46.6, -33.7]",
    ]
    legend = "Seeds: the lowest and the highest of several random draws, whose mean is the"
    assert lines[lines.index(legend) + 1] == "row, in %"


def test_a_row_of_seeds_counts_the_cases_of_all() -> None:
    whole = with_seeds()
    lost = [
        m
        for m in whole.measurements
        if m.cell.compressor is None or "random" not in m.cell.compressor or m.sample > "s001"
    ]
    assert row(shown(replace(whole, measurements=lost), width=120), "random (3 seeds)").split()[-1] == "6"


def test_seeds_that_are_missing_are_told() -> None:
    scores = {STOCK: [1.0] * 4, of_seed(0): [1.0] * 4, of_seed(2): [0.0] * 4}
    assert "random (2 of 3 seeds)" in "\n".join(shown(run_of(scores, manifest=seeded(0, 1, 2)), width=100))


def test_one_seed_alone_is_shown_under_its_own_name() -> None:
    lines = shown(run_of({STOCK: [1.0] * 4, of_seed(1): [1.0] * 4}, manifest=seeded(0, 1, 2)))
    assert row(lines, "random(seed=1)")
    assert not any("Seeds" in line for line in lines)


# Substitutes


def test_what_compressors_do_instead_stands_below_the_table_once_for_each_sentence() -> None:
    made = manifest()
    made["models"]["tiny"]["substitutes"] = {
        "divprune": {"cls": "what is received stands in for the class token"},
        "fps": {"cls": "what is received stands in for the class token", "project": "merged later"},
        "gone": {"cls": "of a compressor that is not in this table"},
    }
    scores = {STOCK: [1.0] * 2, HALF: [1.0] * 2, QUARTER: [1.0] * 2, Cell("tiny", "probes", "fps", 0.5): [1.0] * 2}
    lines = shown(run_of(scores, manifest=made))
    at = lines.index("divprune, fps on tiny: what is received stands in for the class token")
    assert (lines[at - 1], lines[at + 1]) == ("", "fps on tiny: merged later")
    assert "of a compressor that is not in this table" not in "\n".join(lines)
