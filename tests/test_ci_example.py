"""docs/examples/vtc.yml, which people copy, and the gates in the documentation: nothing in them that does not exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_vtc.gates import parse_gate
from pytest_vtc.options import add_options

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
EXAMPLE = DOCS / "examples" / "vtc.yml"
WORKFLOW: dict[Any, Any] = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
JOBS: dict[str, Any] = WORKFLOW["jobs"]
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]


class Flags:
    """Takes down the flags that the plugin registers, in place of pytest's parser."""

    def __init__(self) -> None:
        self.known: set[str] = set()
        add_options(self)  # type: ignore[arg-type]

    def getgroup(self, *_args: str) -> Flags:
        return self

    def addoption(self, *flags: str, **_about: Any) -> None:
        self.known.update(flags)

    def addini(self, *_args: Any, **_about: Any) -> None:
        """Ini settings are no flags."""


def scripts(job: str) -> str:
    return "\n".join(step["run"] for step in JOBS[job]["steps"] if "run" in step)


def words(job: str) -> list[str]:
    """Of the pytest command of a job, that of the arrays before it too."""
    return shlex.split(scripts(job).replace("(", " ").replace(")", " "), comments=True)


def test_the_example_is_a_workflow_with_a_job_for_pull_requests_and_one_for_the_night() -> None:
    triggers = WORKFLOW[True]  # `on` is a truth value in YAML 1.1, which GitHub does not mind
    assert {"pull_request", "schedule", "workflow_dispatch"} <= set(triggers)
    assert set(JOBS) == {"pull-request", "nightly"}
    assert all({"runs-on", "steps", "if"} <= set(job) for job in JOBS.values())


@pytest.mark.parametrize("job", JOBS)
def test_every_option_of_the_example_exists(job: str) -> None:
    asked = {word.split("=")[0] for word in words(job) if word.startswith("--vtc-")}
    assert {"--vtc-gate", "--vtc-n", "--vtc-data"} <= asked
    assert asked <= Flags().known


@pytest.mark.parametrize("job", JOBS)
def test_every_gate_of_the_example_can_be_read(job: str) -> None:
    after = [word for before, word in zip(words(job), words(job)[1:], strict=False) if before == "--vtc-gate"]
    assert [str(parse_gate(gate)).partition("@")[0] for gate in after] == ["divprune"] * len(after)
    assert len(after) >= 2


@pytest.mark.parametrize("job", JOBS)
def test_the_example_keeps_what_the_documentation_says_it_keeps(job: str) -> None:
    steps = JOBS[job]["steps"]
    uploaded = next(step["with"]["path"] for step in steps if "upload-artifact" in step.get("uses", ""))
    assert uploaded.split() == ["junit.xml", "vtc-results/results.json", "vtc-results/samples.jsonl"]
    assert "--junitxml=junit.xml" in scripts(job)
    stored = {step["with"]["path"] for step in steps if "actions/cache" in step.get("uses", "")}
    assert "vtc-results/measurements.sqlite" in stored


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_the_gates_in_the_documentation_can_be_read(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for gate in re.findall(r"--vtc-gate[ =]\"([^\"@][^\"]*)\"", text):
        assert parse_gate(gate).limits, gate


def test_the_page_on_gates_shows_every_condition() -> None:
    text = (DOCS / "gates.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"One gate a line:\n\n```\n(.*?)```", text, re.DOTALL)
    gates = [parse_gate(line) for line in block.splitlines()]
    assert {limit.condition for gate in gates for limit in gate.limits} == {
        "max_drop", "min_accuracy", "min_retained", "max_kv_bytes",
    }  # fmt: skip
