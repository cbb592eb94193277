"""--vtc-sequential: cells end once their gates are decided, with the same verdicts however the run is split up."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pytest_vtc.report.json_report import SCHEMA, comparable
from tests.plugin.conftest import SUITE, RunVtc, n_measured

BROKEN = """
import torch
from pytest_vtc.compression import Compressor, Kept

class Broken(Compressor):
    name = "broken"
    description = "makes blank tokens"
    def compress(self, features, n_target, **ctx):
        return Kept(torch.zeros(n_target, features.shape[1]), torch.arange(n_target))
"""
RUN = ("--vtc-sequential", "--vtc-compressors=./broken.py,divprune", "--vtc-n=80")
GATE = "--vtc-gate=broken@0.5: max_drop=5"


@pytest.fixture(autouse=True)
def broken(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(broken=BROKEN)


def by_variant(document: dict[str, Any]) -> dict[str, Any]:
    return {cell["variant"]: cell for cell in document["cells"]}


def test_a_broken_compressor_fails_its_gate_early_and_the_rest_of_its_cases_is_deselected(
    run_vtc: RunVtc, results: Any
) -> None:
    result = run_vtc(*RUN, GATE)
    assert result.ret == 1
    outcomes = result.parseoutcomes()
    assert outcomes["failed"] == 1
    cell = by_variant(results())["broken@0.5"]
    n = cell["n_measured"]
    assert n == cell["sequential"]["n_samples"] < 60
    assert n_measured(result) + outcomes["deselected"] == 3 * 80
    assert outcomes["deselected"] == 80 - n
    result.stdout.fnmatch_lines(
        [
            f"Ended as their gates were decided: broken@0.5 after {n} of 80 samples",
            f"FAIL  broken@0.5 max_drop=5: *on {n} samples*",
            f"sequential: 1 gate decided after {n} of 80 samples; {80 - n} of 240 cases not run (*",
        ]
    )
    jsonschema.validate(results(), json.loads(SCHEMA.read_text()))


def test_the_interval_of_a_cell_that_ended_early_is_the_anytime_valid_one(run_vtc: RunVtc, results: Any) -> None:
    result = run_vtc(*RUN, GATE)
    cells = by_variant(results())
    broken = cells["broken@0.5"]
    assert broken["versus_stock"]["difference_pp"]["anytime"]
    assert broken["versus_stock"]["difference_pp"]["high"] < -5
    assert broken["accuracy"]["anytime"]
    assert broken["versus_stock"]["p"] <= 0.05
    assert (broken["versus_stock"]["bootstrap_pp"], broken["versus_stock"]["p_mcnemar"]) == (None, None)
    (verdict,) = results()["gates"]["verdicts"]
    assert (verdict["low"], verdict["high"]) == (
        -broken["versus_stock"]["difference_pp"]["high"],
        -broken["versus_stock"]["difference_pp"]["low"],
    )
    result.stdout.fnmatch_lines(["broken * 0.5 *{-*}*", "{ }: *"])
    # Of the others every figure is for the one look at the end.
    assert not cells["divprune@0.5"]["versus_stock"]["difference_pp"]["anytime"]
    assert cells["divprune@0.5"]["sequential"] is None
    assert cells["divprune@0.5"]["n_measured"] == cells["stock"]["n_measured"] == 80


@pytest.mark.slow
def test_two_workers_come_to_the_same_results(run_vtc: RunVtc, results: Any, samples: Any) -> None:
    gates = (GATE, "--vtc-gate=*: min_accuracy=50")
    run_vtc(*RUN, *gates, "--vtc-output=one")
    result = run_vtc(*RUN, *gates, "--vtc-output=two", "-n2", subprocess=True)
    assert result.ret == 1
    assert result.parseoutcomes()["deselected"] > 0
    one, two = comparable(results("one")), comparable(results("two"))
    one["manifest"]["settings"].pop("output", None)
    two["manifest"]["settings"].pop("output", None)
    assert one == two
    assert [comparable(line) for line in samples("one")] == [comparable(line) for line in samples("two")]


def test_when_every_cell_is_decided_the_run_ends_with_stock(run_vtc: RunVtc, results: Any) -> None:
    result = run_vtc(*RUN, GATE, "--vtc-gate=divprune@0.5: min_accuracy=50")
    cells = by_variant(results())
    ends = [cells[name]["n_measured"] for name in ("broken@0.5", "divprune@0.5")]
    assert cells["stock"]["n_measured"] == max(ends) < 80
    assert cells["stock"]["accuracy"]["anytime"]
    assert result.parseoutcomes()["deselected"] == 240 - sum(ends) - max(ends)


def test_a_gate_that_no_image_decides_is_inconclusive_by_the_anytime_interval(run_vtc: RunVtc, results: Any) -> None:
    run = run_vtc("--vtc-sequential", "--vtc-n=24", "--vtc-gate=divprune@0.5: max_drop=5")
    assert run.ret == 0
    assert run.parseoutcomes()["skipped"] == 1
    assert "deselected" not in run.parseoutcomes()
    (verdict,) = results()["gates"]["verdicts"]
    assert verdict["outcome"] == "inconclusive"
    assert verdict["n_needed"] > 24
    cell = by_variant(results())["divprune@0.5"]
    assert cell["versus_stock"]["difference_pp"]["anytime"]
    assert cell["sequential"] == {"n_samples": 24, "of_samples": 24, "n_groups": 7, "of_groups": 7, "decided": False}


def test_images_run_in_a_random_order_that_the_store_does_not_know(run_vtc: RunVtc, samples: Any, results: Any) -> None:
    run_vtc("--vtc-n=40")
    plain, fingerprint = samples(), results()["manifest"]["datasets"]["probes"]["fingerprint"]
    run_vtc("--vtc-n=40", "--vtc-sequential", "--vtc-gate=*: max_drop=0.1")
    sequential = samples()
    order = list(dict.fromkeys(line["sample"] for line in sequential))
    assert order != list(dict.fromkeys(line["sample"] for line in plain))
    assert all(line["run"]["cached"] for line in sequential)
    groups = [line["group"] for line in sequential]
    assert len({*groups}) == 1 + sum(a != b for a, b in itertools.pairwise(groups))
    assert results()["manifest"]["datasets"]["probes"]["fingerprint"] == fingerprint


def test_a_cell_with_a_gate_on_a_category_runs_to_its_end_and_is_judged_there(run_vtc: RunVtc, results: Any) -> None:
    result = run_vtc(*RUN, GATE, "--vtc-gate=broken@0.5: min_accuracy=1, category=digit*", "--vtc-gate=d*: max_drop=90")
    cells = by_variant(results())
    assert cells["broken@0.5"]["n_measured"] == 80
    assert cells["broken@0.5"]["sequential"] is None
    assert cells["divprune@0.5"]["n_measured"] < 80
    assert result.ret == 1


def test_of_a_cell_that_is_not_selected_whole_nothing_is_judged_or_dropped(run_vtc: RunVtc, results: Any) -> None:
    result = run_vtc(*RUN, GATE, "-k", "broken and 00")
    assert results()["gates"]["verdicts"][0]["outcome"] == "not judged"
    assert by_variant(results())["broken@0.5"]["sequential"] is None
    result.stdout.fnmatch_lines(["sequential: no cell that may end early was selected whole"])


def test_a_case_that_fails_leaves_its_cell_unjudged_and_the_others_as_they_are(
    pytester: pytest.Pytester, run_vtc: RunVtc, results: Any
) -> None:
    pytester.makepyfile(
        failing=BROKEN.replace("broken", "failing").replace(
            "return Kept", "if ctx['image_id'] if 'image_id' in ctx else True: raise RuntimeError('no'); return Kept"
        )
    )
    run_vtc("--vtc-sequential", "--vtc-compressors=./failing.py,./broken.py", "--vtc-n=60", "--vtc-gate=*: max_drop=5")
    verdicts = {v["cell"].split("/")[-1]: v["outcome"] for v in results()["gates"]["verdicts"]}
    assert verdicts == {"failing@0.5": "not judged", "broken@0.5": "fail"}


@pytest.mark.slow
def test_fixtures_of_modules_are_torn_down_where_their_last_cases_are_left_out(
    pytester: pytest.Pytester, run_vtc: RunVtc
) -> None:
    module = """
    import pytest
    @pytest.fixture(scope="module")
    def opened():
        with open("trace.txt", "a") as file: file.write("{name} opened\\n")
        yield
        with open("trace.txt", "a") as file: file.write("{name} closed\\n")
    def test_accuracy(vtc_case, opened):
        vtc_case.measure()
    def test_last(opened):
        pass
    """
    (pytester.path / "test_accuracy.py").unlink()
    pytester.makepyfile(test_a=module.format(name="a"), test_b=module.format(name="b"))
    result = run_vtc(*RUN, GATE, "--vtc-gate=divprune@0.5: min_accuracy=50")
    outcomes = result.parseoutcomes()
    assert "errors" not in outcomes
    assert outcomes["passed"] == 3  # two tests of others, and one gate
    trace = Path(pytester.path / "trace.txt").read_text().splitlines()
    assert trace == ["a opened", "a closed", "b opened", "b closed"]


@pytest.mark.slow
def test_what_was_decided_before_an_interrupt_is_not_judged(
    pytester: pytest.Pytester, run_vtc: RunVtc, results: Any
) -> None:
    pytester.makeconftest(
        """
        seen = []
        def pytest_runtest_logreport(report):
            seen.append(report)
            if len(seen) == 3 * 150:
                raise KeyboardInterrupt
        """
    )
    result = run_vtc(*RUN, GATE, subprocess=True)
    result.stdout.fnmatch_lines(["*Interrupted*"])
    assert by_variant(results())["broken@0.5"]["sequential"]["decided"]
    assert [verdict["outcome"] for verdict in results()["gates"]["verdicts"]] == ["not judged"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "*--vtc-sequential needs a gate to decide*"),
        ([GATE, "--vtc-shard=1/2"], "*--vtc-sequential cannot be had with --vtc-shard*"),
        ([GATE, "--vtc-baseline=before"], "*--vtc-sequential cannot be had with --vtc-baseline*"),
        (["--vtc-gate=broken@0.5: max_drop=5, rule=point"], "*no cell here can end early*"),
    ],
)
def test_a_run_that_cannot_end_early_is_refused(run_vtc: RunVtc, args: list[str], message: str) -> None:
    result = run_vtc(*RUN, *args)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])


@pytest.mark.slow
def test_it_may_stand_in_the_ini_file_and_in_an_experiment_file(pytester: pytest.Pytester, run_vtc: RunVtc) -> None:
    pytester.makeini("[pytest]\nvtc_sequential = true\n")
    arguments = (*RUN[1:], "--vtc-n=60", GATE)
    assert run_vtc(*arguments).parseoutcomes()["deselected"] > 0
    (pytester.path / "off.json").write_text(json.dumps({"sequential": False}))
    assert "deselected" not in run_vtc(*arguments, "--vtc-config=off.json").parseoutcomes()


def test_other_tests_of_a_session_are_left_alone(pytester: pytest.Pytester, run_vtc: RunVtc) -> None:
    pytester.makepyfile(test_accuracy=SUITE + "\ndef test_of_others():\n    pass\n")
    result = run_vtc(*RUN, GATE)
    assert result.parseoutcomes()["passed"] == 1
