"""What pytest users expect of -k, node ids, -x, --lf and the rest."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.plugin.conftest import RunVtc, n_measured

BROKEN = """
import torch
from pytest_vtc.compression import Compressor

class Flaky(Compressor):
    name = "flaky"
    description = "raises while a file called broken exists"
    def compress(self, features, n_target, **ctx):
        import pathlib
        if pathlib.Path("broken").exists() and float(features[0, 0]) > THRESHOLD:
            raise RuntimeError("no luck with this image")
        return torch.arange(n_target)
"""


def test_each_sample_in_each_cell_is_an_item_and_order_is_sample_major(run_vtc: RunVtc) -> None:
    result = run_vtc("--collect-only", "-q", "--vtc-n=2")
    ids = [line for line in result.outlines if "::" in line]
    assert [re.sub(r".*\[(.*)\]", r"\1", i) for i in ids] == [
        f"tiny-gemma4/probes/{variant}/{sample}"
        for sample in dict.fromkeys(i.rsplit("/", 1)[1].rstrip("]") for i in ids)
        for variant in ("stock", "divprune@0.5", "identity@0.5")
    ]
    assert len(ids) == 6


def test_k_filters_and_the_stock_partner_comes_along(run_vtc: RunVtc, results: Any) -> None:
    result = run_vtc("-k", "divprune")
    result.stdout.fnmatch_lines(["*4 stock partners come along with the selected cases*"])
    assert n_measured(result) == 4
    by_variant = {cell["variant"]: cell for cell in results()["cells"]}
    assert list(by_variant) == ["stock", "divprune@0.5"]
    assert by_variant["stock"]["n_measured"] == by_variant["divprune@0.5"]["versus_stock"]["n"] == 4


def test_k_understands_and_not(run_vtc: RunVtc) -> None:
    result = run_vtc(
        "--collect-only", "-q", "--vtc-compressors=divprune,divprune_hybrid", "-k", "divprune and not hybrid"
    )
    assert [line for line in result.outlines if "hybrid" in line and "::" in line] == []
    assert sum("::" in line for line in result.outlines) == 4


def test_m_selects_by_the_marks_of_the_test_function(pytester: pytest.Pytester, run_vtc: RunVtc) -> None:
    pytester.makepyfile(
        test_accuracy="import pytest\n@pytest.mark.sweep\ndef test_accuracy(vtc_case):\n    vtc_case.measure()\n"
        "def test_other(): pass\n"
    )
    pytester.makeini("[pytest]\nmarkers = sweep\n")
    result = run_vtc("-m", "not sweep")
    result.assert_outcomes(passed=1, deselected=12)


def test_a_node_id_addresses_one_case(run_vtc: RunVtc, results: Any) -> None:
    listed = run_vtc("--collect-only", "-q")
    node = next(line for line in listed.outlines if "identity@0.5" in line)
    result = run_vtc(node)
    assert n_measured(result) == 1
    assert {cell["variant"]: cell["n_measured"] for cell in results()["cells"]} == {"stock": 1, "identity@0.5": 1}


@pytest.mark.parametrize(
    "args", [("--vtc-ratios", "0.5", "0.25", "test_accuracy.py"), ("test_accuracy.py", "--vtc-ratios", "0.5", "0.25")]
)
def test_lists_stand_before_or_after_the_path(run_vtc: RunVtc, args: tuple[str, ...]) -> None:
    result = run_vtc("--collect-only", "-q", *args)
    assert sum("::" in line for line in result.outlines) == 4 * 5


def test_lists_work_in_addopts_of_the_environment(run_vtc: RunVtc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", "--vtc-ratios 0.5 0.25 0.125")
    result = run_vtc("--collect-only", "-q", "test_accuracy.py", "--vtc-data=probes", "--vtc-n=4", defaults=False)
    assert sum("identity@" in line for line in result.outlines) == 4 * 3


def test_ini_settings_apply_and_the_command_line_wins(pytester: pytest.Pytester, run_vtc: RunVtc) -> None:
    pytester.makeini(
        "[pytest]\nvtc_data = probes\nvtc_n = 3\nvtc_compressors = fps identity\nvtc_ratios = 0.5,0.25\nvtc_seed = 5\n"
    )
    result = run_vtc("--collect-only", "--vtc-ratios", "0.125", defaults=False)
    result.stdout.fnmatch_lines(["*compressors fps, identity; ratios 0.125; seed 5"])
    result.stdout.fnmatch_lines(["collected 9 items"])


def test_an_experiment_file_applies_and_the_command_line_wins(pytester: pytest.Pytester, run_vtc: RunVtc) -> None:
    pytester.makefile(
        ".json", experiment='{"data": "probes", "compressors": ["fps"], "ratios": [0.5, 0.25], "n_samples": 3}'
    )
    result = run_vtc("--collect-only", "--vtc-config=experiment.json", "--vtc-n=2", defaults=False)
    result.stdout.fnmatch_lines(["collected 6 items"])


def test_wrong_answers_do_not_fail(run_vtc: RunVtc) -> None:
    result = run_vtc("--vtc-compressors=identity", "--vtc-ratios=0.05", "--vtc-n=12")
    assert result.ret == 0
    assert result.parseoutcomes()["wrong"] > 0


def _flaky(pytester: pytest.Pytester, threshold: float = -1e9) -> None:
    pytester.makepyfile(flaky=BROKEN.replace("THRESHOLD", str(threshold)))
    (pytester.path / "broken").touch()


def test_lf_runs_again_exactly_what_failed(pytester: pytest.Pytester, run_vtc: RunVtc) -> None:
    _flaky(pytester)
    first = run_vtc("--vtc-compressors=identity,./flaky.py")
    assert first.ret == 1
    assert first.parseoutcomes()["failed"] == 4
    (pytester.path / "broken").unlink()
    again = run_vtc("--vtc-compressors=identity,./flaky.py", "--lf")
    assert again.ret == 0
    assert n_measured(again) == 4


def test_x_stops_at_the_first_error_and_judges_no_gate(pytester: pytest.Pytester, run_vtc: RunVtc) -> None:
    _flaky(pytester)
    result = run_vtc("--vtc-compressors=identity,./flaky.py", "-x", "--vtc-gate=identity@0.5: max_drop=100")
    assert result.parseoutcomes()["failed"] == 1
    assert result.parseoutcomes()["skipped"] == 1
    result.stdout.fnmatch_lines(["*NOT JUDGED*the run was interrupted*"])


def test_an_error_is_one_line_that_names_case_and_cause(pytester: pytest.Pytester, run_vtc: RunVtc) -> None:
    _flaky(pytester)
    result = run_vtc("--vtc-compressors=./flaky.py", "--vtc-n=1")
    result.stdout.fnmatch_lines(
        ["tiny-gemma4/probes/flaky@0.5/*: compressor flaky raised RuntimeError: no luck with this image*"]
    )
    assert "engine.py" not in result.stdout.str()


def test_cases_with_an_error_are_missing_from_the_table(
    pytester: pytest.Pytester, run_vtc: RunVtc, results: Any
) -> None:
    _flaky(pytester)
    run_vtc("--vtc-compressors=./flaky.py").stdout.fnmatch_lines(["*Missing*", "flaky*4"])
    cell = results()["cells"][1]
    assert (cell["n_expected"], cell["n_measured"], cell["n_errors"]) == (4, 0, 4)


def test_junitxml_lists_every_case(pytester: pytest.Pytester, run_vtc: RunVtc) -> None:
    run_vtc("--junitxml=junit.xml")
    text = (pytester.path / "junit.xml").read_text()
    assert len(re.findall(r'<testcase [^>]*name="test_accuracy\[tiny-gemma4/probes/', text)) == 12
    assert 'failures="0"' in text


def test_verbose_says_the_outcome_of_each_case(run_vtc: RunVtc) -> None:
    result = run_vtc("-v", "--vtc-n=1", "--vtc-compressors=identity")
    result.stdout.re_match_lines([r".*\[tiny-gemma4/probes/stock/.*\] (CORRECT|WRONG)"])


def test_quiet_prints_no_live_line(run_vtc: RunVtc) -> None:
    assert "cases/s" not in run_vtc("-q").stdout.str()


def test_a_run_prints_its_progress(run_vtc: RunVtc) -> None:
    run_vtc().stdout.re_match_lines([r"12/12  100 %.*accuracy \d+\.\d %"])


def test_other_fixtures_and_classes_work_beside_vtc_case(pytester: pytest.Pytester, run_vtc: RunVtc) -> None:
    pytester.makepyfile(
        test_accuracy="""
        class TestSweep:
            factor = 2
            def test_it(self, tmp_path, vtc_case):
                assert tmp_path.is_dir() and self.factor == 2
                measured = vtc_case.measure()
                assert measured.generation.n_kept <= measured.generation.n_tokens == 64
                assert vtc_case.sample.id == measured.sample and vtc_case.cell == measured.cell
        """
    )
    assert run_vtc().ret == 0


def test_a_failed_assertion_of_the_test_itself_keeps_the_measurement(
    pytester: pytest.Pytester, run_vtc: RunVtc, results: Any
) -> None:
    pytester.makepyfile(test_accuracy="def test_accuracy(vtc_case):\n    assert vtc_case.measure() is None\n")
    result = run_vtc()
    assert result.parseoutcomes()["failed"] == 12
    assert [cell["n_measured"] for cell in results()["cells"]] == [4, 4, 4]


def test_vtc_model_is_the_loaded_model(pytester: pytest.Pytester, run_vtc: RunVtc) -> None:
    pytester.makepyfile(
        test_accuracy="""
        def test_accuracy(vtc_case):
            vtc_case.measure()
        def test_model(vtc_model):
            assert type(vtc_model.model).__name__ == "Gemma4ForConditionalGeneration"
        """
    )
    assert run_vtc("--vtc-n=1").parseoutcomes()["passed"] == 1


def test_parametrize_beside_vtc_case_is_refused(pytester: pytest.Pytester, run_vtc: RunVtc) -> None:
    pytester.makepyfile(
        test_accuracy="""
        import pytest
        @pytest.mark.parametrize("x", [1])
        def test_accuracy(vtc_case, x):
            vtc_case.measure()
        """
    )
    run_vtc().stdout.fnmatch_lines(["*test_accuracy takes vtc_case and is parametrized*"])
