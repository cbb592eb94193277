"""Which judge a run has is settled before anything runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from pytest_vtc.datasets.base import Sample, SampleSet
from pytest_vtc.judge.choice import choose_judge, read_prompt
from pytest_vtc.option_values import OptionError
from pytest_vtc.scoring.judges import known_judged_rules

URL, MODEL = "http://localhost:8000", "grader"


def dataset(scoring: str, name: str = "", facts: Mapping[str, str] | None = None) -> SampleSet:
    sample = Sample("q1", (), "What is it?", ("a cat",), facts=facts or {})
    return SampleSet(name or scoring, [sample], scoring, 16, 1)


VET = dataset("mm_vet")
BENCH = dataset("llava_bench", facts={"caption": "A cat."})


@pytest.fixture
def prompt(tmp_path: Path) -> Path:
    path = tmp_path / "prompt.txt"
    path.write_text("Is {prediction} right?\n")
    return path


def test_a_run_without_judged_answers_needs_no_judge() -> None:
    sets = [dataset("exact"), dataset("none")]
    assert choose_judge(None, None, [], sets) is None
    assert choose_judge(URL, None, ["nowhere.txt"], sets) is None


@pytest.mark.parametrize(
    ("url", "model", "lacking"),
    [(None, None, "give --vtc-judge URL --vtc-judge-model NAME ("), (URL, None, "give --vtc-judge-model NAME (")],
)
def test_what_is_lacking_is_said_with_the_way_out(url: str | None, model: str | None, lacking: str) -> None:
    with pytest.raises(OptionError) as raised:
        choose_judge(url, model, [], [dataset("exact"), VET, BENCH])
    message = str(raised.value)
    assert message.startswith("answers of mm_vet, llava_bench are scored by a language model")
    assert lacking in message
    assert "VTC_JUDGE_API_KEY" in message
    assert "--vtc-scoring none" in message


def test_each_judged_dataset_has_a_prompt() -> None:
    choice = choose_judge(URL, MODEL, [], [dataset("exact"), VET, BENCH])
    assert choice is not None
    rules = known_judged_rules()
    assert choice.prompts == {"mm_vet": rules["mm_vet"].prompt, "llava_bench": rules["llava_bench"].prompt}
    assert choice.own_words == {"mm_vet", "llava_bench"}
    assert choice.describe() == (
        "vtc: mm_vet, llava_bench judged by grader at http://localhost:8000/v1/chat/completions"
    )


def test_a_key_that_cannot_be_used_is_said_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VTC_JUDGE_API_KEY", "sk-é")
    with pytest.raises(OptionError, match="VTC_JUDGE_API_KEY"):
        choose_judge(URL, MODEL, [], [VET])


@pytest.mark.parametrize("facts", [{}, {"caption": " "}])
def test_a_sample_that_cannot_be_judged_is_named(facts: dict[str, str]) -> None:
    with pytest.raises(OptionError, match="mine: sample 'q1' lacks the fact 'caption'"):
        choose_judge(URL, MODEL, [], [dataset("llava_bench", "mine", facts)])


@pytest.mark.parametrize("weights", ["6,4", "six", "1.5", "6,"])
def test_weights_that_do_not_fit_the_parts_are_named(weights: str) -> None:
    with pytest.raises(
        OptionError, match=r"mine: sample 'q1' has the weights '.*', which are not a whole number for each"
    ):
        choose_judge(URL, MODEL, [], [dataset("mia_bench", "mine", {"weights": weights})])


# Prompts of one's own


def test_one_file_is_enough_for_one_judged_dataset(prompt: Path) -> None:
    choice = choose_judge(URL, MODEL, [str(prompt)], [dataset("exact"), VET])
    assert choice is not None
    assert choice.prompts["mm_vet"].messages == (("user", "Is {prediction} right?"),)
    assert choice.own_words == set()


def test_of_several_datasets_each_can_have_its_own(prompt: Path) -> None:
    choice = choose_judge(URL, MODEL, [f"llava_bench={prompt}", "mia_bench=elsewhere.txt"], [VET, BENCH], ["mia_bench"])
    assert choice is not None
    assert choice.own_words == {"mm_vet"}
    assert choice.prompts["llava_bench"].gaps == {"prediction"}


def test_a_path_with_an_equals_sign_is_a_path(prompt: Path) -> None:
    file = prompt.rename(prompt.with_name("a=b.txt"))
    assert choose_judge(URL, MODEL, [str(file)], [VET]) is not None


def test_one_file_for_several_datasets_is_refused(prompt: Path) -> None:
    with pytest.raises(OptionError, match=f"say whose prompt it is: --vtc-judge-prompt mm_vet={prompt}"):
        choose_judge(URL, MODEL, [str(prompt)], [VET, BENCH])


def test_a_prompt_for_an_unknown_dataset_is_refused(prompt: Path) -> None:
    with pytest.raises(OptionError, match="no dataset of this run is called 'mmvet'"):
        choose_judge(URL, MODEL, [f"mmvet={prompt}"], [VET])


def test_two_prompts_for_one_dataset_are_refused(prompt: Path) -> None:
    with pytest.raises(OptionError, match="two prompts for mm_vet"):
        choose_judge(URL, MODEL, [f"mm_vet={prompt}", str(prompt)], [VET])


def test_messages_may_be_given_as_json(tmp_path: Path) -> None:
    messages = [{"role": "system", "content": "Be fair."}, {"role": "user", "content": "{question}: {prediction}"}]
    path = tmp_path / "prompt.json"
    path.write_text(json.dumps(messages))
    found = read_prompt(path, known_judged_rules()["mm_vet"])
    assert found.messages == (("system", "Be fair."), ("user", "{question}: {prediction}"))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("p.txt", "Is it right?", r"\{prediction\} is missing"),
        ("p.txt", "{prediction} {anwser}", r"nothing is known by the name \{anwser\}; mm_vet fills in \{question\}, "),
        ("p.txt", b"\xff{prediction}", "cannot read it"),
        ("p.json", "[", "broken JSON"),
        ("p.json", "{}", "expected a list of objects"),
        ("p.json", "[]", "expected a list of objects"),
        ("p.json", '["{prediction}"]', "expected a list of objects"),
        ("p.json", '[{"role": "judge", "content": "{prediction}"}]', "expected a list of objects"),
        ("p.json", '[{"role": "user", "content": 5}]', "expected a list of objects"),
    ],
)
def test_a_prompt_that_cannot_be_used_is_refused_by_name(
    tmp_path: Path, name: str, content: str | bytes, said: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(OptionError, match=rf"--vtc-judge-prompt {path}: .*{said}"):
        read_prompt(path, known_judged_rules()["mm_vet"])


def test_a_prompt_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"gone\.txt: cannot read it \(No such file"):
        read_prompt(tmp_path / "gone.txt", known_judged_rules()["mm_vet"])
