"""Fetching a table of questions: whole or a part, gone on with, and counted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from fake_hub import FakeHub
from made_up_shapes import PER_GROUP, N, Pairs, Shapes, Ungrouped, ids, put, rows

from pytest_vtc.datasets import kept_images, registry
from pytest_vtc.datasets.base import DatasetError, Draw
from pytest_vtc.datasets.manifest import read_header
from pytest_vtc.datasets.registry import open_samples

pytestmark = pytest.mark.usefixtures("shapes_are_known")


# A part


@pytest.mark.parametrize("seed", range(4))
def test_a_part_is_what_a_run_draws_of_all(source: Path, tmp_path: Path, said: list[str], seed: int) -> None:
    Shapes().fetch(tmp_path / "all", source, said.append)
    Shapes().fetch(tmp_path / "part", source, said.append, Draw(50, seed))
    for n in (1, 20, 49, 50):
        of_all, of_part = (open_samples("shapes", tmp_path / home, n, seed).samples for home in ("all", "part"))
        assert [(s.id, s.prompt, s.group) for s in of_part] == [(s.id, s.prompt, s.group) for s in of_all]
    assert ids(Shapes(), tmp_path / "part") != [str(n) for n in range(50)]


def test_a_part_of_whole_groups_cuts_none(source: Path, tmp_path: Path, said: list[str]) -> None:
    Pairs().fetch(tmp_path, source, said.append, Draw(50, 0))
    assert len(ids(Pairs(), tmp_path)) == 48
    assert Pairs().state(tmp_path) == "fetched, 48 of 120 samples, 0 MB"


def test_a_part_of_whole_groups_is_enough_for_what_it_was_drawn_for(
    source: Path, tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "known_datasets", lambda: {"shapes": Pairs()})
    Pairs().fetch(tmp_path, source, said.append, Draw(50, 0))
    assert len(open_samples("shapes", tmp_path, 50, 0).samples) == 48
    assert len(open_samples("shapes", tmp_path, 49, 0).samples) == 48
    with pytest.raises(DatasetError, match="only 48 are fetched"):
        open_samples("shapes", tmp_path, 51, 0)


def test_without_groups_rows_are_drawn_one_by_one(source: Path, tmp_path: Path, said: list[str]) -> None:
    Ungrouped().fetch(tmp_path / "few", source, said.append, Draw(10, 0))
    Ungrouped().fetch(tmp_path / "more", source, said.append, Draw(30, 0))
    few, more = ids(Ungrouped(), tmp_path / "few"), ids(Ungrouped(), tmp_path / "more")
    assert (len(few), len(more)) == (10, 30)
    assert set(few) < set(more)
    assert len({int(each) // PER_GROUP for each in few}) > 5


def test_a_part_says_what_it_is_of(source: Path, tmp_path: Path, said: list[str]) -> None:
    header = read_header(Shapes().fetch(tmp_path, source, said.append, Draw(12, 7)))
    assert header.extra["drawn"] == {"n": 12, "seed": 7, "of": N}
    assert header.extra["samples"] == 12
    assert Shapes().state(tmp_path) == "fetched, 12 of 120 samples, 0 MB"
    assert "of which 12 samples are drawn by seed 7" in said[0]


def test_more_than_the_part_is_not_there_and_says_how_to_get_it(source: Path, tmp_path: Path, said: list[str]) -> None:
    Shapes().fetch(tmp_path, source, said.append, Draw(12, 7))
    with pytest.raises(DatasetError, match="of its 120 only 12 are fetched; run: ") as refused:
        open_samples("shapes", tmp_path, 20, 7)
    command = f"python -m pytest_vtc fetch shapes --source {source} --n 20 --seed 7"
    assert str(refused.value).partition("run: ")[2] == command
    with pytest.raises(
        DatasetError, match="it has 120, of which 12 are fetched; ask for at most 12, or for all of tho"
    ):
        open_samples("shapes", tmp_path, 121, 7)


def test_more_of_what_came_from_the_hub_comes_from_there(on_hub: FakeHub, tmp_path: Path, said: list[str]) -> None:
    Shapes().fetch(tmp_path, None, said.append, Draw(12, 42))
    with pytest.raises(DatasetError, match=r"run: python -m pytest_vtc fetch shapes --n 20$"):
        open_samples("shapes", tmp_path, 20, 42)


def test_a_draw_of_everything_is_everything(source: Path, tmp_path: Path, said: list[str]) -> None:
    assert "drawn" not in read_header(Shapes().fetch(tmp_path, source, said.append, Draw(N, 7))).extra


@pytest.mark.parametrize(
    ("n", "complaint"), [(0, "ask for at least 1"), (121, "asked for 121 samples, but it has 120")]
)
def test_a_part_that_cannot_be(source: Path, tmp_path: Path, said: list[str], n: int, complaint: str) -> None:
    with pytest.raises(DatasetError, match=complaint):
        Shapes().fetch(tmp_path, source, said.append, Draw(n, 0))


def test_a_part_transfers_the_row_groups_of_its_rows(on_hub: FakeHub, tmp_path: Path, said: list[str]) -> None:
    Shapes().fetch(tmp_path, None, said.append, Draw(6, 1))
    (file,) = (on_hub.folder("owner/shapes") / "data").iterdir()
    # Six rows on two images: two to four row groups of five rows, the footer, and the other columns of everything.
    assert on_hub.n_bytes < file.stat().st_size / 4
    assert any(re.search(r"reading 6 rows with images, \d MB of 1 MB", line) for line in said)


def test_a_part_in_nearly_all_row_groups_takes_whole_files(on_hub: FakeHub, tmp_path: Path, said: list[str]) -> None:
    Shapes().fetch(tmp_path, None, said.append, Draw(100, 1))
    on_hub.forget()
    Shapes().fetch(tmp_path, None, said.append, Draw(110, 1))
    assert on_hub.n_bytes == 0
    assert len(ids(Shapes(), tmp_path)) == 110


def test_a_part_comes_from_where_the_repository_has_moved(on_hub: FakeHub, tmp_path: Path, said: list[str]) -> None:
    on_hub.folder("owner/shapes").rename(on_hub.folder("owner/forms"))
    on_hub.moved["owner/shapes"] = "owner/forms"
    Shapes().fetch(tmp_path, None, said.append, Draw(6, 1))
    assert len(ids(Shapes(), tmp_path)) == 6


# Going on


def test_a_larger_part_reads_only_what_is_new(on_hub: FakeHub, tmp_path: Path, said: list[str]) -> None:
    Shapes().fetch(tmp_path / "at once", None, said.append, Draw(60, 1))
    at_once = on_hub.n_bytes
    Shapes().fetch(tmp_path / "in two", None, said.append, Draw(54, 1))
    images = {path: path.stat().st_mtime_ns for path in (tmp_path / "in two" / "shapes" / "images").iterdir()}
    on_hub.forget()
    Shapes().fetch(tmp_path / "in two", None, said.append, Draw(60, 1))
    assert on_hub.n_bytes < at_once / 2
    assert ids(Shapes(), tmp_path / "in two") == ids(Shapes(), tmp_path / "at once")
    assert all(path.stat().st_mtime_ns == before for path, before in images.items())


def test_all_of_it_takes_the_place_of_a_part(on_hub: FakeHub, tmp_path: Path, said: list[str]) -> None:
    Shapes().fetch(tmp_path, None, said.append, Draw(10, 1))
    Shapes().fetch(tmp_path, None, said.append)
    assert Shapes().state(tmp_path) == "fetched, 120 samples, 1 MB"


def test_a_part_that_was_cut_off_goes_on(
    on_hub: FakeHub, tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write, count = kept_images.write_original, iter(range(1_000))

    def cut_off(*arguments: Any) -> Path:
        if next(count) == 30:
            raise KeyboardInterrupt
        return write(*arguments)

    monkeypatch.setattr(kept_images, "write_original", cut_off)
    with pytest.raises(KeyboardInterrupt):
        Shapes().fetch(tmp_path, None, said.append, Draw(40, 1))
    assert Shapes().state(tmp_path) == "fetched in part (about 1 MB)"
    monkeypatch.setattr(kept_images, "write_original", write)
    said.clear()
    Shapes().fetch(tmp_path, None, said.append, Draw(40, 1))
    assert any("reading 10 rows with images" in line for line in said)
    assert len(ids(Shapes(), tmp_path)) == 40
    assert sorted(path.name for path in (tmp_path / "shapes").iterdir()) == ["images", "manifest.jsonl"]


def test_another_revision_takes_nothing_over(on_hub: FakeHub, tmp_path: Path, said: list[str]) -> None:
    Shapes().fetch(tmp_path, None, said.append, Draw(10, 1))
    path = Shapes().manifest_path(tmp_path)
    path.write_text(path.read_text().replace("c" * 40, "d" * 40))
    said.clear()
    Shapes().fetch(tmp_path, None, said.append, Draw(20, 1))
    assert any("reading 20 rows with images" in line for line in said)


def test_image_that_was_deleted_is_fetched_again(on_hub: FakeHub, tmp_path: Path, said: list[str]) -> None:
    Shapes().fetch(tmp_path, None, said.append, Draw(10, 1))
    next((tmp_path / "shapes" / "images").iterdir()).unlink()
    Shapes().fetch(tmp_path, None, said.append, Draw(20, 1))
    assert all(image.open() for sample in Shapes().load(tmp_path) for image in sample.images)


# Rows that are no part of it


def test_rows_that_are_no_questions_are_left_out(tmp_path: Path, said: list[str]) -> None:
    Shapes().fetch(tmp_path, put(tmp_path / "source", rows(video=lambda n: n % 2 == 0)), said.append)
    assert ids(Shapes(), tmp_path) == [str(n) for n in range(1, N, 2)]


def test_of_a_sparse_table_only_the_wanted_row_groups_are_transferred(
    hub: FakeHub, tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Shapes, "sparse", True)
    monkeypatch.setattr(Shapes, "size", 20)
    folder = put(hub.folder("owner/shapes") / "data", rows(video=lambda n: n >= 20))
    Shapes().fetch(tmp_path, None, said.append)
    assert ids(Shapes(), tmp_path) == [str(n) for n in range(20)]
    assert hub.n_bytes < next(folder.iterdir()).stat().st_size / 3
    assert Shapes().state(tmp_path) == "fetched, 20 samples, 0 MB"


# Counts


@pytest.mark.parametrize("draw", [None, Draw(10, 0)])
@pytest.mark.parametrize(("attribute", "what"), [("size", "120 questions"), ("n_groups", "40 groups")])
def test_other_counts_than_expected_are_refused(
    on_hub: FakeHub, tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch,
    attribute: str, what: str, draw: Draw | None,
) -> None:  # fmt: skip
    monkeypatch.setattr(Shapes, attribute, 7)
    with pytest.raises(DatasetError, match=f"{what} came from the Hub where 7 were expected"):
        Shapes().fetch(tmp_path, None, said.append, draw)
    assert not Shapes().manifest_path(tmp_path).exists()


@pytest.mark.parametrize(("draw", "n"), [(None, N), (Draw(12, 0), 12)])
def test_other_counts_of_a_folder_are_its_owners_business_and_said(
    source: Path, tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch, draw: Draw | None, n: int
) -> None:
    monkeypatch.setattr(Shapes, "size", 700)
    Shapes().fetch(tmp_path, source, said.append, draw)
    assert len(ids(Shapes(), tmp_path)) == n
    assert any(f"shapes: --source has {N} questions, of 700 that are published" in line for line in said)


@pytest.mark.parametrize("draw", [None, Draw(1, 0)])
def test_bad_row_is_named(tmp_path: Path, said: list[str], draw: Draw | None) -> None:
    table = rows(9)
    table[5]["question"] = ""
    with pytest.raises(DatasetError, match="shapes, row 6: no question"):
        Shapes().fetch(tmp_path, put(tmp_path / "source", table), said.append, draw)


@pytest.mark.parametrize("draw", [None, Draw(1, 0)])
@pytest.mark.parametrize(
    ("repeats", "also"),
    [
        ({7: 3}, ""),
        ({7: 3, 8: 3}, ", and 1 more row has an id that another has"),
        ({5: 4, 7: 3, 8: 3}, ", and 2 more rows have an id that another has"),
    ],
)
def test_rows_of_one_id_are_named(
    tmp_path: Path, said: list[str], draw: Draw | None, repeats: Mapping[int, int], also: str
) -> None:
    table = rows(9, video=lambda n: n == 1)
    for row, other in repeats.items():
        table[row]["id"] = other
    folder = put(tmp_path / "source", table)
    row, other = next(iter(repeats.items()))
    with pytest.raises(DatasetError) as refused:
        Shapes().fetch(tmp_path, folder, said.append, draw)
    assert str(refused.value) == (
        f"shapes: rows {other + 1} and {row + 1} have the same id '{other}'{also}; ids must be unique; are the files "
        f"in {folder} those of another dataset?"
    )
