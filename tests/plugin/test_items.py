"""Cases as test items: what pytest, its plugins and a suite's conftest may do with any item, they may do with these."""

from __future__ import annotations

import re

import pytest

from tests.plugin.conftest import SUITE, RunVtc, n_measured

OTHERS = SUITE + "def test_other():\n    print('said by another')\n"


def test_the_id_of_an_item_is_the_one_read_back_from_its_text(pytester: pytest.Pytester, run_vtc: RunVtc) -> None:
    pytester.makeconftest(
        """
        def pytest_collection_modifyitems(items):
            for item in items:
                assert item.nodeid == f"test_accuracy.py::{item.name}" and item.name == f"test_accuracy[{item.case.id}]"
                if hasattr(item, "id"):
                    assert item.id == type(item.id).parse(item.nodeid) and str(item.id) == item.nodeid
        """
    )
    assert run_vtc("--collect-only").ret == 0


def test_add_marker_reaches_one_item_only(pytester: pytest.Pytester, run_vtc: RunVtc) -> None:
    pytester.makeconftest(
        """
        import pytest

        def pytest_collection_modifyitems(items):
            items[1].add_marker(pytest.mark.skip(reason="not this one"))
            items[2].add_marker("slow_one")
            assert [item.get_closest_marker("slow_one") is not None for item in items[:4]] == [0, 0, 1, 0]
            assert "slow_one" in items[2].keywords and "slow_one" not in items[3].keywords
        """
    )
    result = run_vtc("-W", "ignore")
    assert (result.parseoutcomes()["skipped"], n_measured(result)) == (1, 11)


def test_k_finds_what_a_conftest_added_to_an_item(pytester: pytest.Pytester, run_vtc: RunVtc) -> None:
    pytester.makeconftest(
        """
        import pytest

        @pytest.hookimpl(tryfirst=True)
        def pytest_collection_modifyitems(items):
            items[3].extra_keyword_matches.add("favourite")
        """
    )
    run_vtc("--collect-only", "-k", "favourite").stdout.fnmatch_lines(["*1/12 tests collected (11 deselected)*"])


def test_marks_of_function_class_and_module_are_found_on_items(pytester: pytest.Pytester, run_vtc: RunVtc) -> None:
    pytester.makepyfile(
        test_accuracy="""
        import pytest

        pytestmark = pytest.mark.of_module

        @pytest.mark.of_class
        class TestSweep:
            @pytest.mark.of_function(1)
            def test_it(self, vtc_case): pass
        """
    )
    pytester.makeini("[pytest]\nmarkers =\n  of_module\n  of_class\n  of_function\n")
    expression = "of_module and of_class and of_function"
    run_vtc("--collect-only", "-m", expression).stdout.fnmatch_lines(["*12 tests collected*"])


def test_a_conftest_may_rename_items(pytester: pytest.Pytester, run_vtc: RunVtc) -> None:
    pytester.makeconftest(
        """
        def pytest_collection_modifyitems(items):
            for number, item in enumerate(items):
                item.name = f"case {number}"
        """
    )
    run_vtc("--collect-only").stdout.fnmatch_lines(["*<CaseItem case 0>*"])


def test_ff_runs_first_what_failed(pytester: pytest.Pytester, run_vtc: RunVtc) -> None:
    pytester.makepyfile(
        test_accuracy="def test_accuracy(vtc_case):\n    assert vtc_case.cell.compressor != 'identity'\n"
    )
    assert run_vtc().parseoutcomes()["failed"] == 4
    again = run_vtc("--ff", "--collect-only", "-q")
    ids = [line for line in again.outlines if "::" in line]
    assert ["identity" in line for line in ids] == [True] * 4 + [False] * 8


def test_an_item_that_has_run_is_as_small_as_before(pytester: pytest.Pytester, run_vtc: RunVtc) -> None:
    pytester.makeconftest(
        """
        import pytest

        @pytest.hookimpl(trylast=True)
        def pytest_sessionfinish(session):
            print("LEFT", sorted({name for item in session.items for name in vars(item)}))
        """
    )
    run_vtc("-s").stdout.fnmatch_lines(["*LEFT []*"])


def test_what_a_conftest_put_on_an_item_stays_on_it(pytester: pytest.Pytester, run_vtc: RunVtc) -> None:
    pytester.makeconftest(
        """
        import pytest

        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_makereport(item, call):
            report = yield
            setattr(item, "rep_" + report.when, report)
            return report

        def pytest_sessionfinish(session):
            print("SEEN", sum(item.rep_call.passed for item in session.items))
        """
    )
    run_vtc("-s").stdout.fnmatch_lines(["*SEEN 12*"])


def test_a_report_that_a_conftest_added_to_is_kept_whole(pytester: pytest.Pytester, run_vtc: RunVtc) -> None:
    pytester.makeconftest(
        """
        import pytest

        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_makereport(item, call):
            report = yield
            report.note = "mine"
            return report

        def pytest_terminal_summary(terminalreporter):
            stats = terminalreporter.stats
            print("NOTES", sum(r.note == "mine" for r in [*stats.get("correct", []), *stats.get("wrong", [])]))
        """
    )
    run_vtc("-s").stdout.fnmatch_lines(["*NOTES 12*"])


