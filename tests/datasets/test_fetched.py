"""What is fetched already: kept, fetched again where it is damaged, and what is said of it."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_hub import FakeHub
from filelock import FileLock
from made_up_shapes import N, Shapes, ids, put, rows

from pytest_vtc.datasets.base import DatasetError, Draw
from pytest_vtc.datasets.registry import open_samples

pytestmark = pytest.mark.usefixtures("shapes_are_known")


# What is there already


def test_a_smaller_part_does_not_throw_a_fuller_one_away(on_hub: FakeHub, tmp_path: Path, said: list[str]) -> None:
    Shapes().fetch(tmp_path, None, said.append, Draw(30, 1))
    on_hub.forget()
    Shapes().fetch(tmp_path, None, said.append, Draw(10, 1))
    assert len(ids(Shapes(), tmp_path)) == 30
    assert on_hub.requests == []
    assert "30 of 120 samples, 0 MB are there already, and hold the 10 that were asked for" in said[-1]
    Shapes().fetch(tmp_path, None, said.append)
    Shapes().fetch(tmp_path, None, said.append, Draw(10, 2))
    assert len(ids(Shapes(), tmp_path)) == N


@pytest.mark.parametrize(
    ("spoil", "wrong"),
    [
        (lambda folder: (folder / "manifest.jsonl").write_text(""), r"manifest\.jsonl is cut off"),
        (lambda folder: (folder / "manifest.jsonl").write_text("{"), r"manifest\.jsonl:1: broken JSON"),
        (lambda folder: _cut(folder / "manifest.jsonl", 8), r"manifest\.jsonl is cut off"),
        (lambda folder: _last_image(folder).unlink(), r"images.\w+\.png is missing$"),
    ],
)
def test_a_part_that_is_damaged_is_fetched_again(
    source: Path, tmp_path: Path, said: list[str], spoil: Callable[[Path], Any], wrong: str
) -> None:
    Shapes().fetch(tmp_path, source, said.append, Draw(12, 1))
    spoil(tmp_path / "shapes")
    Shapes().fetch(tmp_path, source, said.append, Draw(12, 1))
    assert any(re.search(f"shapes: fetched again: .*{wrong}", line) for line in said)
    assert len(ids(Shapes(), tmp_path)) == 12
    said.clear()
    Shapes().fetch(tmp_path, source, said.append, Draw(12, 1))
    assert "nothing to fetch" in said[-1]


@pytest.mark.parametrize("draw", [None, Draw(12, 1)])
def test_what_is_cut_off_is_not_opened(source: Path, tmp_path: Path, said: list[str], draw: Draw | None) -> None:
    Shapes().fetch(tmp_path, source, said.append, draw)
    _cut(Shapes().manifest_path(tmp_path), 8)
    with pytest.raises(
        DatasetError,
        match=r"shapes: damaged: .*manifest\.jsonl is cut off \(fetch it again: python -m .* shapes --source",
    ):
        open_samples("shapes", tmp_path, None, 1)


def test_a_part_from_elsewhere_is_fetched_again(source: Path, tmp_path: Path, said: list[str]) -> None:
    table = [{**row, "question": f"really, {row['question']}"} for row in rows()]
    other = put(tmp_path / "other", table)
    Shapes().fetch(tmp_path, source, said.append, Draw(12, 1))
    Shapes().fetch(tmp_path, other, said.append, Draw(12, 1))
    assert f"shapes: fetched again: it comes from {source}, not from {other}" in said
    assert all(sample.prompt.startswith("really, ") for sample in Shapes().load(tmp_path))
    with pytest.raises(DatasetError, match="does not exist"):
        Shapes().fetch(tmp_path, tmp_path / "nowhere", said.append, Draw(12, 1))


def test_more_than_there_is_is_not_taken_for_there(source: Path, tmp_path: Path, said: list[str]) -> None:
    Shapes().fetch(tmp_path, source, said.append)
    with pytest.raises(DatasetError, match="asked for 121 samples, but it has 120"):
        Shapes().fetch(tmp_path, source, said.append, Draw(121, 1))


def test_a_part_by_another_seed_replaces_one_and_says_so(source: Path, tmp_path: Path, said: list[str]) -> None:
    Shapes().fetch(tmp_path, source, said.append, Draw(30, 1))
    Shapes().fetch(tmp_path, source, said.append, Draw(10, 2))
    assert len(ids(Shapes(), tmp_path)) == 10
    assert any("another draw, by seed 1, is there (30 of 120 samples, 0 MB); its manifest is rep" in x for x in said)


def test_two_fetches_of_one_dataset_do_not_meet(source: Path, tmp_path: Path) -> None:
    waiting = threading.Event()

    def listen(line: str) -> None:
        if "another process is fetching it; waiting" in line:
            waiting.set()

    with FileLock(tmp_path / ".shapes.lock"):
        other = threading.Thread(target=Shapes().fetch, args=(tmp_path, source, listen))
        other.start()
        assert waiting.wait(20)
        assert Shapes().state(tmp_path).startswith("not fetched")
    other.join(20)
    assert Shapes().state(tmp_path).startswith("fetched, 120 samples")


# What is said


def test_a_large_dataset_says_that_a_part_can_be_had(
    on_hub: FakeHub, tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Shapes, "about_mb", 6_900)
    monkeypatch.setattr(Shapes, "note", "test answers are hidden; validation is used")
    Shapes().fetch(tmp_path, None, said.append)
    assert said[0] == (
        "shapes: made-up shapes; about 6,900 MB from the Hub (--n 500 fetches a part); licence: none of your business; "
        "test answers are hidden; validation is used"
    )


@pytest.mark.parametrize(
    ("spoil", "state"),
    [
        (lambda folder: (folder / "manifest.jsonl").write_text("{"), "damaged: .*manifest.jsonl"),
        (lambda folder: _cut(folder / "manifest.jsonl"), r"damaged: .*manifest\.jsonl is cut off"),
        (lambda folder: [path.unlink() for path in (folder / "images").iterdir()], "damaged: .* is missing"),
        (lambda folder: _header(folder / "manifest.jsonl", samples="many"), "damaged: .*manifest.jsonl"),
        (lambda folder: (folder / "manifest.jsonl").unlink(), r"fetched in part \(about 1 MB\)"),
    ],
)
def test_state_says_what_is_damaged(
    source: Path, tmp_path: Path, said: list[str], spoil: Callable[[Path], Any], state: str
) -> None:
    Shapes().fetch(tmp_path, source, said.append)
    spoil(tmp_path / "shapes")
    assert re.match(state, Shapes().state(tmp_path))


def _cut(path: Path, lines: int = 50) -> None:
    path.write_text("\n".join(path.read_text().splitlines()[:lines]) + "\n")


def _last_image(folder: Path) -> Path:
    return folder / json.loads((folder / "manifest.jsonl").read_text().splitlines()[-1])["images"][0]


def _header(path: Path, **changes: Any) -> None:
    first, *others = path.read_text().splitlines()
    path.write_text("\n".join([json.dumps({**json.loads(first), **changes}), *others]) + "\n")
