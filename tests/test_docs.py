"""docs/compressors.md: a paragraph for every shipped compressor, and a picture where the embedded model can run it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_vtc.discovery import known_compressors, shipped_names
from pytest_vtc.image_compression import unsupported
from pytest_vtc.models.gemma4 import Gemma4Backend

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "compressors.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^### `(\w+)`\n(.*?)(?=^##|\Z)", PAGE, re.DOTALL | re.MULTILINE))


@pytest.mark.parametrize("name", shipped_names())
def test_every_shipped_compressor_has_a_paragraph_and_a_picture(name: str) -> None:
    assert name in SECTIONS, "write a section of docs/compressors.md"
    assert len(SECTIONS[name].split()) > 30
    if unsupported(known_compressors()[name].cls(), Gemma4Backend.lacked_by_all()) is None:
        assert f"![{name}](pictures/{name}.png)" in SECTIONS[name]
        picture = DOCS / "pictures" / f"{name}.png"
        assert picture.is_file(), "make it: the command is in docs/compressors.md"
        assert picture.stat().st_size < 30_000
    else:
        assert "No picture" in SECTIONS[name]


@pytest.mark.parametrize("name", [n for n in shipped_names() if "arXiv" in known_compressors()[n].cls.reference])
def test_the_paragraph_names_the_paper(name: str) -> None:
    (arxiv,) = re.findall(r"arXiv (\d{4}\.\d{5})", known_compressors()[name].cls.reference)
    assert arxiv in SECTIONS[name] or "from the same paper" in SECTIONS[name]
