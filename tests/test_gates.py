"""Gates: how they are written, read from files, and what they match."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_vtc.cells import Cell
from pytest_vtc.gates import (
    Gate,
    GateError,
    Limit,
    Outcome,
    parse_gate,
    read_gates,
    reported,
    unmatched,
    without_category,
)
from tests.run_of import HALF, QUARTER, STOCK

HYBRID = Cell("tiny", "probes", "divprune_hybrid(alpha=0.3, mode='a:b')", 0.5)
FORMS = st.sampled_from(["*@0.5", "tiny:4:2/probes/divprune@0.5", "f(a='x:y', b=1)@0.25"])


# Writing


@pytest.mark.parametrize(
    ("text", "gate"),
    [
        ("divprune@0.5: max_drop=2.5", Gate("divprune@0.5", (Limit("max_drop", 2.5),))),
        ("  *@0.5:min_accuracy = 90 ", Gate("*@0.5", (Limit("min_accuracy", 90.0),))),
        ("fps@*: max_drop=3, min_accuracy=80", Gate("fps@*", (Limit("max_drop", 3.0), Limit("min_accuracy", 80.0)))),
        ("f(a='x:y', b=1)@0.5: max_drop=0", Gate("f(a='x:y', b=1)@0.5", (Limit("max_drop", 0.0),))),
        ("a:4:2/probes/*: max_drop=1", Gate("a:4:2/probes/*", (Limit("max_drop", 1.0),))),
        ("*: min_retained=0.97", Gate("*", (Limit("min_retained", 0.97),))),
        ("*: category=count, max_drop=5", Gate("*", (Limit("max_drop", 5.0),), "count")),
        ("*: max_drop=5, category='a, b: c'", Gate("*", (Limit("max_drop", 5.0),), "a, b: c")),
        ('*: max_drop=5, category="Bob\'s"', Gate("*", (Limit("max_drop", 5.0),), "Bob's")),
        ("*: max_drop=5, category=''", Gate("*", (Limit("max_drop", 5.0),), "")),
        ("*: max_drop=5, rule=point", Gate("*", (Limit("max_drop", 5.0),), None, "point")),
        ("*: max_drop=5, rule=interval", Gate("*", (Limit("max_drop", 5.0),))),
    ],
)
def test_a_gate_is_read(text: str, gate: Gate) -> None:
    assert parse_gate(text) == gate


@pytest.mark.parametrize(
    ("text", "n_bytes"),
    [
        ("1500000", 1.5e6), ("1.5MB", 1.5e6), ("1.5M", 1.5e6), ("1.5 mb", 1.5e6), ("64k", 64e3), ("64KiB", 65536),
        ("2Gi", 2 * 2**30), ("1MiB", 2**20), ("0.5G", 5e8), ("12B", 12),
    ],
)  # fmt: skip
def test_bytes_may_have_a_unit(text: str, n_bytes: float) -> None:
    assert parse_gate(f"*: max_kv_bytes={text}").limits == (Limit("max_kv_bytes", n_bytes),)


def test_a_gate_shows_itself_in_one_form() -> None:
    gate = parse_gate("probes/divprune@0.5:max_drop=2.50,category=count,max_kv_bytes=1.5MB,rule=point")
    assert str(gate) == "probes/divprune@0.5: max_drop=2.5, max_kv_bytes=1500000, category=count, rule=point"


@given(
    FORMS,
    st.floats(0, 100),
    st.none() | st.text(st.characters(exclude_categories=["Cc", "Cs"])).filter(lambda t: not {"'", '"'} <= {*t}),
    st.sampled_from(["interval", "point"]),
)
def test_a_gate_reads_back_what_it_shows(pattern: str, value: float, category: str | None, rule: str) -> None:
    limits = (Limit("max_drop", value), Limit("min_retained", value / 100), Limit("max_kv_bytes", float(int(value))))
    gate = Gate(pattern, limits, category, rule)  # type: ignore[arg-type]
    assert parse_gate(str(gate)) == gate


def test_limits_that_differ_are_shown_differently() -> None:
    assert str(Limit("max_drop", 2.5)) != str(Limit("max_drop", 2.5000001))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("divprune@0.5", "has no colon"),
        ("f(a='x:y')@0.5", "has no colon outside quotes, or an open quote"),
        ("*: max_drop=1, category=Bob's", "an open quote"),
        (": max_drop=2", "names no cells"),
        ("divprune@0.5:", "lacks a condition"),
        ("divprune@0.5: max_drop=2,", "lacks a condition"),
        ("divprune@0.5: category=count", "lacks a condition"),
        (
            "divprune@0.5: max_dorp=2",
            "unknown condition 'max_dorp'; known: max_drop, min_accuracy, min_retained, max_kv",
        ),
        ("divprune@0.5: max_drop", "max_drop needs a number from 0 to 100, not ''"),
        ("divprune@0.5: max_drop=two", "max_drop needs a number from 0 to 100, not 'two'"),
        ("divprune@0.5: max_drop=nan", "max_drop needs a number from 0 to 100, not 'nan'"),
        ("divprune@0.5: max_drop=-1", "max_drop needs a number from 0 to 100, not '-1'"),
        ("divprune@0.5: min_accuracy=101", "min_accuracy needs a number from 0 to 100, not '101'"),
        ("divprune@0.5: min_retained=97", "min_retained needs a share from 0 to 1, not '97'"),
        ("divprune@0.5: max_kv_bytes=1.5TB", "needs a number of bytes, such as 1500000, 1.5MB or 1.5MiB, not '1.5TB'"),
        ("divprune@0.5: max_kv_bytes=-1", "not '-1'"),
        ("divprune@0.5: max_drop=1, max_drop=2", "has max_drop twice"),
        ("divprune@0.5: max_drop=1, rule=point, rule=point", "has rule twice"),
        ("divprune@0.5: max_drop=1, rule=mean", "rule is interval or point, not 'mean'"),
        ("divprune@0.5: max_drop=1, category=", "category needs a name"),
    ],
)
def test_a_malformed_gate_is_refused_with_the_reason_and_the_form(text: str, complaint: str) -> None:
    with pytest.raises(GateError) as caught:
        parse_gate(text)
    message = str(caught.value)
    assert repr(text) in message
    assert complaint in message
    assert "PATTERN: CONDITION" in message


# Matching


@pytest.mark.parametrize(
    ("pattern", "matched"),
    [
        ("divprune@0.5", [HALF]),
        ("divprune@*", [HALF, QUARTER]),
        ("*@0.5", [HALF, HYBRID]),
        ("*", [HALF, QUARTER, HYBRID]),
        ("probes/divprune@0.5", [HALF]),
        ("tiny/probes/divprune@0.5", [HALF]),
        ("other/divprune@0.5", []),
        ("divprune_hybrid(alpha=0.3, mode='a:b')@0.5", [HYBRID]),
        ("Divprune@0.5", []),
        ("stock", []),
    ],
)
def test_a_pattern_matches_variants_datasets_and_ids_but_never_stock(pattern: str, matched: list[Cell]) -> None:
    gate = Gate(pattern, ())
    assert [cell for cell in (STOCK, HALF, QUARTER, HYBRID) if gate.matches(cell)] == matched


def test_a_spec_with_brackets_matches_itself() -> None:
    cell = Cell("tiny", "probes", "mine(layers=[1, 2])", 0.5)
    assert Gate(cell.variant, ()).matches(cell)


def test_gates_that_match_no_cell_are_told() -> None:
    known, unknown, only_stock = (parse_gate(f"{p}: max_drop=1") for p in ("divprune@*", "fps@*", "stock"))
    assert unmatched([known, unknown, only_stock], [STOCK, HALF]) == [unknown, only_stock]


@pytest.mark.parametrize(
    ("category", "taken"),
    [("count", ["count"]), ("c*", ["count", "colour"]), ("*", ["count", "colour", ""]), ("", [""]), ("Count", [])],
)
def test_a_category_may_have_wildcards(category: str, taken: list[str]) -> None:
    gate = Gate("*", (), category)
    assert [name for name in ("count", "colour", "") if gate.takes(name)] == taken


def test_a_gate_whose_category_no_dataset_of_its_cells_has_is_told() -> None:
    other = Cell("tiny", "easyvqa", "divprune", 0.5)
    categories = {"probes": {"count", "digit"}, "easyvqa": {"colour"}}
    texts = ["*: max_drop=1, category=c*", "*: max_drop=1, category=shape", "*: max_drop=1"]
    texts += ["probes/*: max_drop=1, category=colour", "easyvqa/*: max_drop=1, category=colour"]
    gates = [parse_gate(text) for text in texts]
    assert without_category(gates, [STOCK, HALF, other], categories) == [gates[1], gates[3]]


# Files


def test_a_file_has_a_gate_a_line(tmp_path: Path) -> None:
    (tmp_path / "gates.txt").write_text(
        "# of the nightly run\n\n  divprune@0.5: max_drop=2.5   # as published\n*: min_accuracy=80\n"
    )
    gates = read_gates(["fps@*: max_drop=1", "@gates.txt"], tmp_path)
    assert [str(gate) for gate in gates] == ["fps@*: max_drop=1", "divprune@0.5: max_drop=2.5", "*: min_accuracy=80"]
    assert [gate.source for gate in gates] == ["", f"{tmp_path / 'gates.txt'}:3", f"{tmp_path / 'gates.txt'}:4"]


def test_what_is_wrong_in_a_file_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "gates.txt"
    path.write_text("*: max_drop=1\n\n*: max_dorp=1\n")
    with pytest.raises(GateError, match=r"unknown condition 'max_dorp'") as caught:
        read_gates([f"@{path}"], Path())
    assert str(caught.value).startswith(f"{path}:3: gate ")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(GateError, match=r"cannot read the gates in .*absent\.txt \(No such file"):
        read_gates(["@absent.txt"], tmp_path)
    with pytest.raises(GateError, match=r"cannot read the gates in .*bytes\.txt"):
        read_gates(["@bytes.txt"], tmp_path)


# As tests


@pytest.mark.parametrize(("outcome", "status"), [("pass", "passed"), ("fail", "failed"), ("not judged", "skipped")])
@pytest.mark.parametrize("inconclusive", ["skip", "fail", "pass"])
def test_what_is_decided_or_not_judged_counts_the_same_always(outcome: Outcome, status: str, inconclusive: str) -> None:
    assert reported(outcome, inconclusive) == status  # type: ignore[arg-type]


def test_an_inconclusive_gate_counts_as_was_asked_for() -> None:
    assert [reported("inconclusive", how) for how in ("skip", "fail", "pass")] == ["skipped", "failed", "passed"]
