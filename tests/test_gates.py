"""Gates: how they are written, what they match, and what they say."""

from __future__ import annotations

import pytest

from pytest_vtc.cells import CaseError, Cell, SkippedCell
from pytest_vtc.gates import Gate, GateError, Limit, evaluate, parse_gate, unmatched
from pytest_vtc.results import Results, summarize
from tests.run_of import HALF, QUARTER, STOCK, run_of

HYBRID = Cell("tiny", "probes", "divprune_hybrid(alpha=0.3, mode='a:b')", 0.5)


def judged(
    results: Results, *gates: str, complete: bool = True, samples: int | None = None
) -> list[tuple[str, str, str]]:
    """samples: of the sweep, per cell; as many as were selected if not given."""
    sweep = {cell.id: results.expected[cell.id] if samples is None else samples for cell in results.cells}
    verdicts = evaluate([parse_gate(gate) for gate in gates], summarize(results), sweep, complete)
    return [(verdict.name, verdict.outcome, verdict.reason) for verdict in verdicts]


# Writing


@pytest.mark.parametrize(
    ("text", "gate"),
    [
        ("divprune@0.5: max_drop=2.5", Gate("divprune@0.5", (Limit("max_drop", 2.5),))),
        ("  *@0.5:min_accuracy = 90 ", Gate("*@0.5", (Limit("min_accuracy", 90.0),))),
        ("fps@*: max_drop=3, min_accuracy=80", Gate("fps@*", (Limit("max_drop", 3.0), Limit("min_accuracy", 80.0)))),
        ("f(a='x:y', b=1)@0.5: max_drop=0", Gate("f(a='x:y', b=1)@0.5", (Limit("max_drop", 0.0),))),
    ],
)
def test_a_gate_is_read(text: str, gate: Gate) -> None:
    assert parse_gate(text) == gate


def test_a_gate_reads_back_what_it_shows() -> None:
    gate = parse_gate("probes/divprune@0.5:max_drop=2.50,min_accuracy=90")
    assert str(gate) == "probes/divprune@0.5: max_drop=2.5, min_accuracy=90"
    assert parse_gate(str(gate)) == gate


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("divprune@0.5", "has no colon"),
        (": max_drop=2", "names no cells"),
        ("divprune@0.5:", "lacks a condition"),
        ("divprune@0.5: max_drop=2,", "lacks a condition"),
        ("divprune@0.5: max_dorp=2", "unknown condition 'max_dorp'; known: max_drop, min_accuracy"),
        ("divprune@0.5: max_drop", "max_drop needs a number from 0 to 100, not ''"),
        ("divprune@0.5: max_drop=two", "max_drop needs a number from 0 to 100, not 'two'"),
        ("divprune@0.5: max_drop=nan", "max_drop needs a number from 0 to 100, not 'nan'"),
        ("divprune@0.5: max_drop=-1", "max_drop needs a number from 0 to 100, not '-1'"),
        ("divprune@0.5: min_accuracy=101", "min_accuracy needs a number from 0 to 100, not '101'"),
        ("divprune@0.5: max_drop=1, max_drop=2", "has max_drop twice"),
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


# Judging


def test_a_drop_up_to_the_limit_passes_and_a_larger_one_fails() -> None:
    results = run_of({STOCK: [1.0] * 40, HALF: [1.0] * 39 + [0.0], QUARTER: [1.0] * 38 + [0.0] * 2})
    assert judged(results, "divprune@*: max_drop=2.5") == [
        (
            "divprune@0.5 max_drop=2.5",
            "pass",
            "2.50 pp below stock over 40 paired samples; at most 2.5 pp below allowed",
        ),
        (
            "divprune@0.25 max_drop=2.5",
            "fail",
            "5.00 pp below stock over 40 paired samples; at most 2.5 pp below allowed",
        ),
    ]


@pytest.mark.parametrize("n", [200, 600, 1000, 1592])
def test_a_drop_of_exactly_the_limit_passes_whatever_the_rounding(n: int) -> None:
    lost = n // 40
    results = run_of({STOCK: [1.0] * n, HALF: [0.0] * lost + [1.0] * (n - lost)})
    assert judged(results, f"*: max_drop={100 * lost / n!r}")[0][1] == "pass"


def test_a_gain_passes_a_gate_of_no_drop() -> None:
    results = run_of({STOCK: [0.0, 1.0], HALF: [1.0, 1.0]})
    assert judged(results, "*: max_drop=0")[0][1:] == (
        "pass",
        "50.00 pp above stock over 2 paired samples; at most 0 pp below allowed",
    )


@pytest.mark.parametrize(("limit", "outcome"), [(74, "pass"), (75, "pass"), (76, "fail")])
def test_an_accuracy_from_the_limit_on_passes(limit: int, outcome: str) -> None:
    results = run_of({STOCK: [1.0] * 4, HALF: [1.0, 1.0, 1.0, 0.0]})
    assert judged(results, f"divprune@0.5: min_accuracy={limit}") == [
        (
            f"divprune@0.5 min_accuracy={limit}",
            outcome,
            f"accuracy 75.00 % over 4 samples; at least {limit} % asked",
        )
    ]


