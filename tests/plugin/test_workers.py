"""Under pytest-xdist: same results, written once."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_vtc.report.json_report import comparable
from tests.plugin.conftest import RunVtc


@pytest.mark.slow
def test_two_workers_give_the_results_of_one_process(run_vtc: RunVtc, results: Any, samples: Any) -> None:
    alone = run_vtc("--vtc-n=12", "--vtc-output=alone", "--vtc-gate=*@0.5: max_drop=100")
    together = run_vtc("--vtc-n=12", "--vtc-output=together", "--vtc-gate=*@0.5: max_drop=100", "-n2", subprocess=True)
    assert alone.ret == together.ret == 0
    assert comparable(results("together")["cells"]) == comparable(results("alone")["cells"])
    assert results("together")["gates"] == results("alone")["gates"]
    assert comparable(samples("together")) == comparable(samples("alone"))
