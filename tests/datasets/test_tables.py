"""Rows of tables: some of the columns, some of the rows, of files of several kinds, and what that costs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fake_hub import FakeHub
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_vtc.datasets.base import DatasetError
from pytest_vtc.datasets.hub import locate
from pytest_vtc.datasets.tables import ParquetTable, Table, local_table

Write = Callable[..., list[Path]]
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
SCHEMA = pa.schema([("n", pa.int64()), ("text", pa.string()), ("image", IMAGE)])


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes rows {"n", "text", "image"} to files of so many rows each: `write([3, 4], per_group=2)`."""

    def write(sizes: list[int], per_group: int = 2, image: int = 10) -> list[Path]:
        files, start = [], 0
        for number, size in enumerate(sizes):
            rows = [{"n": n, "text": f"t{n}", "image": {"bytes": bytes(image), "path": f"{n}.png"}}
                    for n in range(start, start + size)]  # fmt: skip
            files.append(tmp_path / f"{number}.parquet")
            table = pa.Table.from_pylist(rows, schema=SCHEMA)
            pq.write_table(table, files[-1], row_group_size=per_group, compression="none", use_dictionary=False)
            start += size
        return files

    return write


def numbers(table: Table, places: list[int] | None = None) -> list[int]:
    rows = list(table.rows(["n"], places))
    assert all(str(place) == str(row["n"]) for place, row in rows)
    return [place for place, _ in rows]


def test_rows_are_numbered_across_files(write: Write) -> None:
    assert numbers(local_table(write([3, 0, 4]))) == list(range(7))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.integers(0, 9), min_size=1, max_size=4).filter(any), per_group=st.integers(1, 4), data=st.data()
)
def test_any_rows_can_be_asked_for(write: Write, sizes: list[int], per_group: int, data: st.DataObject) -> None:
    places = sorted(data.draw(st.sets(st.integers(0, sum(sizes) - 1))))
    assert numbers(local_table(write(sizes, per_group)), places) == places


def test_rows_beyond_a_batch_are_found(write: Write) -> None:
    places = [0, 63, 64, 130, 199]
    assert numbers(local_table(write([200], per_group=150)), places) == places


def test_only_the_columns_that_are_asked_for_come(write: Write) -> None:
    (_, row), *_ = local_table(write([1])).rows(["text", "image"])
    assert row == {"text": "t0", "image": {"bytes": bytes(10), "path": "0.png"}}


def test_column_that_is_not_there_is_named(write: Write) -> None:
    with pytest.raises(DatasetError, match=r"0\.parquet: no column word \(it has n, text, image\)"):
        next(iter(local_table(write([1])).rows(["word"])))


def test_column_that_one_of_the_files_lacks_is_not_there(write: Write, tmp_path: Path) -> None:
    files = write([2, 2])
    pq.write_table(pa.table({"n": [2, 3]}), files[1])
    with pytest.raises(DatasetError, match=r"no column text \(it has n\)"):
        list(local_table(files).rows(["text"]))


def test_cost_counts_the_row_groups_that_hold_the_rows(write: Write) -> None:
    table = local_table(write([4, 4], image=10_000))
    whole = table.cost(["n", "text", "image"], range(8))
    part = table.cost(["n", "image"], [1, 6])
    assert whole is not None
    assert part is not None
    assert whole[0] == whole[1] == part[1]
    assert 40_000 < part[0] < 41_000


@pytest.mark.parametrize("rows", [[5], [0, 5, 9]])
def test_over_a_network_only_these_are_transferred(
    write: Write, hub: FakeHub, tmp_path: Path, said: list[str], rows: list[int]
) -> None:
    folder = hub.folder("owner/data")
    folder.mkdir(parents=True)
    for number, file in enumerate(write([6, 4], image=50_000)):
        file.rename(folder / f"test-0000{number}-of-00002.parquet")
    repository, found = locate("data", ["owner/data"], ["default"], "test", said.append)
    table = repository.table(found, whole=False)
    hub.forget()
    assert numbers(table, rows) == rows
    assert hub.n_bytes < 10_000
    hub.forget()
    assert len(list(table.rows(["n", "image"], rows))) == len(rows)
    assert 100_000 * len(rows) < hub.n_bytes < 101_000 * len(rows)


