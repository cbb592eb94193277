"""Runs whose answers a judge scores: a server on this machine stands for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pytest_vtc.cli import main
from pytest_vtc.report.json_report import SCHEMA, comparable
from tests.judge.fake_judge import Answer, FakeJudge
from tests.plugin.conftest import RunVtc, n_measured
from tests.plugin.sessions import Suite

N_CASES = 4
"""Two samples in two cells."""


@pytest.fixture
def fake_judge(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeJudge]:
    monkeypatch.setenv("VTC_JUDGE_API_KEY", "sk-secret")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with FakeJudge().running() as judge:
        yield judge


@pytest.fixture
def judged(manifest: Path) -> Path:
    """The two questions of `manifest`, scored as MM-Vet's are."""
    header = {"manifest": 1, "name": "mine", "scoring": "mm_vet", "max_new_tokens": 4, "published": "mm_vet"}
    manifest.write_text(json.dumps(header) + "\n" + manifest.read_text())
    return manifest


def options(data: Path, judge: FakeJudge | None, *more: str) -> list[str]:
    by = [] if judge is None else [f"--vtc-judge={judge.url}", "--vtc-judge-model=grader"]
    return [f"--vtc-data={data}", "--vtc-n=all", "--vtc-compressors=identity", *by, *more]


def said(result: pytest.RunResult) -> str:
    return "\n".join([*result.outlines, *result.errlines])


def accuracies(results: Any) -> list[float]:
    return [cell["accuracy"]["estimate"] for cell in results()["cells"]]


def test_scores_are_what_the_judge_says(
    run_vtc: RunVtc, results: Any, samples: Any, judged: Path, fake_judge: FakeJudge
) -> None:
    fake_judge.reply = lambda body: Answer("0.9" if "how many" in str(body) else "0.4")
    result = run_vtc(*options(judged, fake_judge))
    assert result.ret == 0
    assert accuracies(results) == [0.65, 0.65]
    assert {(line["sample"], line["score"], line["parsed"]) for line in samples()} == {
        ("a", 0.9, "0.9"),
        ("b", 0.4, "0.4"),
    }
    about = results()["manifest"]["datasets"]["mine"]["judge"]
    assert (about["model"], about["own_words"], len(about["prompt"])) == ("grader", True, 16)
    assert results()["manifest"]["run"]["unread_replies"] == {"mine": 0}
    jsonschema.validate(results(), json.loads(SCHEMA.read_text()))
    assert f"vtc: mine judged by grader at {fake_judge.url}/chat/completions" in said(result)
    assert "mine: scores are grades by grader, asked in the words of pytest-vtc" in said(result)


def test_what_was_judged_is_not_asked_again_even_without_the_server(
    run_vtc: RunVtc, results: Any, samples: Any, judged: Path
) -> None:
    with FakeJudge().running() as judge:
        run_vtc(*options(judged, judge))
    before = comparable(results()), comparable(samples())
    n_asked = len(judge.asked)
    assert 2 <= n_asked <= N_CASES  # cells that answer alike are asked about once
    result = run_vtc(*options(judged, judge))
    assert result.ret == 0
    assert (comparable(results()), comparable(samples())) == before
    assert len(judge.asked) == n_asked


def test_a_fresh_run_asks_anew(run_vtc: RunVtc, judged: Path, fake_judge: FakeJudge) -> None:
    run_vtc(*options(judged, fake_judge))
    n_asked = len(fake_judge.asked)
    run_vtc(*options(judged, fake_judge, "--vtc-fresh"))
    assert len(fake_judge.asked) == 2 * n_asked


def test_without_a_judge_nothing_runs(run_vtc: RunVtc, judged: Path, pytester: pytest.Pytester) -> None:
    result = run_vtc(*options(judged, None))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "give --vtc-judge URL --vtc-judge-model NAME" in said(result)
    assert n_measured(result) == 0
    assert not (pytester.path / "vtc-results").exists()


def test_answers_can_be_recorded_without_scores(run_vtc: RunVtc, results: Any, judged: Path) -> None:
    assert run_vtc(*options(judged, None, "--vtc-scoring=none")).ret == 0
    assert {cell["accuracy"] for cell in results()["cells"]} == {None}
    assert results()["manifest"]["datasets"]["mine"]["judge"] is None


def test_a_refusing_judge_fails_the_cases_and_a_later_run_has_them_judged(
    run_vtc: RunVtc, results: Any, judged: Path, fake_judge: FakeJudge
) -> None:
    fake_judge.answers(Answer("", 401))
    result = run_vtc(*options(judged, fake_judge))
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert n_measured(result) == 0
    message = results()["errors"][0]["message"]
    assert message.startswith("answered, but not judged: the judge at http://127.0.0.1:")
    assert message.endswith(
        "check the key in VTC_JUDGE_API_KEY or OPENAI_API_KEY. The answer is kept: --lf has it judged again"
    )
    assert "sk-secret" not in said(result)

    fake_judge.answers(Answer("0.5"))
    again = run_vtc(*options(judged, fake_judge), "--lf")
    assert again.ret == 0
    assert again.parseoutcomes()["partial"] == N_CASES
    assert [cell["run"]["n_cached"] for cell in results()["cells"]] == [2, 2]
    assert accuracies(results) == [0.5, 0.5]


def test_replies_that_cannot_be_read_are_counted_and_said(
    run_vtc: RunVtc, results: Any, judged: Path, fake_judge: FakeJudge
) -> None:
    fake_judge.reply = lambda body: Answer("no idea" if "how many" in str(body) else "1.0")
    result = run_vtc(*options(judged, fake_judge))
    assert accuracies(results) == [0.5, 0.5]
    assert [cell["n_unparsed"] for cell in results()["cells"]] == [1, 1]
    assert results()["manifest"]["run"]["unread_replies"] == {"mine": 2}
    assert "mine: of 2 of 4 answers no reply of the judge could be read; they count as wrong" in said(result)


