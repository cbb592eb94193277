"""Which files hold a split: as the card says, as the `datasets` library reads it, and by their names without one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_vtc.datasets.hub import Folder
from pytest_vtc.datasets.table_files import DEFAULT, NotInRepositoryError, find


def files_of(files: list[str], split: str | None = "test", config: str = DEFAULT, **card: Any) -> list[str]:
    return list(find(files, card, [config], split).files)


@pytest.mark.parametrize(
    ("file", "split"),
    [
        ("data/test-00000-of-00001.parquet", "test"),
        ("data/testmini-00000-of-00001-0123456789abcdef.parquet", "testmini"),
        ("val.parquet", "val"),
        ("data/validation/part0.parquet", "validation"),
        ("mmstar.parquet", "val"),
        ("MME_test.parquet", "test"),
        ("test.jsonl", "test"),
    ],
)
def test_without_a_card_names_decide(file: str, split: str) -> None:
    assert files_of([file, "README.md", "images/test.png"], split) == [file]


def test_split_whose_name_begins_alike_is_another() -> None:
    both = ["data/test-00000-of-00001.parquet", "data/testmini-00000-of-00001.parquet"]
    assert files_of(both, "test") == both[:1]
    assert files_of(both, "testmini") == both[1:]


def test_split_whose_name_ends_alike_is_another() -> None:
    both = ["data/image-00000-of-00001.parquet", "data/non_image-00000-of-00001.parquet"]
    assert files_of(both, "image") == both[:1]
    assert files_of(both, "non_image") == both[1:]


def test_files_that_name_another_split_are_not_taken_for_it() -> None:
    with pytest.raises(NotInRepositoryError, match="no files for split 'test'; there is train"):
        files_of(["data/train-00000-of-00001.parquet"])
    with pytest.raises(NotInRepositoryError, match="there is validation"):
        files_of(["validation.parquet"])


def test_configuration_is_a_folder() -> None:
    both = ["en/test-00000-of-00001.parquet", "cn/test-00000-of-00001.parquet"]
    assert files_of(both, config="cn") == both[1:]


def test_files_of_a_configuration_may_lie_alone_in_a_folder() -> None:
    assert files_of(["test-00000-of-00001.parquet"], config="cn") == ["test-00000-of-00001.parquet"]


def test_first_configuration_that_is_there_is_taken() -> None:
    found = find(["standard/test-00000-of-00001.parquet"], {}, ["standard (10 options)", "standard"], "test")
    assert found.config == "standard"


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_numbered_files_are_all_there_or_none_is_used(missing: int) -> None:
    files = [f"data/test-0000{n}-of-00003.parquet" for n in range(3) if n != missing]
    with pytest.raises(
        NotInRepositoryError, match=f"1 of 3 files are missing, the first is data/test-0000{missing}-of"
    ):
        files_of(files)


def test_one_kind_of_file_is_taken() -> None:
    assert files_of(["test.csv", "test.parquet"]) == ["test.parquet"]


def test_hidden_files_are_no_tables() -> None:
    with pytest.raises(NotInRepositoryError, match="there are no tables at all"):
        files_of([".cache/test.parquet", "images/1.png"])


def test_card_wins_over_names() -> None:
    configs = [{"config_name": "default", "data_files": [{"split": "test", "path": "b/*.parquet"}]}]
    assert files_of(["data/test-00000-of-00001.parquet", "b/x.parquet"], configs=configs) == ["b/x.parquet"]


def test_names_decide_where_the_files_of_the_card_are_not_there() -> None:
    configs = [{"config_name": "cn", "data_files": [{"split": "test", "path": "cn/test-*"}]}]
    assert files_of(["test-00000-of-00001.parquet"], config="cn", configs=configs) == ["test-00000-of-00001.parquet"]


def test_what_the_card_has_instead_is_said() -> None:
    configs = [{"config_name": name, "data_files": f"{name}/*"} for name in ("en", "cn")]
    with pytest.raises(NotInRepositoryError, match="it has the configurations 'en', 'cn'"):
        files_of(["en/a.parquet"], config="cc", configs=configs)


@pytest.mark.parametrize(
    ("files", "split"),
    [
        (["data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet"], "test"),
        (["data/train-00000-of-00001.parquet", "data/validation-00000-of-00001.parquet"], "validation"),
        (["mine.csv"], ""),
        (["data/adversarial-00000-of-00001.parquet"], "adversarial"),
    ],
)
def test_without_a_wish_the_split_for_tests_is_taken(files: list[str], split: str) -> None:
    assert find(files, {}, [DEFAULT], None).split == split


def test_without_a_wish_several_splits_of_other_names_are_a_question() -> None:
    files = [f"data/{split}-00000-of-00001.parquet" for split in ("easy", "hard")]
    with pytest.raises(NotInRepositoryError, match="no files for table; there is easy, hard"):
        find(files, {}, [DEFAULT], None)


LAYOUTS: dict[str, tuple[str, list[str]]] = {
    "one pattern for each split": (
        "configs:\n- config_name: default\n  data_files:\n"
        "  - split: val\n    path: mmstar.parquet\n  - split: test\n    path: data/test-*\n",
        ["mmstar.parquet", "data/test-00000-of-00002.parquet", "data/test-00001-of-00002.parquet"],
    ),
    "several patterns, and folders below": (
        "configs:\n- config_name: en\n  data_files:\n  - split: val\n    path:\n    - en/b/*.parquet\n"
        "    - en/a/**\n  - split: test\n    path: '**/t[ae]st?.parquet'\n",
        ["en/a/x/1.parquet", "en/b/0.parquet", "en/b/1.parquet", "en/test1.parquet", "en/tast2.parquet"],
    ),
    "a folder of its own": (
        "configs:\n- config_name: en\n  data_dir: here/en\n- config_name: cn\n  data_dir: here/cn\n  default: true\n",
        ["here/en/test.parquet", "here/cn/test.parquet", "here/cn/train.parquet"],
    ),
    "a default among several": (
        "configs:\n- config_name: a\n  data_files:\n  - split: val\n    path: a.parquet\n- config_name: b\n"
        "  default: true\n  data_files:\n  - split: val\n    path: b.parquet\n  - split: test\n    path: c.parquet\n",
        ["a.parquet", "b.parquet", "c.parquet"],
    ),
    "names alone, sharded": ("", ["data/val-00000-of-00001.parquet", "data/test-00000-of-00001.parquet"]),
    "names alone, in folders": ("", ["x/test/0.parquet", "x/train/0.parquet"]),
    "names alone, with words": ("", ["mine_test.parquet", "mine-train_2.parquet"]),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_datasets_library_finds_the_same_files(layout: str, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from datasets import load_dataset_builder

    card, files = LAYOUTS[layout]
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"x": [1]}), tmp_path / file)
    if card:
        (tmp_path / "README.md").write_text(f"---\n{card}---\n")
    builder = load_dataset_builder(str(tmp_path), cache_dir=str(tmp_path / ".cache"))
    theirs = {str(split): [str(file) for file in of] for split, of in dict(builder.config.data_files or {}).items()}
    ours = Folder(tmp_path)
    assert theirs.keys() & {"val", "test"}
    for split in theirs.keys() & {"val", "test"}:
        found = find(ours.files, ours.card(), [DEFAULT], split)
        assert sorted(map(str, ours.local(found.files))) == sorted(theirs[split])
