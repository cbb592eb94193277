"""Sessions of the plugin on the embedded model, small enough to be run by the dozen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

import pytest

SUITE = "def test_accuracy(vtc_case):\n    vtc_case.measure()\n"


class RunVtc(Protocol):
    """Run pytest with the plugin in a folder of its own; small defaults come first, so that `args` win over them."""

    def __call__(self, *args: str, subprocess: bool = False, defaults: bool = True) -> pytest.RunResult: ...


def n_measured(result: pytest.RunResult) -> int:
    """How many cases of a run were measured, right or wrong."""
    outcomes = result.parseoutcomes()
    return sum(outcomes.get(verdict, 0) for verdict in ("correct", "partial", "wrong"))


@pytest.fixture(scope="session")
def imported() -> None:
    """Import what the plugin imports on the way, in the outer session.

    pytester takes every module that an inner session imports out of sys.modules afterwards; torch and numpy do not
    survive being imported twice, and the rest would be slow.
    """
    from PIL import Image
    from statsmodels.regression.linear_model import OLS

    import pytest_vtc.bench
    import pytest_vtc.conclusion
    import pytest_vtc.conformance.session
    from pytest_vtc.datasets.registry import data_home, open_samples
    from pytest_vtc.discovery import known_compressors
    from pytest_vtc.engine import Engine, Job
    from pytest_vtc.models.loading import load_backend

    assert pytest_vtc.conclusion
    assert pytest_vtc.conformance.session
    assert pytest_vtc.bench
    assert OLS
    known_compressors()
    Image.init()
    engine = Engine(load_backend("tiny-gemma4"))
    for name in ("probes", "easyvqa"):
        (sample,) = open_samples(name, data_home(), 1, 0).samples
        engine.run([Job(sample, None, 1.0)], 1)


@pytest.fixture
def run_vtc(imported: None, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> RunVtc:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    pytester.makepyfile(test_accuracy=SUITE)

    def run(*args: str, subprocess: bool = False, defaults: bool = True) -> pytest.RunResult:
        small = ["--vtc-data=probes", "--vtc-n=4", "--vtc-compressors=divprune,identity", "--vtc-ratios=0.5"]
        given = {arg.split("=")[0] for arg in args}
        command = [option for option in small if defaults and option.split("=")[0] not in given] + list(args)
        return pytester.runpytest_subprocess(*command) if subprocess else pytester.runpytest_inprocess(*command)

    return run


@pytest.fixture
def results(pytester: pytest.Pytester) -> Any:
    """Reads results.json of the last run."""

    def read(folder: str = "vtc-results") -> dict[str, Any]:
        return json.loads((pytester.path / folder / "results.json").read_text())

    return read


@pytest.fixture
def samples(pytester: pytest.Pytester) -> Any:
    """Reads samples.jsonl of the last run."""

    def read(folder: str = "vtc-results") -> list[dict[str, Any]]:
        lines = (pytester.path / folder / "samples.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    return read


@pytest.fixture
def manifest(pytester: pytest.Pytester) -> Path:
    """A manifest of two questions on one image of a digit."""
    from PIL import Image

    from pytest_vtc.datasets.probe_scenes import make_scene

    Image.fromarray(make_scene("test", 3).render()).save(pytester.path / "scene.png")
    rows = [
        {"id": "a", "image": "scene.png", "prompt": "how many digits are there ?", "answer": "3"},
        {"id": "b", "image": "scene.png", "prompt": "what digit is red ?", "answer": ["1", "7"]},
    ]
    path = pytester.path / "mine.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