def test_every_condition_has_a_verdict_of_its_own() -> None:
    results = run_of({STOCK: [1.0] * 4, HALF: [1.0, 1.0, 1.0, 0.0]})
    found = judged(results, "*: max_drop=30, min_accuracy=80")
    assert [(name, outcome) for name, outcome, _ in found] == [
        ("divprune@0.5 max_drop=30", "pass"),
        ("divprune@0.5 min_accuracy=80", "fail"),
    ]


def test_one_limit_asked_for_twice_is_judged_once() -> None:
    results = run_of({STOCK: [1.0] * 4, HALF: [1.0] * 4})
    names = [name for name, _, _ in judged(results, "*: max_drop=1", "divprune@0.5: max_drop=1, min_accuracy=9")]
    assert names == ["divprune@0.5 max_drop=1", "divprune@0.5 min_accuracy=9"]


def test_with_several_datasets_a_verdict_is_named_by_the_whole_id() -> None:
    other = Cell("tiny", "easyvqa", "divprune", 0.5)
    results = run_of({STOCK: [1.0] * 2, HALF: [1.0] * 2, other.stock: [1.0] * 2, other: [1.0] * 2})
    names = [name for name, _, _ in judged(results, "divprune@0.5: max_drop=1")]
    assert names == ["tiny/probes/divprune@0.5 max_drop=1", "tiny/easyvqa/divprune@0.5 max_drop=1"]


def test_a_cell_with_missing_cases_is_not_decided() -> None:
    results = run_of({STOCK: [1.0] * 4, HALF: [0.0] * 3}, expected={HALF: 4})
    for _, outcome, reason in judged(results, "*: max_drop=1, min_accuracy=90"):
        assert (outcome, reason) == ("not decided", "1 of 4 cases are missing")


def test_a_cell_with_failed_cases_is_not_decided_and_says_how_many_failed() -> None:
    errors = [CaseError(HALF, "s003", "no such image")]
    results = run_of({STOCK: [1.0] * 4, HALF: [1.0] * 3}, expected={HALF: 4}, errors=errors)
    assert judged(results, "*: max_drop=1")[0][1:] == (
        "not decided",
        "1 of 4 cases are missing, 1 of them failed with an error",
    )


def test_a_cell_without_all_its_stock_partners_decides_accuracy_but_not_the_drop() -> None:
    results = run_of({STOCK: [1.0] * 3, HALF: [1.0] * 4}, expected={STOCK: 4})
    drop, accuracy = judged(results, "*: max_drop=1, min_accuracy=90")
    assert drop[1:] == ("not decided", "1 of its 4 samples have no stock measurement")
    assert accuracy[1] == "pass"


def test_a_cell_without_any_stock_cell_does_not_decide_the_drop() -> None:
    assert judged(run_of({HALF: [1.0] * 4}), "*: max_drop=1")[0][1:] == (
        "not decided",
        "4 of its 4 samples have no stock measurement",
    )


def test_a_dataset_without_answers_is_not_decided() -> None:
    results = run_of({STOCK: [None] * 2, HALF: [None] * 2})
    assert judged(results, "*: max_drop=1")[0][1:] == ("not decided", "dataset probes has no answers to score by")


def test_an_interrupted_run_decides_nothing() -> None:
    results = run_of({STOCK: [1.0] * 2, HALF: [0.0] * 2})
    assert judged(results, "*: max_drop=1", complete=False)[0][1:] == ("not decided", "the run was interrupted")


def test_a_cell_of_which_nothing_was_selected_is_not_decided() -> None:
    results = run_of({STOCK: [1.0] * 2, HALF: []})
    verdict = judged(results, "*: max_drop=1", samples=2)[0]
    assert verdict[1:] == ("not decided", "only 0 of its 2 cases were selected")


def test_a_cell_of_which_a_part_was_selected_is_not_decided() -> None:
    results = run_of({STOCK: [1.0] * 2, HALF: [1.0] * 2})
    verdict = judged(results, "*: max_drop=1", samples=200)[0]
    assert verdict[1:] == ("not decided", "only 2 of its 200 cases were selected")


def test_a_skipped_cell_is_not_decided_beside_cells_that_are() -> None:
    results = run_of({STOCK: [1.0] * 2, HALF: [1.0] * 2}, skipped=(SkippedCell(QUARTER, "it has no encoder"),))
    gates = [parse_gate("*: max_drop=1, min_accuracy=50")]
    verdicts = evaluate(gates, summarize(results), results.expected, True, skipped=results.skipped)
    assert [(v.name, v.outcome) for v in verdicts] == [
        ("divprune@0.5 max_drop=1", "pass"),
        ("divprune@0.5 min_accuracy=50", "pass"),
        ("divprune@0.25 max_drop=1", "not decided"),
        ("divprune@0.25 min_accuracy=50", "not decided"),
    ]
    assert verdicts[-1].reason == "not run: it has no encoder"


def test_skipped_cells_of_several_models_are_told_apart() -> None:
    skipped = [SkippedCell(Cell(model, "probes", "fps", 0.5), "why") for model in ("a", "b")]
    names = [v.name for v in evaluate([parse_gate("fps@0.5: max_drop=1")], [], {}, True, skipped=skipped)]
    assert names == ["a/probes/fps@0.5 max_drop=1", "b/probes/fps@0.5 max_drop=1"]
