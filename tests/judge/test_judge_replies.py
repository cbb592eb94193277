"""Replies of judges are kept on disk, and requests that could have another reply have another key."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from pytest_vtc.datasets.base import DatasetError
from pytest_vtc.datasets.images import ImageFile
from pytest_vtc.judge.replies import Replies
from pytest_vtc.judge.request import Request
from pytest_vtc.store import StoreError

MESSAGES = ({"role": "system", "content": "Be fair."}, {"role": "user", "content": "Grade it."})
REQUEST = Request("grader", MESSAGES, (), 128, 0)
KEY = "ab" * 32


def image(path: Path, colour: str = "red") -> ImageFile:
    Image.new("RGB", (4, 3), colour).save(path)
    return ImageFile(path)


def test_a_reply_is_there_for_the_next_run(tmp_path: Path) -> None:
    assert Replies(tmp_path).get(KEY) is None
    Replies(tmp_path).put(KEY, REQUEST.facts(), "0.5 \ud83d ü\n")
    assert Replies(tmp_path).get(KEY) == "0.5 \ud83d ü\n"


def test_what_was_asked_stands_beside_the_reply(tmp_path: Path) -> None:
    Replies(tmp_path).put(KEY, REQUEST.facts(), "0.5")
    (file,) = tmp_path.rglob("*.json")
    assert json.loads(file.read_text()) == {"request": REQUEST.facts(), "reply": "0.5"}


def test_a_fresh_run_has_its_own_replies_alone(tmp_path: Path) -> None:
    Replies(tmp_path).put(KEY, {}, "0.5")
    fresh = Replies(tmp_path, fresh=True)
    assert fresh.get(KEY) is None
    fresh.put(KEY, {}, "0.6")
    assert fresh.get(KEY) == Replies(tmp_path).get(KEY) == "0.6"


@pytest.mark.parametrize("content", ["", '{"reply": ', "[]", '{"reply": 5}', "{}", "\x00"])
def test_a_damaged_reply_is_asked_for_again(tmp_path: Path, content: str) -> None:
    replies = Replies(tmp_path)
    replies.put(KEY, {}, "0.5")
    (file,) = tmp_path.rglob("*.json")
    file.write_text(content)
    assert replies.get(KEY) is None
    replies.put(KEY, {}, "0.6")
    assert replies.get(KEY) == "0.6"


def test_a_reply_that_cannot_be_kept_is_an_error_of_the_store(tmp_path: Path) -> None:
    (tmp_path / "replies").write_text("a file, not a folder")
    with pytest.raises(StoreError, match=r"cannot keep the judge's reply in .*make room"):
        Replies(tmp_path / "replies").put(KEY, {}, "0.5")


def test_replies_of_another_folder_are_taken_over_and_none_is_replaced(tmp_path: Path) -> None:
    here, there = Replies(tmp_path / "here"), Replies(tmp_path / "there")
    here.put(KEY, {}, "mine")
    there.put(KEY, {}, "theirs")
    there.put("cd" * 32, {}, "new")
    here.copy_from(there)
    here.copy_from(Replies(tmp_path / "nowhere"))
    assert [here.get(key) for key in (KEY, "cd" * 32)] == ["mine", "new"]


# Requests


def test_everything_that_the_reply_depends_on_is_part_of_the_key(tmp_path: Path) -> None:
    red, blue = image(tmp_path / "red.png"), image(tmp_path / "blue.png", "blue")
    others = [
        replace(REQUEST, model="other"),
        replace(REQUEST, messages=MESSAGES[1:]),
        replace(REQUEST, messages=({"role": "user", "content": "Grade it!"},)),
        replace(REQUEST, images=(red,)),
        replace(REQUEST, images=(blue,)),
        replace(REQUEST, images=(red, blue)),
        replace(REQUEST, max_tokens=129),
        replace(REQUEST, attempt=1),
    ]
    assert len({request.key() for request in (REQUEST, *others)}) == 9


def test_the_place_of_an_image_is_no_part_of_the_key(tmp_path: Path) -> None:
    one, other = (replace(REQUEST, images=(image(tmp_path / name),)) for name in ("a.png", "b.png"))
    assert one.key() == other.key()


def test_the_first_attempt_is_greedy_and_the_next_ones_less_so() -> None:
    bodies = [replace(REQUEST, attempt=attempt).body() for attempt in (0, 1, 2)]
    assert [body["temperature"] for body in bodies] == [0, 0.5, 1]
    assert bodies[0] == {"model": "grader", "messages": [*MESSAGES], "temperature": 0.0, "max_tokens": 128}


@pytest.mark.parametrize(("name", "kind"), [("a.png", "png"), ("a.jpg", "jpeg"), ("a.gif", "gif")])
def test_an_image_is_sent_as_it_lies_on_disk_behind_the_last_message(tmp_path: Path, name: str, kind: str) -> None:
    file = image(tmp_path / name)
    first, last = replace(REQUEST, images=(file,)).body()["messages"]
    assert first == MESSAGES[0]
    text, shown = last["content"]
    assert text == {"type": "text", "text": "Grade it."}
    data = base64.b64encode(file.path.read_bytes()).decode()
    assert shown == {"type": "image_url", "image_url": {"url": f"data:image/{kind};base64,{data}"}}


def test_an_image_of_a_format_that_judges_may_not_know_is_sent_as_png(tmp_path: Path) -> None:
    body = replace(REQUEST, images=(image(tmp_path / "a.bmp"),)).body()
    head, _, data = body["messages"][-1]["content"][1]["image_url"]["url"].partition(",")
    assert head == "data:image/png;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).getpixel((0, 0)) == (255, 0, 0)


def test_an_image_that_has_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"gone\.png: no such image"):
        replace(REQUEST, images=(ImageFile(tmp_path / "gone.png"),)).key()
