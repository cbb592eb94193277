"""A suite that uses none of the plugin's fixtures does not notice it."""

from __future__ import annotations

import pytest

from pytest_vtc.options import OPTIONS

GUARD = """
import sys
def test_nothing_heavy_is_imported():
    heavy = {"torch", "transformers", "numpy", "datasets", "PIL", "sklearn", "statsmodels"} & set(sys.modules)
    assert not heavy, heavy
"""


def test_a_suite_without_our_fixtures_imports_nothing_heavy_and_prints_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(GUARD)
    result = pytester.runpytest_subprocess("-p", "no:benchmark")
    result.assert_outcomes(passed=1)
    assert not [line for line in result.outlines if line.startswith("vtc:") or "vision" in line]
    assert not (pytester.path / "vtc-results").exists()


def test_a_function_that_is_no_test_may_take_an_argument_called_vtc_case(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def describe(vtc_case): pass\ndef test_it(): pass\n")
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_all_options_are_in_one_group_of_the_help(pytester: pytest.Pytester) -> None:
    help_text = pytester.runpytest_subprocess("--help").stdout.str()
    group = help_text.split("benchmark of vision-token compressors (pytest-vtc):")[1].split("\n\n")[0]
    for name in [*(option.name for option in OPTIONS), "fresh", "config", "conformance"]:
        assert f"--vtc-{name}" in group
    assert "vtc_ratios (args):" in help_text
