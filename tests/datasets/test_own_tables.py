"""Tables of a person's own: where they are, fetched once, used offline, and what is wrong with their rows."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, Features, Image, List, Value
from fake_hub import COMMIT, FakeHub
from published_rows import encoded

from pytest_vtc import cli
from pytest_vtc.datasets.base import DatasetError, Draw
from pytest_vtc.datasets.manifest import read_header
from pytest_vtc.datasets.own_tables import fetched_tables, make_ready, manifest_of, own_table, parse_place
from pytest_vtc.datasets.registry import open_samples

TEXT = Value("string")
FEATURES = Features(image=Image(), question=TEXT, answer=ClassLabel(names=["no", "yes"]), page=TEXT)
COLOURS = ("red", "lime", "blue", "gray", "teal", "navy")


def rows(n: int = 6) -> list[dict[str, Any]]:
    return [
        {"image": encoded(COLOURS[k % 6]), "question": f"is it {k}?", "answer": k % 2, "page": f"p{k // 2}"}
        for k in range(n)
    ]


@pytest.fixture
def folder(tmp_path: Path, publish: Any) -> Path:
    publish(tmp_path / "mine" / "test-00000-of-00001.parquet", rows(), FEATURES)
    return tmp_path / "mine"


@pytest.fixture
def on_hub(hub: FakeHub, publish: Any) -> FakeHub:
    folder = hub.folder("me/mine")
    publish(folder / "data" / "test-00000-of-00001.parquet", rows(), FEATURES)
    publish(folder / "data" / "train-00000-of-00001.parquet", rows(1), FEATURES)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Mine\n")
    return hub


def prompts(spec: str, home: Path, **how: Any) -> list[str]:
    return [sample.prompt for sample in open_samples(spec, home, None, 0, **how).samples]


@pytest.mark.parametrize(
    ("spec", "config", "split"),
    [
        ("hf:me/mine", "default", None),
        ("hf:me/mine:en", "en", None),
        ("hf:me/mine:en:val", "en", "val"),
        ("hf:me/mine::val", "default", "val"),
        ("hf:./mine:en:val", "en", "val"),
    ],
)
def test_place_has_configuration_and_split(spec: str, config: str, split: str | None) -> None:
    place = parse_place(spec)
    assert (place.config, place.split) == (config, split)
    assert (place.folder is None) == ("./" not in spec)


@pytest.mark.parametrize("spec", ["hf:", "hf:mine", "hf:me/mine/deep", "hf:me/mine:a:b:c", "hf:me/mi ne"])
def test_place_that_is_none_says_how_to_write_it(spec: str) -> None:
    with pytest.raises(DatasetError, match="names no table: write hf:owner/name"):
        parse_place(spec)


def test_table_of_a_folder_is_fetched_and_opened(folder: Path, tmp_path: Path, said: list[str]) -> None:
    spec = f"hf:{folder}"
    make_ready(spec, None, tmp_path / "home", said.append)
    data = open_samples(spec, tmp_path / "home", None, 0)
    assert (data.name, data.scoring, data.size) == ("mine", "auto", 6)
    assert [(s.id, s.prompt, s.answers) for s in data.samples][:2] == [
        ("1", "is it 0?", ("no",)),
        ("2", "is it 1?", ("yes",)),
    ]
    assert Path(str(data.samples[0].images[0])).read_bytes() == encoded("red")["bytes"]
    assert any("taking the columns image=image,question=question,answer=answer" in line for line in said)


def test_table_is_fetched_once(
    on_hub: FakeHub, tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_ready("hf:me/mine", None, tmp_path, said.append)
    assert "hf:me/mine: split test, 0 MB; licence: mit" in said
    on_hub.forget()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    make_ready("hf:me/mine", None, tmp_path, said.append)
    assert on_hub.requests == []
    assert len(prompts("hf:me/mine", tmp_path)) == 6


def test_manifest_says_where_it_comes_from(on_hub: FakeHub, tmp_path: Path, said: list[str]) -> None:
    make_ready("hf:me/mine", None, tmp_path, said.append)
    facts = read_header(manifest_of("hf:me/mine", None, tmp_path)).extra
    assert (facts["source"], facts["revision"], facts["split"], facts["licence"]) == ("me/mine", COMMIT, "test", "mit")
    assert facts["columns"] == "image=image,question=question,answer=answer"


def test_split_is_chosen(on_hub: FakeHub, tmp_path: Path, said: list[str]) -> None:
    make_ready("hf:me/mine::train", None, tmp_path, said.append)
    assert prompts("hf:me/mine::train", tmp_path) == ["is it 0?"]
    with pytest.raises(DatasetError, match="no files for split 'dev'; there is test, train"):
        make_ready("hf:me/mine::dev", None, tmp_path, said.append)


def test_tables_with_other_columns_lie_beside_each_other(folder: Path, tmp_path: Path, said: list[str]) -> None:
    spec, home = f"hf:{folder}", tmp_path / "home"
    by_page = "image=image,question=page,answer=answer"
    make_ready(spec, by_page, home, said.append)
    assert prompts(spec, home)[0] == "p0"
    make_ready(spec, "image=image,question=question,answer=answer", home, said.append)
    assert prompts(spec, home, columns=by_page)[0] == "p0"
    with pytest.raises(DatasetError, match="is fetched with different columns; say which by --vtc-columns: image="):
        prompts(spec, home)
    assert [shown for shown, _ in fetched_tables(home)] == [spec, spec]


def test_without_an_answer_nothing_is_scored(folder: Path, tmp_path: Path, said: list[str]) -> None:
    spec = f"hf:{folder}"
    make_ready(spec, "image=image,question=question", tmp_path / "home", said.append)
    data = open_samples(spec, tmp_path / "home", None, 0)
    assert (data.scoring, data.samples[0].answers) == ("none", ())


def test_table_of_a_folder_that_has_changed_is_fetched_again(
    folder: Path, tmp_path: Path, publish: Any, said: list[str]
) -> None:
    spec, home = f"hf:{folder}", tmp_path / "home"
    make_ready(spec, None, home, said.append)
    publish(folder / "test-00000-of-00001.parquet", rows(3), FEATURES)
    make_ready(spec, None, home, said.append)
    assert len(prompts(spec, home)) == 3


def test_part_of_a_folder_that_has_changed_is_fetched_again(
    folder: Path, tmp_path: Path, publish: Any, said: list[str]
) -> None:
    spec, home = f"hf:{folder}", tmp_path / "home"
    own_table(spec, None).fetch(home, None, said.append, Draw(3, 0))
    before = prompts(spec, home)
    edited = [{**row, "question": f"now, {row['question']}"} for row in rows()]
    publish(folder / "test-00000-of-00001.parquet", edited, FEATURES)
    own_table(spec, None).fetch(home, None, said.append, Draw(3, 0))
    assert prompts(spec, home) == [f"now, {prompt}" for prompt in before]
    assert f"mine: fetched again: the files of {folder} have changed since" in said
    own_table(spec, None).fetch(home, None, said.append, Draw(3, 0))
    assert "nothing to fetch" in said[-1]


def test_table_that_is_cut_off_is_not_opened(folder: Path, tmp_path: Path, said: list[str]) -> None:
    spec, home = f"hf:{folder}", tmp_path / "home"
    make_ready(spec, None, home, said.append)
    path = manifest_of(spec, None, home)
    path.write_text("\n".join(path.read_text().splitlines()[:-2]) + "\n")
    with pytest.raises(DatasetError, match=r"mine: damaged: .* is cut off \(fetch it again"):
        open_samples(spec, home, None, 0)


@pytest.mark.parametrize("columns", [None, "image=image,question=page,answer=answer"])
@pytest.mark.parametrize("from_source", [False, True])
def test_more_of_a_part_is_fetched_by_the_command_that_is_named(
    folder: Path,
    tmp_path: Path,
    said: list[str],
    monkeypatch: pytest.MonkeyPatch,
    columns: str | None,
    from_source: bool,
) -> None:
    monkeypatch.setenv("VTC_HOME", str(tmp_path / "home"))
    spec, source = ("hf:me/mine", folder) if from_source else (f"hf:{folder}", None)
    own_table(spec, columns).fetch(tmp_path / "home", source, said.append, Draw(3, 1))
    with pytest.raises(DatasetError, match="of its 6 only 3 are fetched") as refused:
        open_samples(spec, tmp_path / "home", 5, 1)
    _, command = str(refused.value).split("run: python -m pytest_vtc ")
    assert cli.main(shlex.split(command)) == 0
    samples = open_samples(spec, tmp_path / "home", 5, 1).samples
    assert len(samples) == 5
    assert all(sample.prompt.startswith("p" if columns else "is it") for sample in samples)


def test_columns_are_said_once(folder: Path, tmp_path: Path, said: list[str]) -> None:
    make_ready(f"hf:{folder}", "image=image,question=page,answer=answer", tmp_path / "home", said.append)
    said.clear()
    make_ready(f"hf:{folder}", None, tmp_path / "home", said.append)
    assert said == []


def test_table_that_is_not_fetched_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"hf:me/mine is not fetched; run: python -m pytest_vtc fetch hf:me/mine$"):
        open_samples("hf:me/mine", tmp_path, None, 0)
    with pytest.raises(DatasetError, match=r"fetch hf:me/mine --columns image=a,question=b,answer=c$"):
        open_samples("hf:me/mine", tmp_path, None, 0, columns="image=a,question=b,answer=c")


def test_offline_says_what_is_missing(tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DatasetError, match=r"HF_HUB_OFFLINE is set.*fetch hf:me/mine --source DIR"):
        make_ready("hf:me/mine", None, tmp_path, said.append)


def test_a_part_is_what_a_run_draws_of_all_if_a_column_has_the_group(
    folder: Path, tmp_path: Path, said: list[str]
) -> None:
    spec, columns = f"hf:{folder}", "image=image,question=question,answer=answer,group=page"
    own_table(spec, columns).fetch(tmp_path / "all", None, said.append)
    own_table(spec, columns).fetch(tmp_path / "part", None, said.append, Draw(4, 3))
    drawn, of_all = (open_samples(spec, tmp_path / home, 3, 3) for home in ("part", "all"))
    assert [sample.id for sample in drawn.samples] == [sample.id for sample in of_all.samples]
    assert (drawn.size, drawn.drawn_from, of_all.drawn_from) == (4, 6, None)


def test_missing_column_lists_what_there_is(folder: Path, tmp_path: Path, said: list[str]) -> None:
    with pytest.raises(DatasetError, match=r"no column 'pic' for image; the columns are image, question, answer, page"):
        make_ready(f"hf:{folder}", "image=pic,question=question,answer=answer", tmp_path / "home", said.append)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"image": None}, r"001\.parquet, row 2 \(2\): it has no image"),
        ({"image": {"bytes": b"no", "path": None}}, r"001\.parquet, row 2 \(2\): not an image"),
        (
            {"image": {"bytes": None, "path": "gone.png"}},
            r"001\.parquet, row 2 \(2\): no image at gone\.png beside test-0",
        ),
        ({"question": " "}, r"001\.parquet, row 2: the question"),
        ({"answer": None}, r"001\.parquet, row 2: the answer"),
    ],
)
def test_bad_row_is_named(
    tmp_path: Path, publish: Any, said: list[str], changes: dict[str, Any], complaint: str
) -> None:
    table = rows()
    table[1] |= changes
    publish(tmp_path / "mine" / "test-00000-of-00001.parquet", table, FEATURES)
    with pytest.raises(DatasetError, match=complaint):
        make_ready(f"hf:{tmp_path / 'mine'}", None, tmp_path / "home", said.append)


def test_several_columns_and_lists_of_images(tmp_path: Path, publish: Any, said: list[str]) -> None:
    features = Features(a=Image(), b=List(Image()), q=TEXT, r=TEXT)
    cells = [encoded(colour) for colour in COLOURS[:3]]
    publish(tmp_path / "m" / "x.parquet", [{"a": cells[0], "b": cells[1:], "q": "?", "r": "x"}], features)
    spec = f"hf:{tmp_path / 'm'}"
    make_ready(spec, "image=a+b,question=q,answer=r", tmp_path / "home", said.append)
    (sample,) = open_samples(spec, tmp_path / "home", None, 0).samples
    assert [Path(str(image)).read_bytes() for image in sample.images] == [cell["bytes"] for cell in cells]


@pytest.mark.parametrize("where", ["folder", "hub"])
def test_images_may_lie_beside_a_table_of_text(where: str, hub: FakeHub, tmp_path: Path, said: list[str]) -> None:
    folder = hub.folder("me/pets")
    (folder / "test" / "pics").mkdir(parents=True)
    for colour in COLOURS[:2]:
        (folder / "test" / "pics" / f"{colour}.png").write_bytes(encoded(colour)["bytes"])
    lines = [{"file_name": f"pics/{colour}.png", "question": "?", "answer": colour} for colour in COLOURS[:2]]
    (folder / "test" / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    spec = "hf:me/pets" if where == "hub" else f"hf:{folder}"
    make_ready(spec, None, tmp_path / "home", said.append)
    samples = open_samples(spec, tmp_path / "home", None, 0).samples
    assert [sample.images[0].open().getpixel((0, 0)) for sample in samples] == [(255, 0, 0), (0, 255, 0)]


@pytest.fixture
def sheet(tmp_path: Path, said: list[str]) -> Any:
    """Writes `sheet.csv` beside an image, fetches the folder, and opens it."""

    def sheet(content: str, name: str = "sheet.csv") -> Any:
        folder = tmp_path / "sheets"
        folder.mkdir()
        (folder / "cat.png").write_bytes(encoded("red")["bytes"])
        (folder / name).write_text(content)
        make_ready(f"hf:{folder}", None, tmp_path / "home", said.append)
        return open_samples(f"hf:{folder}", tmp_path / "home", None, 0).samples

    return sheet


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_cells_of_a_csv_file_are_read_as_in_a_folder_of_images(sheet: Any, delimiter: str) -> None:
    lines = ["id,image,image,question,answer", "001,cat.png,cat.png,how many?,007||1.50", "2,cat.png,,really?,True"]
    several, one = sheet("\n".join(lines).replace(",", delimiter))
    assert (several.id, len(several.images), several.answers) == ("001", 2, ("007", "1.50"))
    assert (one.id, len(one.images), one.answers) == ("2", 1, ("True",))


def test_options_of_a_csv_file_are_the_words_that_stand_there(sheet: Any) -> None:
    by_columns, in_cell = sheet(
        "image,question,answer,A,B,C\ncat.png,how many?,None,1.0,2.0,None\ncat.png,how many?,B,1.0||2.0,NA,\n"
    )
    assert (by_columns.options, by_columns.answers) == (("1.0", "2.0", "None"), ("C",))
    assert in_cell.options == ("1.0", "2.0", "NA")


def test_last_option_of_objects_may_be_called_none(sheet: Any) -> None:
    row = {"image": "cat.png", "question": "how many?", "options": ["One", "Two", "None"], "answer": "C"}
    (sample,) = sheet(json.dumps(row), "rows.jsonl")
    assert sample.options == ("One", "Two", "None")


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("x.csv", "image,question,answer\n\ncat.png,,a\n", r"sheets/x\.csv:3: the question"),
        (
            "x.csv",
            "image,question,answer,id\ncat.png,?,a,7\ncat.png,?,b,7\n",
            r"sheets/x\.csv:3: the id '7' was used in .*sheets/x\.csv:2 already",
        ),
        ("x.csv", "image,question,answer\n", "hf:.*sheets: there are columns and no rows"),
        ("x.jsonl", "\n", r"sheets/x\.jsonl: there are no rows"),
        ("x.csv", "image,question,answer\n,who?,a\n", r"sheets/x\.csv:2 \(1\): it has no image"),
        ("x.jsonl", '{"image": "cat.png", "question": "?", "answer": null}\n', r"sheets/x\.jsonl:1: the answer"),
        ("x.jsonl", '{"image": "cat.png"}\n{"image"\n', r"sheets/x\.jsonl:2: not JSON"),
    ],
)
def test_bad_line_is_named(sheet: Any, name: str, content: str, complaint: str) -> None:
    with pytest.raises(DatasetError, match=complaint):
        sheet(content, name)


@pytest.mark.parametrize(
    ("files", "line"),
    [
        (["a.csv"], None),
        (["a.csv", "b.csv"], "reading a.csv, b.csv, joined to one table"),
        (["a.jsonl", "b.csv"], "reading a.jsonl; not read: b.csv"),
        (["a-test.csv", "a-train.csv", "notes.txt"], "reading a-test.csv; not read: a-train.csv"),
        ([f"{k}.csv" for k in range(7)], "reading 0.csv, 1.csv, 2.csv, 3.csv, 4.csv and 2 more, joined to one table"),
    ],
)
def test_files_that_are_read_and_that_are_left_are_said(
    tmp_path: Path, said: list[str], files: list[str], line: str | None
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "cat.png").write_bytes(encoded("red")["bytes"])
    row = {"image": "cat.png", "question": "who?", "answer": "a cat"}
    for name in files:
        text = json.dumps(row) if name.endswith("jsonl") else f"{','.join(row)}\n{','.join(row.values())}\n"
        (folder / name).write_text(text)
    make_ready(f"hf:{folder}", None, tmp_path / "home", said.append)
    assert [each for each in said if "reading" in each] == ([] if line is None else [f"hf:{folder}: {line}"])
