"""`python -m pytest_vtc score`: answers in a file, scored by several rules side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_vtc.cli import main
from pytest_vtc.datasets.base import DatasetError
from pytest_vtc.datasets.probes import Probes
from pytest_vtc.scored_file import ScoredFileError, render, score_file
from pytest_vtc.scoring import ScoringError

MODEL_SAID = ["A", "Answer: B", "", "the cat"]


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    rows = [{"prediction": said, "answer": "B", "options": ["a dog", "a cat"]} for said in MODEL_SAID]
    return saved(tmp_path, rows)


def saved(folder: Path, rows: list[dict[str, Any]]) -> Path:
    path = folder / "answers.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    return path


def test_each_rule_scores_every_answer(answers: Path) -> None:
    official, letters = score_file(answers, None, ["mmmu_pro_official", "letters"])
    assert [score.value for score in official.scores] == [0, 1, 0, 0.5]
    assert [score.value for score in letters.scores] == [0, 1, 0, 0]
    assert (official.unparsed, official.n_blank, official.differing(letters)) == (0.5, 1, 1)


def test_blank_answers_are_scored_to_the_letter_where_that_is_asked_for(answers: Path) -> None:
    (official,) = score_file(answers, None, ["mmmu_pro_official"], literal=True)
    assert official.scores[2].value == 0.5


def test_what_was_answered_may_come_from_the_dataset(tmp_path: Path) -> None:
    samples = Probes().load(tmp_path)[:4]
    rows = [{"id": sample.id, "prediction": f"It is {sample.answers[0]}."} for sample in samples]
    exact, soft = score_file(saved(tmp_path, rows), "probes", ["exact", "soft"])
    assert (exact.mean, soft.mean) == (0, 1)


def test_lines_of_a_run_are_tallied_by_cell(tmp_path: Path) -> None:
    first, second = Probes().load(tmp_path)[:2]
    rows = [
        {"cell": cell, "sample": sample.id, "answer": said}
        for cell, said in (("m/probes/stock", first.answers[0]), ("m/probes/pool@0.5", "?"))
        for sample in (first, second)
    ]
    stock, pool = score_file(saved(tmp_path, rows), "probes", [])
    assert (stock.of, stock.rule, pool.of) == ("m/probes/stock", "exact", "m/probes/pool@0.5")
    assert stock.mean >= 0.5
    assert pool.mean == 0


def test_lines_of_a_run_on_other_datasets_are_left_out(tmp_path: Path) -> None:
    sample = Probes().load(tmp_path)[0]
    rows = [
        {"cell": "m/mme/stock", "sample": "existence/1.jpg", "answer": "yes"},
        {"cell": "m/probes/stock", "sample": sample.id, "answer": sample.answers[0]},
    ]
    (only,) = score_file(saved(tmp_path, rows), "probes", [])
    assert (only.of, len(only.scores), only.mean) == ("m/probes/stock", 1, 1)
    with pytest.raises(ScoredFileError, match="it holds no answers to probes"):
        score_file(saved(tmp_path, rows[:1]), "probes", [])


def test_the_table_shows_rules_side_by_side(answers: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", str(answers), "--scoring", "mmmu_pro_official", "letters"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Rule               Score  Unparsed  Differs",
        "-----------------  -----  --------  -------",
        "mmmu_pro_official  37.5%     50.0%       --",
        "letters            25.0%     50.0%        1",
        "",
        "4 answers, 1 of them blank",
        "Differs: answers that the rule judges otherwise than mmmu_pro_official",
    ]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"answer": "B"}, r'answers.jsonl:1: "prediction" must be a string'),
        ({"prediction": "B"}, r'answers.jsonl:1: "answer" must be a string'),
        ({"prediction": "B", "answer": " "}, r'answers.jsonl:1: "answer" is blank'),
        ({"prediction": "B", "answer": []}, r'answers.jsonl:1: "answer" is an empty list'),
        ({"prediction": "B", "answer": "B", "options": "AB"}, r'answers.jsonl:1: "options" must be a list'),
        ({"cell": "m/d/stock", "sample": "s", "answer": "B"}, r"answers.jsonl:1: a line of a run; name its dataset"),
    ],
)
def test_line_that_cannot_be_scored_is_named(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    with pytest.raises(ScoredFileError, match=message):
        score_file(saved(tmp_path, [row]), None, ["exact"])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"answer": "dog", "options": ["a dog", "a cat"]}, "\"answer\" is 'dog', and the scoring rule 'letters'"),
        ({"answer": "C", "options": ["a dog", "a cat"]}, "which is the letter of no option: there are 2"),
    ],
)
def test_answer_that_nothing_could_match_is_named(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    with pytest.raises(ScoredFileError, match=rf"answers\.jsonl:1: .*{message}"):
        score_file(saved(tmp_path, [{"prediction": "a dog", **row}]), None, ["letters"])


def test_rule_that_needs_options_says_so(tmp_path: Path) -> None:
    with pytest.raises(ScoredFileError, match="\"options\" is missing, and the scoring rule 'mcq_vlmevalkit' needs it"):
        score_file(saved(tmp_path, [{"prediction": "B", "answer": "B"}]), None, ["mcq_vlmevalkit"])


def test_second_answer_to_a_sample_and_a_missing_id_are_named(tmp_path: Path) -> None:
    name = Probes().load(tmp_path)[0].id
    with pytest.raises(
        ScoredFileError, match=rf"answers\.jsonl:2: a second answer to '{name}'; the first is in line 1"
    ):
        score_file(saved(tmp_path, [{"id": name, "prediction": said} for said in "ab"]), "probes", [])
    with pytest.raises(ScoredFileError, match=r'answers\.jsonl:1: "id" is missing'):
        score_file(saved(tmp_path, [{"prediction": "a"}]), "probes", [])


def test_how_many_samples_have_an_answer_is_said(tmp_path: Path) -> None:
    path = saved(tmp_path, [{"id": Probes().load(tmp_path)[0].id, "prediction": "7"}])
    assert render(score_file(path, "probes", []))[-1] == "1 answer to 1 of 7,260 samples, none of them blank"


def test_other_encodings_are_named_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"prediction": "a", "answer": "a"}\n{"prediction": "caf\xe9", "answer": "a"}\n')
    with pytest.raises(ScoredFileError, match=r"x\.jsonl:2: it is not UTF-8 text"):
        score_file(path, None, ["exact"])


def test_broken_json_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"prediction": "a", "answer": "a"}\n{"prediction"\n')
    with pytest.raises(ScoredFileError, match=r"x\.jsonl:2: broken JSON"):
        score_file(path, None, ["exact"])


def test_sample_that_the_dataset_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScoredFileError, match=r"answers\.jsonl:1: the dataset has no sample 'q9'"):
        score_file(saved(tmp_path, [{"id": "q9", "prediction": "x"}]), "probes", [])


def test_empty_file_missing_file_and_missing_rule_are_errors(tmp_path: Path, answers: Path) -> None:
    with pytest.raises(ScoredFileError, match="it holds no answers"):
        score_file(saved(tmp_path / ".", []), None, ["exact"])
    with pytest.raises(ScoredFileError, match=r"cannot read .*gone"):
        score_file(tmp_path / "gone", None, ["exact"])
    with pytest.raises(ScoredFileError, match="name a rule by --scoring"):
        score_file(answers, None, [])
    with pytest.raises(ScoredFileError, match="--scoring lmms: which rule that is depends on the dataset"):
        score_file(answers, None, ["lmms"])
    with pytest.raises(ScoringError, match="unknown scoring rule 'exat': did you mean exact"):
        score_file(answers, None, ["exat"])
    with pytest.raises(DatasetError, match="no scoring called 'lmms' is known of it"):
        score_file(answers, "probes", ["lmms"])
