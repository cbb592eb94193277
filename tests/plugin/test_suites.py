"""Suites of every shape: what else is in them must neither break the plugin nor be broken by it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.plugin.conftest import SUITE, RunVtc, n_measured


def test_objects_that_answer_any_attribute_do_not_disturb_collection(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        from unittest.mock import call

        class Unbound:
            def __getattr__(self, name):
                raise RuntimeError("working outside of a request")

        request = Unbound()

        def test_it():
            assert call is not None
        """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_items_of_others_may_have_a_case_too(pytester: pytest.Pytester, run_vtc: RunVtc) -> None:
    pytester.makeconftest(
        """
        import pytest

        class Yaml(pytest.Item):
            case = "one"
            def runtest(self): pass

        class File(pytest.File):
            def collect(self):
                yield Yaml.from_parent(self, name="one")

        def pytest_collect_file(file_path, parent):
            if file_path.suffix == ".yaml":
                return File.from_parent(parent, path=file_path)
        """
    )
    (pytester.path / "test_one.yaml").touch()
    result = run_vtc("--vtc-n=1")
    assert result.parseoutcomes()["passed"] == 1
    assert n_measured(result) == 3


def test_two_test_functions_measure_the_same_cases_once(
    pytester: pytest.Pytester, run_vtc: RunVtc, results: Any
) -> None:
    pytester.makepyfile(test_accuracy=SUITE + SUITE.replace("test_accuracy", "test_again"))
    result = run_vtc("--vtc-gate=*@0.5: max_drop=100", "--vtc-fresh")
    assert n_measured(result) == 24
    assert result.parseoutcomes()["passed"] == 2
    assert [(c["n_expected"], c["n_measured"], c["run"]["n_cached"]) for c in results()["cells"]] == [(4, 4, 0)] * 3


def test_methods_share_their_instance_with_setup_and_fixtures(pytester: pytest.Pytester, run_vtc: RunVtc) -> None:
    pytester.makepyfile(
        test_accuracy="""
        import pytest

        class TestSweep:
            def setup_method(self):
                self.x = 1

            @pytest.fixture(autouse=True)
            def prepare(self):
                self.y = 2

            def test_it(self, vtc_case):
                assert (self.x, self.y) == (1, 2)
                vtc_case.measure()
        """
    )
    assert n_measured(run_vtc("--vtc-n=1")) == 3


def test_vtc_case_behind_another_fixture_is_refused_clearly(pytester: pytest.Pytester, run_vtc: RunVtc) -> None:
    pytester.makepyfile(
        test_accuracy="""
        import pytest

        @pytest.fixture
        def measured(vtc_case):
            return vtc_case.measure()

        def test_it(measured): pass
        """
    )
    result = run_vtc()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*vtc_case must be an argument of the test function itself*"])


def test_a_decorated_test_function_is_a_sweep(pytester: pytest.Pytester, run_vtc: RunVtc) -> None:
    pytester.makepyfile(
        test_accuracy="""
        import functools

        def logged(function):
            @functools.wraps(function)
            def wrapper(*args, **kwargs):
                return function(*args, **kwargs)
            return wrapper

        @logged
        def test_it(vtc_case):
            vtc_case.measure()
        """
    )
    assert n_measured(run_vtc("--vtc-n=1")) == 3


def test_vtc_model_alone_loads_the_model(pytester: pytest.Pytester, run_vtc: RunVtc) -> None:
    pytester.makepyfile(test_accuracy="def test_it(vtc_model):\n    assert vtc_model.image_token_id > 0\n")
    run_vtc().assert_outcomes(passed=1)


def test_a_bad_option_with_vtc_model_alone_is_one_line(pytester: pytest.Pytester, run_vtc: RunVtc) -> None:
    pytester.makepyfile(test_accuracy="def test_it(vtc_model): pass\n")
    result = run_vtc("--vtc-compressors=divprun")
    result.stdout.fnmatch_lines(["vtc: unknown compressor 'divprun'*"])
    assert "Traceback" not in result.stdout.str()


def test_a_bad_ini_value_is_named(pytester: pytest.Pytester, run_vtc: RunVtc) -> None:
    pytester.makeini("[pytest]\nvtc_seed = abc\n")
    result = run_vtc()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*ini setting vtc_seed*"])


def test_a_node_id_does_not_hide_what_is_wrong_with_the_sweep(run_vtc: RunVtc) -> None:
    result = run_vtc("test_accuracy.py::test_accuracy[tiny-gemma4/probes/stock/x]", "--vtc-ratios=2")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--vtc-ratios: 2 is outside (0, 1]*"])


