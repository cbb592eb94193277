"""A folder of images with a CSV file, as spreadsheets and editors write it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pytest_vtc.datasets.base import DatasetError, Sample
from pytest_vtc.datasets.own_columns import LETTER_PROMPT
from pytest_vtc.datasets.registry import open_samples


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "pets"
    folder.mkdir()
    for name in ("cat.png", "dog.png"):
        Image.new("RGB", (4, 4)).save(folder / name)
    return folder


@pytest.fixture
def read(folder: Path) -> Any:
    """Writes `pets.csv` into the folder, byte for byte, and reads the folder."""

    def read(content: str | bytes, name: str = "pets.csv", **how: Any) -> list[Sample]:
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return list(open_samples(str(folder), folder, None, 0, **how).samples)

    return read


HEADER = "image,question,answer\n"


def test_rows_are_samples(read: Any, folder: Path) -> None:
    first, second = read(HEADER + "cat.png,what is it?,cat\ndog.png,what is it?,dog\n")
    assert (first.id, first.prompt, first.answers, first.group) == ("1", "what is it?", ("cat",), "cat.png")
    assert str(second.images[0]) == str(folder / "dog.png")


def test_file_and_folder_are_the_same_data(read: Any, folder: Path) -> None:
    read(HEADER + "cat.png,what?,cat\n")
    by_folder, by_file = (open_samples(str(path), folder, None, 0) for path in (folder, folder / "pets.csv"))
    assert by_folder == by_file
    assert (by_folder.name, by_folder.scoring, by_folder.max_new_tokens) == ("pets", "auto", 32)


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfimage,question,answer\ncat.png,what?,cat\n",
        b"image,question,answer\r\ncat.png,what?,cat\r\n",
        b"image,question,answer\rcat.png,what?,cat",
        b"image;question;answer\ncat.png;what?;cat\n",
        b"image\tquestion\tanswer\ncat.png\twhat?\tcat\n",
        b'"image","question","answer"\n"cat.png","what?","cat"\n',
        b"\n\nimage,question,answer\n\ncat.png,what?,cat\n,,\n",
        b"Answer, Image ,QUESTION,remark\ncat,cat.png,what?,nice\n",
        b"file_name,prompt,answer\ncat.png,what?,cat\n",
    ],
)
def test_every_way_of_writing_it_gives_the_same(read: Any, content: bytes) -> None:
    (sample,) = read(content)
    assert (sample.images[0].open().size, sample.prompt, sample.answers) == ((4, 4), "what?", ("cat",))


def test_tsv_has_tabs_whatever_else_is_in_it(read: Any) -> None:
    (sample,) = read("image\tquestion, or\tquestion\tanswer\ncat.png\tx\ta,b,c?\tcat\n", "pets.tsv")
    assert sample.prompt == "a,b,c?"


def test_cells_in_quotes_hold_delimiters_quotes_and_line_breaks(read: Any) -> None:
    (sample,) = read(HEADER + 'cat.png,"one, ""two""\nthree",cat\n')
    assert sample.prompt == 'one, "two"\nthree'


def test_several_answers_and_images_stand_in_a_cell_or_in_columns_of_one_name(read: Any) -> None:
    in_cells, in_columns = (
        read(content)
        for content in (
            "image,question,answer\ncat.png||dog.png,who?,a || b\n",
            "image,image,question,answer,answer\ncat.png,dog.png,who?,a,b\n",
        )
    )
    assert in_cells == in_columns
    assert (len(in_cells[0].images), in_cells[0].answers) == (2, ("a", "b"))


@pytest.mark.parametrize("header", ["image,question,A,B,C,answer\ncat.png,who?,cat,dog,,B\n",
                                    "image,question,options,answer\ncat.png,who?,cat||dog,dog\n"])  # fmt: skip
def test_options_have_letters(read: Any, header: str) -> None:
    (sample,) = read(header)
    assert (sample.options, sample.answers) == (("cat", "dog"), ("B",))
    assert sample.prompt == f"who?\nA. cat\nB. dog\n{LETTER_PROMPT}"


def test_id_category_and_group_are_taken_over(read: Any) -> None:
    (sample,) = read("id,image,question,answer,category,group\nq7,cat.png,who?,cat,pets,g\n")
    assert (sample.id, sample.category, sample.group) == ("q7", "pets", "g")


def test_blanks_around_delimiters_are_left_out(read: Any) -> None:
    content = "image, question, answer, id, category, group\ncat.png, who? , cat, a, pets, g \n"
    (sample,) = read(content)
    assert (sample.prompt, sample.answers) == ("who?", ("cat",))
    assert (sample.id, sample.category, sample.group) == ("a", "pets", "g")


def test_prompt_keeps_its_blanks(read: Any) -> None:
    (sample,) = read("image,prompt,answer\ncat.png, who? ,cat\n")
    assert sample.prompt == " who? "


def test_columns_of_other_names_are_named_by_the_option(read: Any) -> None:
    content = "foto,frage,antwort,image\ncat.png,wer?,cat,no.png\n"
    (sample,) = read(content, columns="image=foto,question=frage,answer=antwort")
    assert (sample.prompt, str(sample.images[0])[-7:]) == ("wer?", "cat.png")


def test_missing_column_lists_what_there_is(read: Any) -> None:
    with pytest.raises(
        DatasetError, match=r"pets\.csv:1: the column of answer is not recognised.*are image, question, x"
    ):
        read("image,question,x\ncat.png,who?,cat\n")


def test_without_answers_it_can_be_described(read: Any) -> None:
    (sample,) = read("image,question\ncat.png,who?\n", scoring="none")
    assert sample.answers == ()


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ("cat.png,ok,cat\n\n,who?,cat\n", r"pets\.csv:4: the image \(column image\) is blank"),
        ('cat.png,"a\nb\nc",cat\ndog.png,,cat\n', r"pets\.csv:5: the question \(column question\) is blank"),
        ("cat.png,who?,\n", r"pets\.csv:2: the answer \(column answer\) is blank"),
        (
            "cat.png,who?,cat\ncat.png,who? or what, cat, really\n",
            r"pets\.csv:3: 4 cells where the header has 3; a cell",
        ),
        ("cat.png,who?\n", r"pets\.csv:2: 2 cells where the header has 3"),
        (
            'cat.png,"who?,cat\ndog.png,x,y\n',
            r"pets\.csv:2: not CSV: unexpected end of data \(in a row that begins here",
        ),
        ('cat.png,"who"?,cat\n', r"pets\.csv:2: not CSV: ',' expected after '\"'"),
        ("cat.png,who?,cat\nbird.png,who?,bird\n", r"pets\.csv:3: no image at .*bird\.png \(paths are relative"),
        ("", "it has a header and no rows"),
    ],
)
def test_what_is_wrong_names_file_and_line(read: Any, rows: str, complaint: str) -> None:
    with pytest.raises(DatasetError, match=complaint):
        read(HEADER + rows)


def test_answer_that_is_a_letter_and_the_text_of_another_option_names_the_line(read: Any) -> None:
    with pytest.raises(DatasetError, match=r"pets\.csv:2: the answer 'A' is the letter of one option and the text of"):
        read("image,question,options,answer\ncat.png,who?,B||A||C,A\n")


def test_ids_that_are_repeated_name_both_lines(read: Any) -> None:
    with pytest.raises(DatasetError, match=r"pets\.csv:3: the id 'a' was used in line 2 already"):
        read("id,image,question,answer\na,cat.png,x,y\na,cat.png,x,y\n")


def test_other_encoding_names_the_line(read: Any) -> None:
    with pytest.raises(DatasetError, match=r"pets\.csv:3: not UTF-8 text; save it from the spreadsheet as CSV UTF-8"):
        read((HEADER + "cat.png,x,y\ncat.png,Größe?,y\n").encode("latin-1"))


def test_empty_file_says_what_it_needs(read: Any) -> None:
    with pytest.raises(DatasetError, match="its first line has to name the columns"):
        read("\n")


def test_several_files_are_a_question(read: Any, folder: Path) -> None:
    (folder / "more.csv").touch()
    with pytest.raises(DatasetError, match=r"several CSV files \(more\.csv, pets\.csv\); give the path"):
        read(HEADER)


def test_rule_that_needs_options_says_which_sample_has_none(read: Any) -> None:
    with pytest.raises(
        DatasetError, match=r"pets: it cannot be scored by 'mmmu_mc_official': sample '1': .*\"options\" is missing"
    ):
        read(HEADER + "cat.png,who?,A\n", scoring="mmmu_mc_official")


def test_style_that_there_is_not_is_refused(read: Any) -> None:
    with pytest.raises(DatasetError, match="there are no prompts of the style 'lmms'; known here: own"):
        read(HEADER + "cat.png,who?,cat\n", prompt_style="lmms")
