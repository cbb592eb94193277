"""Options in their three places, and lists that do not swallow a test path."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_vtc.option_lists import fold_lists
from pytest_vtc.option_values import OptionError, of_datasets, split_list
from pytest_vtc.options import read_experiment


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "test_accuracy.py").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("args", "folded"),
    [
        (["--vtc-ratios", "0.5", "0.25", "benchmarks/"], ["--vtc-ratios=0.5,0.25", "benchmarks/"]),
        (["benchmarks/", "--vtc-ratios", "0.5", "0.25"], ["benchmarks/", "--vtc-ratios=0.5,0.25"]),
        (["--vtc-ratios", "0.5,0.25", "0.1", "-q"], ["--vtc-ratios=0.5,0.25,0.1", "-q"]),
        (["--vtc-ratios=0.5", "benchmarks/"], ["--vtc-ratios=0.5", "benchmarks/"]),
        (
            ["--vtc-compressors", "divprune", "fps(x=1, y=2)", "./mine.py", "benchmarks/"],
            ["--vtc-compressors=divprune,fps(x=1, y=2),./mine.py", "benchmarks/"],
        ),
        (
            ["--vtc-compressors", "fps", "benchmarks/test_accuracy.py"],
            ["--vtc-compressors=fps", "benchmarks/test_accuracy.py"],
        ),
        (
            ["--vtc-data", "probes", "benchmarks/test_accuracy.py::test_accuracy"],
            ["--vtc-data=probes", "benchmarks/test_accuracy.py::test_accuracy"],
        ),
        (["--vtc-model", "a", "b", "--", "--vtc-ratios", "x"], ["--vtc-model=a,b", "--", "--vtc-ratios", "x"]),
        (["--vtc-ratios=0.5", "0.25", "benchmarks/"], ["--vtc-ratios=0.5,0.25", "benchmarks/"]),
        (["--vtc-data", "probes", "."], ["--vtc-data=probes", "."]),
        (["--vtc-compressors", "identity", "benchmarks/"], ["--vtc-compressors=identity", "benchmarks/"]),
        (["--vtc-ratios", "half", "benchmarks"], ["--vtc-ratios=half", "benchmarks"]),
        (["--vtc-gate", "*@0.5: max_drop=2", "benchmarks"], ["--vtc-gate", "*@0.5: max_drop=2", "benchmarks"]),
        (["--vtc-judge-prompt", "a.txt", "benchmarks"], ["--vtc-judge-prompt", "a.txt", "benchmarks"]),
        (["--random-weights", "a:1", "b", "benchmarks"], ["--random-weights=a:1,b", "benchmarks"]),
        (["--vtc-random-weights", "owner/a:4:2", "benchmarks"], ["--vtc-random-weights=owner/a:4:2", "benchmarks"]),
    ],
)
@pytest.mark.usefixtures("in_folder")
def test_a_list_ends_where_a_test_path_begins(args: list[str], folded: list[str]) -> None:
    assert fold_lists(args) == folded


def test_a_folder_of_images_is_data_and_a_folder_of_tests_is_not(in_folder: Path) -> None:
    (in_folder / "photos").mkdir()
    (in_folder / "photos" / "a.PNG").touch()
    assert fold_lists(["--vtc-data", "photos", "benchmarks"]) == ["--vtc-data=photos", "benchmarks"]


def test_a_checkpoint_folder_is_a_model_and_a_folder_of_tests_is_not(in_folder: Path) -> None:
    (in_folder / "checkpoint").mkdir()
    (in_folder / "checkpoint" / "config.json").touch()
    assert fold_lists(["--vtc-model", "checkpoint", "benchmarks"]) == ["--vtc-model=checkpoint", "benchmarks"]


def test_commas_inside_parentheses_belong_to_the_parameters() -> None:
    assert split_list("a, b(x=1,y=(2,3)),c") == ["a", "b(x=1,y=(2,3))", "c"]
    assert split_list("a(s='x)y'),b") == ["a(s='x)y')", "b"]


def test_the_keys_of_a_seed_experiment_are_understood(tmp_path: Path) -> None:
    file = tmp_path / "experiment.json"
    file.write_text(
        json.dumps(
            {
                "model": "gemma-4-E4B-it",
                "data": "mmmu_pro",
                "compressors": ["divprune"],
                "ratios": [0.5],
                "n_samples": 100,
                "seed": 7,
                "output_dir": "out",
                "gen_config": {"max_new_tokens": 10, "do_sample": False},
            }
        )
    )
    assert read_experiment(file) == {
        "model": "gemma-4-E4B-it",
        "data": "mmmu_pro",
        "compressors": ["divprune"],
        "ratios": [0.5],
        "n": 100,
        "seed": 7,
        "output": "out",
        "max-new-tokens": 10,
    }


def test_an_experiment_may_be_toml(tmp_path: Path) -> None:
    file = tmp_path / "experiment.toml"
    file.write_text('ratios = [0.5]\ncompressors = ["fps"]\n')
    assert read_experiment(file) == {"ratios": [0.5], "compressors": ["fps"]}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("e.json", '{"model": "x",\n nope}', r"e\.json:2: not valid JSON"),
        ("e.toml", "ratios = [", r"e\.toml: not valid TOML"),
        ("e.json", '{"modell": "x"}', r"unknown key 'modell'"),
        ("e.json", "[1]", "expected an object"),
        ("e.json", '{"sequential": "yes"}', "sequential is 'yes'; write true or false"),
        ("e.json", '{"gen_config": {"do_sample": true}}', "decoding is greedy"),
    ],
)
def test_a_bad_experiment_file_is_refused_with_its_place(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(OptionError, match=message):
        read_experiment(tmp_path / name)


def test_a_missing_experiment_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"no file .*absent\.json"):
        read_experiment(tmp_path / "absent.json")


def test_value_of_one_dataset_wins_over_that_of_all() -> None:
    both = {"mme": "mme", "pope": "pope"}
    assert of_datasets("scoring", ["lmms", "pope=official"], both) == {"mme": "lmms", "pope": "official"}
    assert of_datasets("scoring", ["pope=official"], both) == {"mme": None, "pope": "official"}


@pytest.mark.parametrize("called", ["good", "./good"])
def test_dataset_is_meant_by_its_name_in_tables_or_as_it_was_asked_for(called: str) -> None:
    names = {"./good": "good", "mme": "mme"}
    assert of_datasets("scoring", [f"{called}=exact"], names) == {"./good": "exact", "mme": None}


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (["lmms", "official"], "--vtc-scoring: lmms or official\\? say for which dataset: good=lmms"),
        (["mmu=lmms"], "--vtc-scoring: mmu=lmms: the run has only good \\(./good\\), mme"),
    ],
)
def test_value_that_no_dataset_can_be_meant_by_is_an_error(entries: list[str], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        of_datasets("scoring", entries, {"./good": "good", "mme": "mme"})
