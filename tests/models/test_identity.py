"""What tells one model from another in the store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_vtc.models.catalogue import TINY, locate
from pytest_vtc.models.identity import identify
from tests.models.broken import copy_tiny


def key(**options: Any) -> dict[str, Any]:
    dtype, quantization = options.pop("dtype", "auto"), options.pop("quantization", None)
    return identify(locate(TINY), dtype, quantization, **options).key_parts()


@pytest.mark.parametrize(
    "options", [{"dtype": "bfloat16"}, {"attention": "eager"}, {"trust_remote_code": True}], ids=lambda o: next(iter(o))
)
def test_whatever_can_change_an_answer_is_in_the_key(options: dict[str, Any]) -> None:
    assert key(**options) != key()


def test_a_format_that_comes_to_the_same_has_the_same_key() -> None:
    assert key(dtype="float32") == key()


def test_quantisation_is_in_the_key_and_what_is_known_of_it_is_not() -> None:
    pytest.importorskip("bitsandbytes")
    known = identify(locate(TINY), "auto", "4bit")
    assert known.quantization == "4bit"
    assert "known to ruin" in known.warnings[0]
    assert known.key_parts()["quantization"] == "4bit"
    assert "warnings" not in known.key_parts()
    assert "bitsandbytes" in known.libraries


def test_a_copy_elsewhere_is_the_same_model_and_a_changed_one_is_not(tmp_path: Path) -> None:
    copy = copy_tiny(tmp_path / "elsewhere")
    assert identify(locate(str(copy)), "auto", None).key_parts() == key()
    with (copy / "chat_template.jinja").open("a") as file:
        file.write(" ")
    assert identify(locate(str(copy)), "auto", None).key_parts() != key()


def test_what_a_model_lacks_is_known_and_no_part_of_the_key() -> None:
    known = identify(locate(TINY), "auto", None)
    assert {"cls", "joint"} <= known.lacking.keys()
    assert "lacking" not in known.key_parts()