def test_a_prompt_of_ones_own_is_what_the_judge_gets(
    run_vtc: RunVtc, results: Any, judged: Path, fake_judge: FakeJudge, pytester: pytest.Pytester
) -> None:
    (pytester.path / "official.txt").write_text("{question} | {answer} | {prediction} |\n")
    result = run_vtc(*options(judged, fake_judge, "--vtc-judge-prompt=official.txt"))
    asked = {body["messages"][0]["content"].rpartition(" | ")[0] for body in fake_judge.asked}
    assert "how many digits are there ? | 3" in asked
    assert results()["manifest"]["datasets"]["mine"]["judge"]["own_words"] is False
    assert "in the words of pytest-vtc" not in said(result)


def test_a_prompt_with_an_unknown_gap_ends_it_before_anything_runs(
    run_vtc: RunVtc, judged: Path, fake_judge: FakeJudge, pytester: pytest.Pytester
) -> None:
    (pytester.path / "typo.txt").write_text("{question} {predicton}")
    result = run_vtc(*options(judged, fake_judge, "--vtc-judge-prompt=typo.txt"))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "--vtc-judge-prompt typo.txt: nothing is known by the name {predicton}" in said(result)


def test_ini_and_experiment_files_may_name_the_judge(
    run_vtc: RunVtc, results: Any, judged: Path, fake_judge: FakeJudge, pytester: pytest.Pytester
) -> None:
    pytester.makeini(f"[pytest]\nvtc_judge = {fake_judge.url}\nvtc_judge_model = of_ini\n")
    (pytester.path / "run.json").write_text('{"judge_model": "of_file"}')
    assert run_vtc(*options(judged, None), "--vtc-config=run.json").ret == 0
    assert results()["manifest"]["datasets"]["mine"]["judge"]["model"] == "of_file"


def test_a_run_by_another_judge_is_not_compared_with(run_vtc: RunVtc, judged: Path, fake_judge: FakeJudge) -> None:
    run_vtc(*options(judged, fake_judge, "--vtc-output=before"))
    result = run_vtc(*options(judged, fake_judge, "--vtc-judge-model=other", "--vtc-baseline=before"))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "dataset mine: the judge's model: grader -> other" in said(result)


def test_the_key_is_sent_and_stands_in_no_file(
    run_vtc: RunVtc, judged: Path, fake_judge: FakeJudge, pytester: pytest.Pytester
) -> None:
    result = run_vtc(*options(judged, fake_judge))
    assert {headers["Authorization"] for headers in fake_judge.headers} == {"Bearer sk-secret"}
    written = [path for path in (pytester.path / "vtc-results").rglob("*") if path.is_file()]
    assert any("judge-replies" in path.parts for path in written)
    assert not any(b"sk-secret" in path.read_bytes() for path in written)
    assert "sk-secret" not in said(result)


def test_merged_shards_have_their_replies(
    run_vtc: RunVtc, results: Any, fake_judge: FakeJudge, pytester: pytest.Pytester
) -> None:
    by = ["--vtc-scoring=mm_vet", f"--vtc-judge={fake_judge.url}", "--vtc-judge-model=grader", "--vtc-n=6"]
    for part in (1, 2):
        run_vtc(*by, f"--vtc-shard={part}/2", f"--vtc-output=s{part}")
    n_asked = len(fake_judge.asked)
    assert main(["merge", "s1", "s2", "--output", "whole"]) == 0
    assert results("whole")["manifest"]["run"]["unread_replies"] == {"probes": 0}
    run_vtc(*by, "--vtc-output=whole")
    assert len(fake_judge.asked) == n_asked > 0


@pytest.mark.parametrize("url", ["https://me:sk-mine@x.org/v1", "https://x.org/v1?api_key=sk-mine"])
def test_a_key_on_the_command_line_is_refused(run_vtc: RunVtc, pytester: pytest.Pytester, url: str) -> None:
    result = run_vtc(f"--vtc-judge={url}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "it belongs in the environment, as VTC_JUDGE_API_KEY" in said(result)
    assert not (pytester.path / "vtc-results").exists()


def test_a_judge_that_nothing_needs_is_not_asked(run_vtc: RunVtc, results: Any, fake_judge: FakeJudge) -> None:
    assert run_vtc(f"--vtc-judge={fake_judge.url}", "--vtc-n=2").ret == 0
    assert fake_judge.asked == []
    assert results()["manifest"]["datasets"]["probes"]["judge"] is None


@pytest.mark.slow
def test_two_workers_have_answers_judged_as_one_process_does(tmp_path: Path, fake_judge: FakeJudge) -> None:
    fake_judge.reply = lambda body: Answer(f"0.{len(body['messages'][0]['content']) % 10}")
    suite = Suite(tmp_path, traced=False)
    by = ["--vtc-scoring=mm_vet", f"--vtc-judge={fake_judge.url}", "--vtc-judge-model=grader", "--vtc-n=8"]
    runs = [suite.run(*by, f"--vtc-output={name}", *more) for name, more in (("alone", ()), ("together", ("-n2",)))]
    assert [run.returncode for run in runs] == [0, 0], runs[1].stdout
    assert suite.comparable("together") == suite.comparable("alone")
    n_asked = len(fake_judge.asked)
    assert suite.run(*by, "--vtc-output=together", "-n2").returncode == 0
    assert len(fake_judge.asked) == n_asked
    refused = suite.run("--vtc-scoring=mm_vet", "--vtc-output=none", "-n2")
    assert refused.returncode != 0
    assert "give --vtc-judge URL --vtc-judge-model NAME" in refused.stdout + refused.stderr