def test_the_reports_kept_of_cases_still_say_which_and_how_long(pytester: pytest.Pytester, run_vtc: RunVtc) -> None:
    pytester.makeconftest(
        """
        import pytest

        def pytest_terminal_summary(terminalreporter):
            kept = [*terminalreporter.stats.get("correct", []), *terminalreporter.stats.get("wrong", [])]
            assert all(isinstance(r, pytest.TestReport) and r.passed and r.when == "call" for r in kept)
            assert all(r.nodeid == f"test_accuracy.py::{r.location[2]}" and r.duration > 0 for r in kept)
            assert {r.location[:2] for r in kept} == {("test_accuracy.py", 0)}
            print("KEPT", len(kept), {type(r).__name__ for r in kept})
        """
    )
    run_vtc("-s").stdout.fnmatch_lines(["*KEPT 12 {'KeptReport'}*"])


def test_reports_of_other_tests_are_left_alone(pytester: pytest.Pytester, run_vtc: RunVtc) -> None:
    pytester.makepyfile(test_accuracy=OTHERS)
    result = run_vtc("-rA")
    result.stdout.fnmatch_lines(["*said by another*", "PASSED test_accuracy.py::test_other"])


def test_durations_list_cases_and_other_tests(pytester: pytest.Pytester, run_vtc: RunVtc) -> None:
    pytester.makepyfile(test_accuracy=OTHERS)
    text = run_vtc("--durations=0", "-vv").stdout.str()
    for name in (r"test_accuracy\[tiny-gemma4/probes/stock/\S+\]", "test_other"):
        for when in ("setup", "call", "teardown"):
            assert re.search(rf"\ds {when} +test_accuracy.py::{name}", text)


def test_junit_has_the_properties_that_a_case_recorded(pytester: pytest.Pytester, run_vtc: RunVtc) -> None:
    pytester.makepyfile(
        test_accuracy="""
        def test_accuracy(vtc_case, record_property):
            record_property("kept", vtc_case.measure().generation.n_kept)
        """
    )
    run_vtc("--junitxml=junit.xml")
    text = (pytester.path / "junit.xml").read_text()
    assert text.count('<property name="kept" value="32"') == 8
    assert text.count("<testcase ") == 12


def test_vtc_case_may_be_overridden(pytester: pytest.Pytester, run_vtc: RunVtc) -> None:
    pytester.makeconftest(
        """
        import pytest

        @pytest.fixture
        def vtc_case(vtc_case):
            vtc_case.mine = True
            return vtc_case
        """
    )
    pytester.makepyfile(
        test_accuracy="def test_accuracy(vtc_case):\n    assert vtc_case.mine\n    vtc_case.measure()\n"
    )
    assert n_measured(run_vtc()) == 12


def test_autouse_fixtures_apply_to_cases(pytester: pytest.Pytester, run_vtc: RunVtc) -> None:
    pytester.makeconftest(
        """
        import pytest

        @pytest.fixture(autouse=True)
        def counted(vtc_case):
            yield
            print("AFTER", vtc_case.measure().sample)
        """
    )
    assert run_vtc("-s").stdout.str().count("AFTER") == 12


def test_setup_show_shows_the_fixture(run_vtc: RunVtc) -> None:
    assert run_vtc("--setup-show", "--vtc-n=1").stdout.str().count("SETUP    F vtc_case") == 3


def test_a_collected_item_takes_less_than_700_bytes(pytester: pytest.Pytester, run_vtc: RunVtc) -> None:
    from PIL import Image

    Image.new("RGB", (8, 8)).save(pytester.path / "a.png")
    row = '{{"id": {}, "image": "a.png", "prompt": "Is it red?", "answer": "yes", "group": "{}"}}\n'
    (pytester.path / "rows.jsonl").write_text("".join(row.format(i, i // 10) for i in range(4000)))
    pytester.makeconftest(
        """
        import tracemalloc
        import pytest

        @pytest.hookimpl(wrapper=True, tryfirst=True)
        def pytest_collection(session):
            tracemalloc.start()
            result = yield
            print("BYTES", tracemalloc.get_traced_memory()[0] // len(session.items), len(session.items))
            tracemalloc.stop()
            return result
        """
    )
    found: list[tuple[int, int]] = []
    for n in ("10", "all"):
        result = run_vtc(
            "--collect-only", "-qq", "-s", "--vtc-data=rows.jsonl", f"--vtc-n={n}", "--vtc-ratios=0.5,0.25"
        )
        ((size, items),) = re.findall(r"BYTES (\d+) (\d+)", result.stdout.str())
        found.append((int(size), int(items)))
    # From the difference: what such a session imports weighs more than its items.
    (few, n_few), (many, n_many) = found
    assert n_many - n_few == 20_000 - 50
    assert (many - few) / (n_many - n_few) < 700