def test_the_order_in_which_items_run_changes_no_result(
    pytester: pytest.Pytester, run_vtc: RunVtc, results: Any, samples: Any
) -> None:
    from pytest_vtc.report.json_report import comparable

    run_vtc("--vtc-n=8", "--vtc-output=ordered")
    pytester.makeconftest(
        "import random\n"
        "def pytest_collection_modifyitems(items):\n"
        "    random.Random(0).shuffle(items)\n"
        "def pytest_sessionfinish(session):\n"
        "    from pytest_vtc.plugin import STATE\n"
        "    print('WINDOWS', session.config.stash[STATE].bench.windows)\n"
    )
    shuffled = run_vtc("--vtc-n=8", "--vtc-output=shuffled", "-s")
    shuffled.stdout.fnmatch_lines(["*WINDOWS 1*"])
    assert comparable(results("shuffled")["cells"]) == comparable(results("ordered")["cells"])
    assert comparable(samples("shuffled")) == comparable(samples("ordered"))


def test_a_prompt_the_model_cannot_take_fails_its_own_cases_only(run_vtc: RunVtc, manifest: Path, results: Any) -> None:
    manifest.write_text(manifest.read_text().replace("how many digits are there ?", "what is <|image|> ?", 1))
    result = run_vtc(f"--vtc-data={manifest}", "--vtc-n=all")
    assert result.parseoutcomes()["failed"] == 3
    assert [cell["n_measured"] for cell in results()["cells"]] == [1, 1, 1]


def test_a_measured_case_is_kept_if_its_stock_partner_fails(
    run_vtc: RunVtc, results: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pytest_vtc.models.backend import Backend

    generate = Backend.generate

    def fails_on_stock(self: Backend, rows: Any, limit: int, with_logits: bool = False, **options: Any) -> Any:
        if not with_logits and any(len(features) == 64 for row in rows for features in row.features) and limit == 7:
            raise RuntimeError("does not fit")
        return generate(self, rows, limit, with_logits, **options)

    monkeypatch.setattr(Backend, "generate", fails_on_stock)
    result = run_vtc("-k", "identity", "--vtc-max-new-tokens=7")
    assert result.parseoutcomes()["failed"] == 4
    stock, identity = results()["cells"]
    assert (stock["n_measured"], stock["n_errors"], identity["n_measured"], identity["n_errors"]) == (0, 4, 4, 0)


def test_a_failing_assertion_is_shown_without_what_called_the_test(run_vtc: RunVtc, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_accuracy="def test_it(vtc_case):\n    found = vtc_case.measure()\n    assert found is None\n"
    )
    result = run_vtc("-k", "stock")
    assert result.parseoutcomes()["failed"] == 4
    result.stdout.fnmatch_lines([">       assert found is None", "test_accuracy.py:3: AssertionError"])
    assert "def from_call" not in result.stdout.str()
    assert "def _multicall" not in result.stdout.str()


def test_a_finished_run_leaves_its_store_in_one_file(run_vtc: RunVtc, pytester: pytest.Pytester) -> None:
    run_vtc()
    files = sorted(path.name for path in (pytester.path / "vtc-results").iterdir())
    assert files == ["measurements.sqlite", "results.json", "samples.jsonl"]


def test_a_gate_on_what_was_not_selected_is_not_judged(run_vtc: RunVtc) -> None:
    result = run_vtc("--vtc-gate=divprune@0.5: max_drop=100", "-k", "identity")
    assert result.parseoutcomes()["skipped"] == 1
    result.stdout.fnmatch_lines(["NOT JUDGED*only 0 of its 4 cases were selected"])


def test_results_are_written_without_the_terminal_plugin(run_vtc: RunVtc, results: Any) -> None:
    assert run_vtc("-p", "no:terminal").ret == 0
    assert results()["cells"][0]["n_measured"] == 4


def test_ratios_that_look_alike_are_one(run_vtc: RunVtc, results: Any) -> None:
    run_vtc("--vtc-ratios=0.33333333,0.33333334", "--vtc-compressors=identity")
    assert [cell["variant"] for cell in results()["cells"]] == ["stock", "identity@0.333333"]


def test_a_damaged_entry_of_the_store_ends_the_run_with_the_way_out(pytester: pytest.Pytester, run_vtc: RunVtc) -> None:
    import sqlite3

    run_vtc()
    with sqlite3.connect(pytester.path / "vtc-results" / "measurements.sqlite") as store:
        store.execute("UPDATE generation SET payload = '{'")
    result = run_vtc()
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*measurements.sqlite*delete it*"])
    assert result.parseoutcomes().get("failed", 0) == 0


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_on_a_terminal_the_live_line_is_rewritten_in_place(tmp_path: Path) -> None:
    import pty

    (tmp_path / "test_accuracy.py").write_text(SUITE)
    ours, theirs = pty.openpty()
    options = ["--vtc-data=probes", "--vtc-n=4", "--vtc-compressors=identity", "--vtc-ratios=0.5"]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "test_accuracy.py", *options]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        shown += part
    assert process.wait() == 0
    assert b"\r8/8  100 %" in shown
    assert b"[  0%]" not in shown


@pytest.mark.slow
def test_under_workers_a_store_that_cannot_be_opened_is_named(pytester: pytest.Pytester, run_vtc: RunVtc) -> None:
    (pytester.path / "taken").write_text("a file")
    result = run_vtc("--vtc-output=taken/results", "-n2", subprocess=True)
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*vtc: cannot make the output folder taken/results*"])
    assert "INTERNALERROR" not in result.stdout.str()
