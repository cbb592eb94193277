"""MMMU-Pro from local files of the published schema: prompts, images in order, originals kept, fetching resumed."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
from fake_hub import COMMIT, FakeHub
from published_rows import Publish, encoded, mmmu_row

from pytest_vtc.datasets import kept_images
from pytest_vtc.datasets.base import DatasetError, Sample
from pytest_vtc.datasets.manifest import read_header
from pytest_vtc.datasets.mmmu_pro import MmmuPro, MmmuPro10, MmmuProVision
from pytest_vtc.scoring import rule

POST_PROMPT = "Answer with the option letter from the given choices directly."


@pytest.fixture
def fetched(tmp_path: Path, publish_mmmu: Publish, said: list[str]) -> Any:
    """Publishes rows, fetches them, and gives back the samples."""

    def fetch(*rows: dict[str, Any], dataset: MmmuPro | None = None, style: str | None = None) -> list[Sample]:
        dataset = dataset or MmmuPro()
        publish_mmmu(tmp_path / "source" / "test-00000-of-00001.parquet", list(rows))
        dataset.fetch(tmp_path / "home", tmp_path / "source", said.append)
        return list(dataset.load(tmp_path / "home", style))

    return fetch


def contents(sample: Sample) -> list[bytes]:
    return [Path(str(image)).read_bytes() for image in sample.images]


def test_prompt_has_question_options_and_post_prompt(fetched: Any) -> None:
    (sample,) = fetched(mmmu_row(1))
    assert sample.prompt == f"Which is older? <image 1>\nA. left\nB. right\n\n{POST_PROMPT}"
    assert (sample.id, sample.answers, sample.options) == ("test_History_1", ("B",), ("left", "right"))
    assert sample.category == "History"


def test_official_prompt_has_placeholders_for_images_in_question_and_options(fetched: Any) -> None:
    row = mmmu_row(1, options="['<image 1>', 'x']")
    fetched(row)
    (sample,) = fetched(row, style="official")
    assert sample.prompt == f"Which is older? [image]\nA. [image]\nB. x\n{POST_PROMPT}"


def test_vlmevalkit_prompt_names_question_and_options(fetched: Any) -> None:
    (sample,) = fetched(mmmu_row(1), style="vlmevalkit")
    assert sample.prompt == (
        "Question: Which is older? <image 1>\nOptions:\nA. left\nB. right\n"
        "Answer directly with the option letter from the given choices. "
    )


def test_rules_of_other_harnesses_are_known(fetched: Any) -> None:
    verdicts = {
        whose: rule(name).score("Answer: **B**", ["B"], ["x", "y"]).value for whose, name in MmmuPro.scorings.items()
    }
    assert verdicts == {"official": 1.0, "lmms": 0.5, "vlmevalkit": 1.0}
    vision = rule(MmmuProVision.scorings["lmms"])
    assert [vision.score(said, ["B"], ["x", "y"]).value for said in ("B", "B.")] == [1.0, 0.0]


def test_options_are_read_as_python_literals(fetched: Any) -> None:
    (sample,) = fetched(mmmu_row(1, options='["It\'s \\"A\\"", \'b\', "1,200"]', answer="C"))
    assert sample.options == ('It\'s "A"', "b", "1,200")


@pytest.mark.parametrize("n", [1, 12])
def test_one_to_twelve_options_have_letters(fetched: Any, n: int) -> None:
    letter = "ABCDEFGHIJKL"[n - 1]
    (sample,) = fetched(mmmu_row(1, options=str([f"text {i}" for i in range(n)]), answer=letter), dataset=MmmuPro10())
    assert len(sample.options) == n
    assert f"\n{letter}. text {n - 1}\n\n" in sample.prompt


@pytest.mark.parametrize("options", ["[]", str(["x"] * 13), "not a list", "{'A': 'x'}", "['unclosed"])
def test_options_that_cannot_be_read_name_the_row(fetched: Any, options: str) -> None:
    with pytest.raises(DatasetError, match=r"mmmu_pro, row 2 \(test_History_2\): .*options"):
        fetched(mmmu_row(1), mmmu_row(2, options=options))


def test_images_come_by_number_and_those_of_the_solution_do_not(fetched: Any) -> None:
    cells = {f"image_{k}": encoded(colour) for k, colour in enumerate(["red", "lime", "blue", "gray", "teal"], 1)}
    row = mmmu_row(1, **cells, question="See <image 3>, then <image 2>.", options="['<image 5>', '<image 3>']")
    (sample,) = fetched(row)
    assert contents(sample) == [cells[f"image_{k}"]["bytes"] for k in (2, 3, 5)]
    assert "See <image 3>, then <image 2>." in sample.prompt


def test_null_images_are_left_out(fetched: Any) -> None:
    row = mmmu_row(1, image_4=encoded("blue"), question="No mention", image_2={"bytes": None, "path": None})
    (sample,) = fetched(row)
    assert len(sample.images) == 2


def test_mentioned_image_that_is_null_names_the_row(fetched: Any) -> None:
    with pytest.raises(
        DatasetError, match=r"row 2 \(test_History_2\): the text mentions <image 7>, but image_7 is null"
    ):
        fetched(mmmu_row(1), mmmu_row(2, options="['<image 7>']"))


def test_mentioned_image_beyond_the_columns_names_the_row(fetched: Any) -> None:
    with pytest.raises(DatasetError, match=r"mentions <image 8>"):
        fetched(mmmu_row(1, question="<image 8>"))


def test_row_without_images_is_named(fetched: Any) -> None:
    with pytest.raises(DatasetError, match=r"row 1 \(test_History_1\): it has no image"):
        fetched(mmmu_row(1, image_1=None, question="?"))


def test_bytes_that_are_no_image_name_the_row(fetched: Any) -> None:
    with pytest.raises(DatasetError, match=r"row 1 \(test_History_1\): not an image"):
        fetched(mmmu_row(1, image_1={"bytes": b"hello", "path": "x.png"}))


def test_answer_that_is_no_letter_names_the_row(fetched: Any) -> None:
    with pytest.raises(DatasetError, match=r"row 1 \(test_History_1\): the answer is '\?'"):
        fetched(mmmu_row(1, answer="?"))


def test_repeated_id_is_an_error(fetched: Any) -> None:
    with pytest.raises(DatasetError, match="rows 1 and 2 have the same id"):
        fetched(mmmu_row(1), mmmu_row(1))


@pytest.mark.parametrize(
    ("cell", "suffix"),
    [
        (encoded(7, mode="P"), ".png"),
        (encoded("red", mode="RGBA"), ".png"),
        (encoded((0, 9, 9, 0), "JPEG", mode="CMYK"), ".jpg"),
        (encoded("red", "WEBP"), ".webp"),
    ],
)
def test_images_are_kept_byte_for_byte(fetched: Any, cell: dict[str, Any], suffix: str) -> None:
    (sample,) = fetched(mmmu_row(1, image_1=cell))
    assert contents(sample) == [cell["bytes"]]
    assert Path(str(sample.images[0])).suffix == suffix
    assert sample.images[0].open().mode == "RGB"


def test_manifest_says_where_it_comes_from(fetched: Any, tmp_path: Path, said: list[str]) -> None:
    fetched(mmmu_row(1), mmmu_row(2))
    header = read_header(MmmuPro().manifest_path(tmp_path / "home"))
    assert (header.name, header.scoring, header.max_new_tokens) == ("mmmu_pro", "mmmu_pro_official", 256)
    assert header.extra["licence"] == "Apache-2.0"
    assert (header.extra["source"], header.extra["samples"]) == (str((tmp_path / "source").resolve()), 2)
    assert "licence: Apache-2.0" in said[0]
    assert "2 questions" in said[-1]


def test_vision_asks_only_by_its_picture(fetched: Any) -> None:
    row = {"id": "v1", "image": encoded("red"), "options": "['x', 'y']", "answer": "A", "subject": "Art"}
    (sample,) = fetched(row, dataset=MmmuProVision())
    assert (sample.prompt, sample.options, sample.category) == (POST_PROMPT, ("x", "y"), "Art")
    assert contents(sample) == [row["image"]["bytes"]]
    (sample,) = fetched(row, dataset=MmmuProVision(), style="official")
    assert sample.prompt.startswith(f"{POST_PROMPT} The last line of your response should be")


def test_file_of_another_configuration_is_recognised(fetched: Any) -> None:
    with pytest.raises(DatasetError, match="no column image "):
        fetched(mmmu_row(1), dataset=MmmuProVision())


def test_damaged_parquet_file_is_named(tmp_path: Path, said: list[str]) -> None:
    (tmp_path / "cut.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DatasetError, match=r"cannot read cut\.parquet"):
        MmmuPro().fetch(tmp_path / "home", tmp_path, said.append)


def test_files_may_lie_in_the_folder_of_their_configuration(
    tmp_path: Path, publish_mmmu: Publish, said: list[str]
) -> None:
    for n, folder in enumerate(("standard (4 options)", "standard (10 options)")):
        publish_mmmu(tmp_path / folder / "test-0.parquet", [mmmu_row(n)])
    MmmuPro10().fetch(tmp_path / "home", tmp_path, said.append)
    assert [s.id for s in MmmuPro10().load(tmp_path / "home")] == ["test_History_1"]


def test_wrong_folder_says_what_was_expected(tmp_path: Path, said: list[str]) -> None:
    with pytest.raises(
        DatasetError, match=r"no files for split 'test' of configuration 'standard \(4 options\)'.*; exp"
    ):
        MmmuPro().fetch(tmp_path, tmp_path, said.append)
    with pytest.raises(DatasetError, match="gone: does not exist"):
        MmmuPro().fetch(tmp_path, tmp_path / "gone", said.append)


def test_fetching_goes_on_after_being_cut_off(
    tmp_path: Path, publish_mmmu: Publish, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home, dataset = tmp_path / "home", MmmuPro()
    publish_mmmu(tmp_path / "test-0.parquet", [mmmu_row(n, image_1=encoded(f"#00{n}000")) for n in range(1, 5)])
    write, count = kept_images.write_original, iter(range(100))

    def cut_off(*arguments: Any) -> Path:
        if next(count) == 2:
            raise KeyboardInterrupt
        return write(*arguments)

    monkeypatch.setattr(kept_images, "write_original", cut_off)
    with pytest.raises(KeyboardInterrupt):
        dataset.fetch(home, tmp_path, said.append)
    assert dataset.state(home) == "fetched in part (about 678 MB)"
    first, second = sorted((home / "mmmu_pro" / "images").iterdir())
    second.write_bytes(b"cut")
    before = first.stat().st_mtime_ns

    monkeypatch.setattr(kept_images, "write_original", write)
    dataset.fetch(home, tmp_path, said.append)
    assert first.stat().st_mtime_ns == before
    assert [image.open().size for sample in dataset.load(home) for image in sample.images] == [(6, 4)] * 4
    assert dataset.state(home) == "fetched, 4 samples, 0 MB"


def test_full_disk_is_said_and_leaves_no_half_image(
    tmp_path: Path, fetched: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> int:
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(
        DatasetError, match=r"test_History_1_1\.png: cannot write the image \(No space left on device\)"
    ):
        fetched(mmmu_row(1))
    assert list((tmp_path / "home" / "mmmu_pro" / "images").iterdir()) == []


def test_home_that_cannot_be_written_is_an_error(tmp_path: Path, fetched: Any) -> None:
    (tmp_path / "home").write_text("a file")
    with pytest.raises(DatasetError, match=r"cannot write here \(.*\); VTC_HOME names another place"):
        fetched(mmmu_row(1))


def test_hub_copy_records_its_revision_and_is_counted(
    hub: FakeHub, tmp_path: Path, publish_mmmu: Publish, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = hub.folder("MMMU/MMMU_Pro") / "standard (4 options)"
    publish_mmmu(folder / "test-00000-of-00001.parquet", [mmmu_row(1), mmmu_row(2)])
    with pytest.raises(DatasetError, match="2 questions came from the Hub where 1,730 were expected"):
        MmmuPro().fetch(tmp_path / "home", None, said.append)
    assert not MmmuPro().manifest_path(tmp_path / "home").exists()

    monkeypatch.setattr(MmmuPro, "size", 2)
    header = read_header(MmmuPro().fetch(tmp_path / "home", None, said.append))
    assert (header.extra["source"], header.extra["revision"]) == ("MMMU/MMMU_Pro", COMMIT)


def test_older_revision_has_its_ten_options_under_another_name(
    hub: FakeHub, tmp_path: Path, publish_mmmu: Publish, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_mmmu(hub.folder("MMMU/MMMU_Pro") / "standard" / "test-00000-of-00001.parquet", [mmmu_row(1)])
    monkeypatch.setattr(MmmuPro, "size", 1)
    assert read_header(MmmuPro10().fetch(tmp_path, None, said.append)).extra["config"] == "standard"
    with pytest.raises(DatasetError, match=r"no files for split 'test' of configuration 'standard \(4 options\)'"):
        MmmuPro().fetch(tmp_path, None, said.append)


def test_state_says_how_much_there_is_to_fetch(tmp_path: Path) -> None:
    assert MmmuPro().state(tmp_path) == "not fetched (about 678 MB)"
    assert MmmuProVision().state(tmp_path) == "not fetched (about 1,630 MB)"


def test_damaged_manifest_is_said_in_the_state(tmp_path: Path) -> None:
    path = MmmuPro().manifest_path(tmp_path)
    path.parent.mkdir(parents=True)
    path.write_text("{")
    assert MmmuPro().state(tmp_path).startswith("damaged")
