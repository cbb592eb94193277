"""Manifests: what is read out of them, and errors that name file and line."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pytest_vtc.datasets.base import DatasetError
from pytest_vtc.datasets.manifest import Manifest, read_header, read_manifest, write_manifest

Read = Callable[..., Manifest]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Writes lines (objects, or text as it is) into a manifest that has an a.png and a b.png beside it; reads it."""
    for name in ("a.png", "b.png"):
        Image.new("RGB", (2, 2)).save(tmp_path / name)

    def read_lines(*lines: dict[str, Any] | str) -> Manifest:
        path = tmp_path / "m.jsonl"
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        path.write_text("\n".join(texts), encoding="utf-8")
        return read_manifest(path)

    return read_lines


def row(**changes: Any) -> dict[str, Any]:
    """A good row with `changes`; a value of None takes the key away."""
    values = {"id": "q1", "image": "a.png", "prompt": "What?", "answer": "cat", "category": "pets", **changes}
    return {key: value for key, value in values.items() if value is not None}


def test_row_becomes_a_sample(read: Read, tmp_path: Path) -> None:
    (sample,) = read(row(options=["cat", "dog"])).samples
    assert (sample.id, sample.prompt, sample.answers, sample.options) == ("q1", "What?", ("cat",), ("cat", "dog"))
    assert (sample.category, sample.group) == ("pets", "a.png")
    assert [str(image) for image in sample.images] == [str(tmp_path / "a.png")]


