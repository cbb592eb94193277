"""Which column of a person's table is what, and what its cells may hold."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_vtc.datasets.base import OWN_STYLE, DatasetError
from pytest_vtc.datasets.own_columns import LETTER_PROMPT, Columns, Reader, choose, parse


def read(separator: str | None = None, prompt: bool = False, **cells: Any) -> Any:
    """The question of a row with a question, an answer and whatever else is given."""
    row = {"image": None, "question": "what?", "answer": "x", **cells}
    columns = choose({}, list(row), "t")
    if prompt:
        columns = Columns(columns.image, columns.question, True, columns.answer, columns.options)
    return Reader(columns, separator=separator).question(row, "row 7")


def test_columns_are_read_by_role() -> None:
    assert parse("image=a+b, question = q ,answer=x,id=n") == {
        "image": "a+b",
        "question": "q",
        "answer": "x",
        "id": "n",
    }


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("picture=a", "'picture=a' is no role and its column; write image="),
        ("image", "'image' is no role"),
        ("image=", "'image=' is no role"),
        ("image=a,image=b", r"image is given twice; several columns of a role are joined: image=a\+b"),
        ("question=a,prompt=b", "question and prompt exclude each other"),
    ],
)
def test_columns_that_make_no_sense(text: str, complaint: str) -> None:
    with pytest.raises(DatasetError, match=complaint):
        parse(text)


def test_columns_that_are_asked_for_are_taken_alone() -> None:
    asked = parse("image=a+b,question=q,answer=r")
    assert choose(asked, ["a", "b", "q", "r", "options", "id"], "t") == Columns(("a", "b"), "q", False, ("r",))


def test_name_with_a_plus_is_a_column_if_there_is_one() -> None:
    assert choose(parse("image=a+b,question=q,answer=r"), ["a+b", "q", "r"], "t").image == ("a+b",)


@pytest.mark.parametrize(
    ("have", "expected"),
    [
        (["image", "question", "answer"], "image=image,question=question,answer=answer"),
        (["Images", "Query", "Label", "qid"], "image=Images,question=Query,answer=Label,id=qid"),
        (["file_name", "prompt", "question", "answer"], "image=file_name,prompt=prompt,answer=answer"),
        (["image_1", "image_2", "question", "answers"], "image=image_1+image_2,question=question,answer=answers"),
        (["image", "question", "A", "B", "C", "answer"], "image=image,question=question,answer=answer,options=A+B+C"),
        (["image", "question", "A", "answer"], "image=image,question=question,answer=answer"),
        (["image", "question", "answer", "answer#2"], "image=image,question=question,answer=answer+answer#2"),
        (
            ["index", "image", "question", "choices", "answer", "type", "image_id", "picture"],
            "image=image,question=question,answer=answer,options=choices,category=type,id=index,group=image_id",
        ),
    ],
)
def test_usual_names_are_recognised(have: list[str], expected: str) -> None:
    assert str(choose({}, have, "t")) == expected


def test_what_is_not_recognised_lists_the_columns() -> None:
    message = (
        "t: the column of image and of answer is not recognised; name it by --vtc-columns "
        "image=...,question=...,answer=...; the columns are foto, question"
    )
    with pytest.raises(DatasetError, match=message):
        choose({}, ["foto", "question"], "t")


def test_answers_are_not_missed_where_nothing_is_scored() -> None:
    assert choose({}, ["image", "question"], "t", scored=False).answer == ()


def test_column_that_is_not_there_lists_the_others() -> None:
    with pytest.raises(DatasetError, match="t: no column 'photo' for image; the columns are image, question, answer"):
        choose(parse("image=photo,question=question,answer=answer"), ["image", "question", "answer"], "t")
    with pytest.raises(DatasetError, match="t: question takes one column, not a, b"):
        choose(parse("image=a,question=a+b,answer=a"), ["a", "b"], "t")


@pytest.mark.parametrize(
    ("cell", "answers"),
    [
        ("red", ["red"]),
        (3, ["3"]),
        (2.0, ["2"]),
        (0.5, ["0.5"]),
        (True, ["yes"]),
        (["red", "crimson", None], ["red", "crimson"]),
        ([{"answer": "a", "answer_id": 1}, {"answer": "b"}], ["a", "b"]),
    ],
)
def test_answers_are_text_numbers_or_lists(cell: Any, answers: list[str]) -> None:
    assert read(answer=cell).answers == answers


@pytest.mark.parametrize("cell", [None, "", "  ", [], [None], float("nan"), [{"answer": None}]])
def test_blank_answer_names_the_row(cell: Any) -> None:
    with pytest.raises(DatasetError, match=r"row 7: the answer \(column answer\) is blank"):
        read(answer=cell)


def test_cell_that_is_no_text_names_row_and_column() -> None:
    with pytest.raises(
        DatasetError, match=r"row 7: column answer holds '\[1, 2\]', which is neither text nor a number"
    ):
        read(answer=[[1, 2]])


def test_several_answers_stand_in_one_cell_of_text() -> None:
    assert read(separator="||", answer="red || dark red").answers == ["red", "dark red"]
    assert read(answer="red || dark red").answers == ["red || dark red"]


def test_options_are_put_below_the_question() -> None:
    question = read(options=["a cat", "a dog"], answer="B")
    assert question.prompts[OWN_STYLE] == f"what?\nA. a cat\nB. a dog\n{LETTER_PROMPT}"
    assert (question.options, question.answers) == (["a cat", "a dog"], ["B"])


def test_prompt_is_used_as_it_is() -> None:
    assert read(prompt=True, options=["a cat", "a dog"], answer="B").prompts[OWN_STYLE] == "what?"


@pytest.mark.parametrize(
    "cell",
    [["a cat", "a dog"], "['a cat', 'a dog']", '["a cat", "a dog"]', {"text": ["a cat", "a dog"], "label": ["A", "B"]}],
)
def test_options_are_lists_in_several_notations(cell: Any) -> None:
    assert read(options=cell, answer="A").options == ["a cat", "a dog"]


def test_options_have_columns_of_their_own_of_which_the_last_may_be_blank() -> None:
    assert read(A="cat", B="dog", C=" ", D=None, E=float("nan"), answer="A").options == ["cat", "dog"]


@pytest.mark.parametrize("cells", [{"A": "cat", "B": "", "C": "dog"}, {"A": "cat", "B": None, "C": "dog"},
                                   {"options": ["cat", None, "dog"]}])  # fmt: skip
def test_option_that_is_missing_between_others_is_refused(cells: dict[str, Any]) -> None:
    with pytest.raises(DatasetError, match="row 7: an option is blank, and one after it is not"):
        read(**cells, answer="A")


@pytest.mark.parametrize("word", ["None", "none", "null", "NaN", "NA"])
def test_words_for_nothing_are_text(word: str) -> None:
    by_columns = read(A="One", B="Two", C=word, answer="C")
    by_list = read(options=["One", "Two", word], answer=word)
    assert by_columns.options == by_list.options == ["One", "Two", word]
    assert by_columns.answers == by_list.answers == ["C"]
    assert read(answer=word).answers == [word]


@pytest.mark.parametrize(
    ("cell", "letter"), [("B", "B"), ("(B)", "B"), ("B.", "B"), (1, "B"), ("1", "B"), ("a dog", "B"), (" a dog ", "B")]
)
def test_answer_with_options_is_letter_number_or_text(cell: Any, letter: str) -> None:
    assert read(options=["a cat", "a dog"], answer=cell).answers == [letter]


@pytest.mark.parametrize(
    ("cell", "options", "complaint"),
    [
        (2, ["a", "b"], "the answer is 2; options are counted from 0 to 1"),
        ("C", ["a", "b"], "the answer 'C' is neither a letter up to B nor the text of an option"),
        (1, ["1", "2"], "the answer 1 is the text of one option and, counted from 0, the number of another"),
        ("AB", ["a", "b"], "the answer 'AB' is neither a letter"),
        ("()", ["a", "b"], r"the answer '\(\)' is neither a letter"),
        ("A", ["B", "A", "C"], "the answer 'A' is the letter of one option and the text of another; write"),
        ("A", [str(n) for n in range(27)], "27 options; there are letters for 26"),
    ],
)
def test_answer_that_no_option_has(cell: Any, options: list[str], complaint: str) -> None:
    with pytest.raises(DatasetError, match=f"row 7: {complaint}"):
        read(options=options, answer=cell)


def test_letter_in_brackets_is_never_the_text_of_an_option() -> None:
    assert read(options=["B", "A", "C"], answer="(A)").answers == ["A"]
    assert read(options=["A", "B", "C"], answer="B").answers == ["B"]


def test_number_in_text_of_a_person_is_no_count_from_zero() -> None:
    with pytest.raises(DatasetError, match="the answer '1' is neither a letter up to B nor"):
        read(separator="||", options="a||b", answer="1")
    assert read(separator="||", options="1||2", answer="1").answers == ["A"]


def test_classes_are_named() -> None:
    columns = choose({}, ["image", "question", "answer", "category"], "t")
    reader = Reader(columns, lambda column: {"answer": ["no", "yes"], "category": ["easy", "hard"]}.get(column, ()))
    question = reader.question({"image": None, "question": "?", "answer": 1, "category": 0}, "row 7")
    assert (question.answers, question.category) == (["yes"], "easy")


@pytest.mark.parametrize("cell", [None, "", " \n"])
def test_blank_question_names_the_row(cell: Any) -> None:
    with pytest.raises(DatasetError, match=r"row 7: the question \(column question\) is blank"):
        read(question=cell)


def test_id_that_cannot_name_a_test_names_the_row() -> None:
    assert read(id=12).id == "12"
    assert read().id == ""
    with pytest.raises(DatasetError, match=r"row 7: the id 'a\\nb' must be printable"):
        read(id="a\nb")