def test_names_of_classes_are_known(tmp_path: Path, publish: Any) -> None:
    from datasets import ClassLabel, Features, Value

    features = Features(word=Value("string"), kind=ClassLabel(names=["no", "yes"]))
    publish(tmp_path / "x.parquet", [{"word": "a", "kind": 1}], features)
    table = local_table([tmp_path / "x.parquet"])
    assert (table.class_names("kind"), table.class_names("word")) == (["no", "yes"], ())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.jsonl", '{"n": 0, "text": "a, b"}\n{"n": 1, "text": "c"}\n{"n": 2, "text": "d"}\n'),
        ("rows.csv", 'n,text\n0,"a, b"\n1,c\n2,d\n'),
        ("rows.tsv", "n\ttext\n0\ta, b\n1\tc\n2\td\n"),
    ],
)
def test_tables_of_text_are_read_too(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    table = local_table([tmp_path / name])
    assert table.columns == ["n", "text"]
    assert next(iter(table.rows(["text"]))) == (0, {"text": "a, b"})
    assert numbers(table) == [0, 1, 2]
    assert numbers(table, [0, 2]) == [0, 2]


def test_table_that_is_none_is_named(tmp_path: Path) -> None:
    for name in ("cut.parquet", "cut.arrow"):
        (tmp_path / name).write_bytes(b'PAR1{"n": ')
        with pytest.raises(DatasetError, match=rf"cannot read {name} in"):
            local_table([tmp_path / name])


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        (
            "x.jsonl",
            b'{"n": 0}\n{"n": \n',
            r"x\.jsonl:2: not JSON: Expecting value \(column 6\); each line has to be one",
        ),
        ("x.jsonl", b'{"n": 0}\n\n[1]\n', r"x\.jsonl:3: each line has to be one object"),
        ("x.jsonl", '{"n": "é"}\n'.encode("latin-1"), r"x\.jsonl:1: not UTF-8 text; save the file as UTF-8"),
        (
            "x.csv",
            "n\na\né\n".encode("latin-1"),
            r"x\.csv:3: not UTF-8 text; save it from the spreadsheet as CSV UTF-8",
        ),
        ("x.csv", b"n,m\n0,1\n0\n", r"x\.csv:3: 1 cells where the header has 2"),
    ],
)
def test_line_that_cannot_be_read_is_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str, content: bytes, complaint: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DatasetError, match=complaint):
        list(local_table([tmp_path / name]).rows(["n"]))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["x.csv", "x.tsv"])
def test_cells_of_spreadsheets_stay_the_text_they_are(tmp_path: Path, name: str) -> None:
    cells = ["007", "1.50", "True", "1.0", "None", "NA", "2020-01-01", ""]
    (tmp_path / name).write_text("".join(f"{cell}{chr(9) if name == 'x.tsv' else ','}.\n" for cell in ["n", *cells]))
    table = local_table([tmp_path / name])
    assert [row["n"] for _, row in table.rows(["n"])] == cells
    assert table.cells_are_text


def test_objects_keep_what_they_say_and_may_leave_names_out(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_bytes(b'\xef\xbb\xbf{"n": "2020-01-01"}\r\n\r\n{"n": 1, "m": [null, "None"]}')
    table = local_table([tmp_path / "x.jsonl"])
    assert [row for _, row in table.rows(["n", "m"])] == [{"n": "2020-01-01", "m": None}, {"n": 1, "m": [None, "None"]}]


def test_rows_are_named_by_file_and_line_or_number(write: Write, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('n\n"0\n0"\n\n1\n')
    (tmp_path / "b.csv").write_text("n\n2\n")
    lines = local_table([tmp_path / "a.csv", tmp_path / "b.csv"])
    assert [lines.where(place) for place, _ in lines.rows(["n"])] == [
        f"{tmp_path}/a.csv:2", f"{tmp_path}/a.csv:5", f"{tmp_path}/b.csv:2",
    ]  # fmt: skip
    numbered = local_table(write([3, 0, 4]))
    assert [numbered.where(place) for place in (0, 2, 3, 6)] == [
        f"{tmp_path}/0.parquet, row 1", f"{tmp_path}/0.parquet, row 3",
        f"{tmp_path}/2.parquet, row 1", f"{tmp_path}/2.parquet, row 4",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["x.parquet", "x.csv", "x.jsonl"])
def test_pointer_of_git_lfs_is_told_apart(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(DatasetError, match="run `git lfs pull` in the clone"):
        local_table([tmp_path / name])


def test_first_failure_of_several_workers_is_the_one_that_is_told(write: Write) -> None:
    from pytest_vtc.datasets.tables import Part

    def blame(error: Exception) -> DatasetError:
        return DatasetError(f"it was {error}")

    def broken() -> Any:
        raise TimeoutError("too slow")

    (file,) = write([20])
    good = Part("good", lambda: str(file), blame)
    table = ParquetTable([good, good], workers=4)
    table._parts = [good, Part("bad", broken, blame)]
    with pytest.raises(DatasetError, match="it was too slow"):
        list(table.rows(["n"]))
