"""GQA from the Hub's parquet files and from the folder as its authors publish it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from fake_hub import COMMIT, FakeHub
from PIL import Image
from published_rows import encoded

from pytest_vtc.datasets import gqa
from pytest_vtc.datasets.base import DatasetError, Draw
from pytest_vtc.datasets.gqa import Gqa
from pytest_vtc.datasets.manifest import read_header
from pytest_vtc.datasets.registry import open_samples
from pytest_vtc.scoring import rule


def question(image_id: str, text: str = "Is it red?", answer: str = "yes", **changes: Any) -> dict[str, Any]:
    """A question as in the published file, where its id is the key."""
    return {
        "imageId": image_id,
        "question": text,
        "answer": answer,
        "fullAnswer": "Yes, it is.",
        "isBalanced": True,
        "groups": {"global": "color", "local": "06-red"},
        "entailed": "[]",
        "equivalent": "[]",
        "types": {"detailed": "existAttr", "semantic": "attr", "structural": "verify"},
        "annotations": {"question": []},
        "semantic": [{"operation": "select", "argument": "apple", "dependencies": []}],
        "semanticStr": "select: apple",
        **changes,
    }


QUESTIONS = {
    "2001": question("n1"),
    "2002": question("n2", "What is it?", "apple"),
    "2003": question("n1", types={"detailed": "x", "semantic": None, "structural": "query"}),
}


@pytest.fixture
def published(tmp_path: Path) -> Path:
    folder = tmp_path / "published"
    (folder / "images").mkdir(parents=True)
    for name in ("n1", "n2", "not-asked-about"):
        Image.new("RGB", (8, 6)).save(folder / "images" / f"{name}.jpg")
    (folder / "testdev_balanced_questions.json").write_text(json.dumps(QUESTIONS))
    return folder


@pytest.fixture
def hub_copy(tmp_path: Path, publish_gqa: Any) -> Path:
    images = [{"id": name, "image": encoded(colour, "JPEG")} for name, colour in (("n1", "red"), ("n2", "blue"))]
    publish_gqa(tmp_path / "hub", [{"id": key, **row} for key, row in QUESTIONS.items()], images)
    return tmp_path / "hub"


@pytest.mark.parametrize("source", ["published", "hub_copy"])
def test_both_forms_give_the_same_samples(
    source: str, request: pytest.FixtureRequest, tmp_path: Path, said: list[str]
) -> None:
    Gqa().fetch(tmp_path, request.getfixturevalue(source), said.append)
    samples = Gqa().load(tmp_path)
    assert [(s.id, s.group, s.category, s.answers) for s in samples] == [
        ("2001", "n1", "attr/verify", ("yes",)),
        ("2003", "n1", "query", ("yes",)),
        ("2002", "n2", "attr/verify", ("apple",)),
    ]
    assert samples[2].prompt == "What is it?\nAnswer the question using a single word or phrase."
    assert [s.images[0].open().mode for s in samples] == ["RGB"] * 3


def test_published_images_stay_where_they_are(published: Path, tmp_path: Path, said: list[str]) -> None:
    Gqa().fetch(tmp_path / "home", published, said.append)
    assert str(Gqa().load(tmp_path / "home")[0].images[0]) == str(published.resolve() / "images" / "n1.jpg")
    assert not (tmp_path / "home" / "gqa" / "images").exists()


def test_images_of_the_hub_are_kept_byte_for_byte(hub_copy: Path, tmp_path: Path, said: list[str]) -> None:
    Gqa().fetch(tmp_path / "home", hub_copy, said.append)
    assert (tmp_path / "home" / "gqa" / "images" / "n1.jpg").read_bytes() == encoded("red", "JPEG")["bytes"]


def test_manifest_says_where_it_comes_from(published: Path, tmp_path: Path, said: list[str]) -> None:
    header = read_header(Gqa().fetch(tmp_path, published, said.append))
    assert (header.scoring, header.max_new_tokens) == ("gqa_official", 16)
    assert (header.extra["source"], header.extra["split"]) == (str(published.resolve()), "testdev")
    assert "CC BY 4.0" in header.extra["licence"]
    assert "CC BY 4.0" in said[0]
    assert Gqa().state(tmp_path).startswith("fetched, 3 samples")


def test_validation_questions_are_taken_where_there_are_no_others(
    published: Path, tmp_path: Path, said: list[str]
) -> None:
    (published / "testdev_balanced_questions.json").rename(published / "val_balanced_questions.json")
    assert read_header(Gqa().fetch(tmp_path, published, said.append)).extra["split"] == "val"


def test_missing_images_are_counted_and_named(published: Path, tmp_path: Path, said: list[str]) -> None:
    many = {str(n): question(f"gone{n}") for n in range(5)}
    (published / "testdev_balanced_questions.json").write_text(json.dumps({**QUESTIONS, **many}))
    with pytest.raises(DatasetError, match=r"images: 5 of the images are missing: gone0, gone1, gone2, \.\.\."):
        Gqa().fetch(tmp_path, published, said.append)


def test_missing_image_of_the_hub_copy_is_named(
    tmp_path: Path, publish_gqa: Any, hub_copy: Path, said: list[str]
) -> None:
    rows = [{"id": "1", **question("gone")}]
    publish_gqa(hub_copy, rows, [{"id": "n1", "image": encoded("red")}])
    with pytest.raises(DatasetError, match="1 of the images are missing: gone"):
        Gqa().fetch(tmp_path, hub_copy, said.append)


def test_null_image_is_named(tmp_path: Path, publish_gqa: Any, said: list[str]) -> None:
    publish_gqa(tmp_path, [{"id": "1", **question("n1")}], [{"id": "n1", "image": None}])
    with pytest.raises(DatasetError, match="gqa, image n1: it is null"):
        Gqa().fetch(tmp_path / "home", tmp_path, said.append)


def test_wrong_folder_says_what_was_expected(tmp_path: Path, said: list[str]) -> None:
    with pytest.raises(DatasetError, match=r"expected testdev_balanced_questions\.json or val_balanced"):
        Gqa().fetch(tmp_path, tmp_path, said.append)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ('{"1":\n {', r"testdev_balanced_questions\.json:2: broken JSON"),
        ("[]", "expected an object of questions"),
        ("{}", "expected an object of questions"),
        ('{"1": "x"}', "question 1 is not an object"),
        ('{"1": {"imageId": "n1", "question": "?"}}', "question 1 has no 'answer'"),
    ],
)
def test_damaged_questions_are_named(
    published: Path, tmp_path: Path, said: list[str], content: str, complaint: str
) -> None:
    (published / "testdev_balanced_questions.json").write_text(content)
    with pytest.raises(DatasetError, match=complaint):
        Gqa().fetch(tmp_path, published, said.append)


def test_hub_copy_is_counted_and_records_its_revision(
    hub: FakeHub, hub_copy: Path, tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.moved["lmms-lab/GQA"] = "lmms-lab-encoder/GQA"
    shutil.copytree(hub_copy, hub.folder("lmms-lab-encoder/GQA"))
    with pytest.raises(DatasetError, match="3 questions came from the Hub where 12,578 were expected"):
        Gqa().fetch(tmp_path, None, said.append)
    monkeypatch.setattr(gqa, "SIZE", 3)
    header = read_header(Gqa().fetch(tmp_path, None, said.append))
    assert (header.extra["source"], header.extra["revision"]) == ("lmms-lab-encoder/GQA", COMMIT)


@pytest.mark.parametrize("source", ["published", "hub_copy"])
def test_a_part_is_what_a_run_would_draw_of_all(
    source: str, request: pytest.FixtureRequest, tmp_path: Path, said: list[str]
) -> None:
    folder = request.getfixturevalue(source)
    Gqa().fetch(tmp_path / "all", folder, said.append)
    for seed in range(6):
        Gqa().fetch(tmp_path / "part", folder, said.append, Draw(2, seed))
        part = [sample.id for sample in Gqa().load(tmp_path / "part")]
        assert part == [sample.id for sample in open_samples("gqa", tmp_path / "all", 2, seed).samples]
    assert Gqa().state(tmp_path / "part").startswith("fetched, 2 of 3 samples")


def test_a_part_of_the_hub_copy_takes_its_images_alone(
    hub: FakeHub, hub_copy: Path, tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gqa, "SIZE", 3)
    shutil.copytree(hub_copy, hub.folder("lmms-lab-encoder/GQA"))
    Gqa().fetch(tmp_path, None, said.append, Draw(1, 0))
    assert len(list((tmp_path / "gqa" / "images").iterdir())) == 1


def test_vtbench_wording_is_a_style_of_its_own(published: Path, tmp_path: Path, said: list[str]) -> None:
    Gqa().fetch(tmp_path, published, said.append)
    assert Gqa().load(tmp_path, "vtbench")[2].prompt == "What is it? Answer with a single word or short phrase."


def test_rules_of_other_harnesses_are_known() -> None:
    verdicts = {whose: rule(name).score("**yes**", ["yes"], []).value for whose, name in Gqa.scorings.items()}
    assert verdicts == {"official": 0.0, "lmms": 1.0, "vlmevalkit": 0.0}


def test_images_that_are_written_are_not_written_again(hub_copy: Path, tmp_path: Path, said: list[str]) -> None:
    Gqa().fetch(tmp_path, hub_copy, said.append)
    images = sorted((tmp_path / "gqa" / "images").iterdir())
    before = [image.stat().st_mtime_ns for image in images]
    Gqa().fetch(tmp_path, hub_copy, said.append)
    assert [image.stat().st_mtime_ns for image in images] == before