def test_images_are_not_opened(read: Read, tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("not an image")
    assert len(read(row(image="notes.png")).samples) == 1


def test_several_images_keep_their_order(read: Read) -> None:
    (sample,) = read(row(image=None, images=["b.png", "a.png"])).samples
    assert [Path(str(image)).name for image in sample.images] == ["b.png", "a.png"]
    assert sample.group == "b.png"


@pytest.mark.parametrize(
    ("answer", "accepted"),
    [("cat", ("cat",)), (3, ("3",)), (2.0, ("2",)), (0.25, ("0.25",)), (["two", 2], ("two", "2"))],
)
def test_answer_may_be_text_number_or_list(read: Read, answer: Any, accepted: tuple[str, ...]) -> None:
    assert read(row(answer=answer)).samples[0].answers == accepted


def test_optional_fields_may_be_missing_or_null(read: Read) -> None:
    line = '{"id": 7, "image": "a.png", "prompt": "?", "answer": "x", "options": null, "category": null, "group": null}'
    (sample,) = read(line).samples
    assert (sample.id, sample.options, sample.category, sample.group) == ("7", (), "", "a.png")


def test_blank_lines_byte_order_mark_and_other_keys_are_accepted(read: Read) -> None:
    assert len(read("\ufeff", row(note="mine"), "", "   ", row(id="q2")).samples) == 2


def test_samples_of_one_group_become_neighbours(read: Read) -> None:
    rows = [row(id=i, image=image) for i, image in enumerate(["a.png", "b.png", "./a.png", "b.png"])]
    assert [sample.id for sample in read(*rows).samples] == ["0", "2", "1", "3"]


def test_group_may_be_given(read: Read) -> None:
    samples = read(row(id=1, group="g"), row(id=2), row(id=3, image="b.png", group="g")).samples
    assert [(sample.id, sample.group) for sample in samples] == [("1", "g"), ("3", "g"), ("2", "a.png")]


def test_one_of_several_people_may_have_said_nothing(read: Read) -> None:
    header = {"manifest": 1, "scoring": "vqa_evalai"}
    assert read(header, row(answer=["", "cat"])).samples[0].answers == ("", "cat")
    with pytest.raises(DatasetError, match='"answer" is blank'):
        read(header, row(answer=["", " "]))
    with pytest.raises(DatasetError, match='"answer" is blank'):
        read({"manifest": 1, "scoring": "exact"}, row(answer=["", "cat"]))


@pytest.mark.parametrize(
    ("scoring", "answer", "options", "right"),
    [
        ("auto", "C", ["one", "two"], False),
        ("letters", "Z", ["one", "two"], False),
        ("letters", "one", ["one", "two"], False),
        ("soft", "C", ["A", "B"], False),
        ("auto", "B", ["one", "two"], True),
        ("soft", "x", ["x", "y"], True),
        ("auto", "one", ["one", "two"], True),
        ("letters", "D", [], True),
        ("exact", "C", [], True),
    ],
)
def test_answer_that_is_no_options_is_refused(
    read: Read, scoring: str, answer: str, options: list[str], right: bool
) -> None:
    rows = {"manifest": 1, "scoring": scoring}, row(answer=answer, options=options)
    if right:
        assert read(*rows).samples[0].answers == (answer,)
    else:
        with pytest.raises(DatasetError, match=f"m.jsonl:2: \"answer\" is '{answer}', "):
            read(*rows)


def test_header_key_with_a_slip_of_the_pen_is_refused(read: Read) -> None:
    with pytest.raises(DatasetError, match=r"m\.jsonl:1: the header has a key .scorin.: did you mean .scoring.\?"):
        read({"manifest": 1, "scorin": "exact"}, row())


def test_all_of_ten_people_may_have_said_nothing(read: Read) -> None:
    assert read({"manifest": 1, "scoring": "vqa_evalai"}, row(answer=[""] * 10)).samples[0].answers == ("",) * 10


def test_scoring_is_auto_without_a_header(read: Read) -> None:
    header = read(row()).header
    assert (header.name, header.scoring, header.max_new_tokens) == (None, "auto", 32)


def test_header_overrides_scoring_length_and_name(read: Read) -> None:
    said = {"manifest": 1, "scoring": "gqa_official", "max_new_tokens": 5, "name": "mine", "source": "me"}
    header = read(said, row()).header
    assert (header.name, header.scoring, header.max_new_tokens) == ("mine", "gqa_official", 5)
    assert header.extra["source"] == "me"


def test_answers_may_be_missing_where_nothing_is_scored(read: Read) -> None:
    assert read({"manifest": 1, "scoring": "none"}, row(answer=None)).samples[0].answers == ()


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('{"id": 1,', "broken JSON: .* at column 10"),
        ("[1, 2]", "expected a JSON object, found a list"),
        ("[" * 100_000, "broken JSON"),
        (row(id=None), 'the field "id" is missing'),
        (row(image=None), 'the field "image" is missing'),
        (row(prompt=None), r'the field "prompt" is missing \(found: id, image, answer, category\)'),
        (row(answer=None), 'the field "answer" is missing'),
        (row(id=["x"]), '"id" must be a string, not a list'),
        (row(id=" "), '"id" is .* not blank'),
        (row(id="a\nb"), '"id" is .* printable'),
        (row(prompt=3), '"prompt" must be a string, not a number'),
        (row(image={}), '"image" must be a string, not an object'),
        (row(images="a.png", image=None), '"images" must be a list, not a string'),
        (row(images=[1], image=None), 'an entry of "images" must be a string, not a number'),
        (row(images=[], image=None), "at least one image"),
        (row(image=""), "at least one image"),
        (row(images=["b.png"]), '"image" or "images", not both'),
        (row(answer=True), '"answer" is true; write the word'),
        (row(answer=" "), '"answer" is blank'),
        (row(answer=[]), '"answer" is an empty list'),
        (row(answer=[["x"]]), '"answer" must be a string, not a list'),
        ('{"id": 1, "image": "a.png", "prompt": "?", "answer": Infinity}', "must be finite"),
        ('{"id": 1, "image": "a.png", "prompt": "\\ud800", "answer": "x"}', "surrogate"),
        (row(options={"A": "x"}), '"options" must be a list, not an object'),
        (row(options=["x"] * 27), "27 entries"),
        (row(category=1), '"category" must be a string'),
        (row(group=1), '"group" must be a string'),
        ({"manifest": 1}, "must be the first line"),
    ],
)
def test_bad_line_is_named_with_what_is_wrong(read: Read, line: dict[str, Any] | str, complaint: str) -> None:
    with pytest.raises(DatasetError, match=rf"m\.jsonl:3: .*{complaint}"):
        read(row(id="good"), "", line)


@pytest.mark.parametrize(
    ("header", "complaint"),
    [
        ({"manifest": 2}, "manifests of version 1"),
        ({"manifest": True}, "manifests of version 1"),
        ({"manifest": 1, "scoring": "exakt"}, "unknown scoring rule 'exakt': did you mean exact"),
        ({"manifest": 1, "scoring": 1}, '"scoring" must be a string'),
        ({"manifest": 1, "max_new_tokens": 0}, '"max_new_tokens" is 0'),
        ({"manifest": 1, "max_new_tokens": "8"}, "\"max_new_tokens\" is '8'"),
        ({"manifest": 1, "name": "a/b"}, "\"name\" is 'a/b'"),
    ],
)
def test_bad_header_is_named_with_what_is_wrong(read: Read, header: dict[str, Any], complaint: str) -> None:
    with pytest.raises(DatasetError, match=rf"m\.jsonl:1: .*{complaint}"):
        read(header, row())


@pytest.mark.parametrize("name", ["mmmu_pro_official", "mmmu_mc_lmms", "mcq_vlmevalkit", "scienceqa_llava"])
def test_rule_that_needs_options_is_an_error_without_them(read: Read, name: str) -> None:
    with pytest.raises(DatasetError, match=r'm\.jsonl:2: the field "options" is missing'):
        read({"manifest": 1, "scoring": name}, row(answer="A"))


def test_repeated_id_names_both_lines(read: Read) -> None:
    with pytest.raises(DatasetError, match=r"m\.jsonl:3: the id 'q1' was used in line 1 already"):
        read(row(), "", row(image="b.png"))


@pytest.mark.parametrize("lines", [(), ("", "  "), ({"manifest": 1},)])
def test_empty_manifest_is_an_error(read: Read, lines: tuple[Any, ...]) -> None:
    with pytest.raises(DatasetError, match=r"m\.jsonl: the manifest is empty"):
        read(*lines)


def test_missing_images_are_named_with_their_lines(read: Read) -> None:
    rows = [row(id=i, image=f"gone{i}.png") for i in range(5)]
    with pytest.raises(DatasetError, match=r"m\.jsonl:2: no image at .*gone0\.png; .*:4: .*gone2\.png; and 2 more"):
        read(row(), *rows)


@pytest.mark.parametrize("name", ["a" * 5000, "a\x00b", "."])
def test_impossible_image_path_is_a_missing_image(read: Read, name: str) -> None:
    with pytest.raises(DatasetError, match=r"m\.jsonl:1: no image at"):
        read(row(image=name))


def test_text_that_is_not_utf8_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "latin.jsonl"
    path.write_bytes(b"\n" + '{"id": "é"}'.encode("latin-1"))
    with pytest.raises(DatasetError, match=r"latin\.jsonl:2: not UTF-8"):
        read_manifest(path)


def test_missing_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"gone\.jsonl: no such manifest"):
        read_manifest(tmp_path / "gone.jsonl")


def test_header_is_read_without_the_rows(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text('{"manifest": 1, "scoring": "soft"}\nnot JSON\n')
    assert read_header(path).scoring == "soft"


def test_interrupted_writing_leaves_the_old_manifest_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    write_manifest(path, {}, [row()])
    before = path.read_bytes()

    def broken() -> Any:
        yield row(id="new")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_manifest(path, {}, broken())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_manifest_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatasetError, match="cannot write the manifest"):
        write_manifest(tmp_path / "file" / "m.jsonl", {}, [row()])


texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
answers = texts.filter(lambda text: len(text.strip()) > 1)  # a letter is checked against the options
rows_to_write = st.fixed_dictionaries(
    {"prompt": texts, "answer": st.lists(answers, min_size=1, max_size=3), "options": st.lists(texts, max_size=4)},
    optional={"category": texts, "group": st.sampled_from(["g", "h"])},
)


@settings(max_examples=50, deadline=None)
@given(rows=st.lists(rows_to_write, min_size=1, max_size=5))
def test_what_is_written_is_read_back(rows: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "deep" / "m.jsonl"
        path.parent.mkdir()
        (path.parent / "a.png").touch()
        numbered = [{"id": str(i), "image": "a.png", **row} for i, row in enumerate(rows)]
        write_manifest(path, {"scoring": "exact", "name": "round-trip"}, numbered)
        manifest = read_manifest(path)
        assert (manifest.header.name, manifest.header.scoring) == ("round-trip", "exact")
        assert sorted(
            (s.id, s.prompt, list(s.answers), list(s.options), s.category, s.group) for s in manifest.samples
        ) == [
            (r["id"], r["prompt"], r["answer"], r["options"], r.get("category", ""), r.get("group", "a.png"))
            for r in numbered
        ]
