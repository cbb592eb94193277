"""What `list` says of compressors, and of what models can give them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from torch import Tensor

from pytest_vtc import discovery, listing
from pytest_vtc.compression import Compressor, Stage
from pytest_vtc.discovery import CompressorClass, shipped_folder
from pytest_vtc.models.families import BACKENDS
from pytest_vtc.models.vision_side import RARE


class _Made(Compressor):
    description: ClassVar[str] = "keeps what it keeps"
    reference: ClassVar[str] = "Somebody et al., arXiv 2501.00001"
    year: ClassVar[int] = 2025

    def compress(self, features: Tensor, n_target: int, **_ctx: Any) -> Tensor:
        return features[:n_target]


class InTower(_Made):
    name: ClassVar[str] = "in_tower"
    stage: ClassVar[Stage] = "encoder"
    needs: ClassVar[frozenset[str]] = frozenset({"hidden", "attention"})
    substitutes: ClassVar[Mapping[str, str]] = {"cls": "something else"}


class InModel(_Made):
    name: ClassVar[str] = "in_model"
    stage: ClassVar[Stage] = "llm"


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    known = dict(discovery.known_compressors())
    known |= {cls.name: CompressorClass(cls, shipped_folder()) for cls in (InModel, InTower)}
    monkeypatch.setattr(listing, "known_compressors", lambda: known)
    return [*listing._compressors()]


def test_compressors_stand_by_stage_in_the_order_an_image_passes(lines: list[str]) -> None:
    headings = [line.split(":")[0] for line in lines if line.split(":")[0] in ("encoder", "pre_llm", "llm")]
    assert headings == ["encoder", "pre_llm", "llm"]
    places = [
        next(i for i, line in enumerate(lines) if line.split()[:1] == [n]) for n in ("in_tower", "fps", "in_model")
    ]
    assert places == sorted(places)


def test_a_stage_without_compressors_has_no_heading() -> None:
    assert not any(line.startswith("llm:") for line in listing._compressors())


def test_a_compressor_shows_source_year_and_needs_with_what_it_can_do_without_marked(lines: list[str]) -> None:
    at = next(i for i, line in enumerate(lines) if line.split()[:1] == ["in_tower"])
    assert lines[at].split(maxsplit=1)[1] == "keeps what it keeps"
    assert lines[at + 1].strip() == "Somebody et al., arXiv 2501.00001 (2025); needs attention, hidden, cls*"


def test_a_year_that_the_source_names_is_not_said_twice(lines: list[str]) -> None:
    assert "DivPrune, CVPR 2025, arXiv 2503.02175" in [line.strip() for line in lines]


def test_what_is_run_on_request_only_is_marked(lines: list[str]) -> None:
    at = next(i for i, line in enumerate(lines) if line.split()[:1] == ["divprune_hybrid"])
    assert "on request" in " ".join(" ".join(lines[at : at + 4]).split())


def test_models_and_compressors_fit_into_a_hundred_columns(lines: list[str]) -> None:
    assert max(map(len, "\n".join([*lines, *listing._models()]).splitlines())) <= 100


def test_rarer_parts_of_the_context_are_told_with_the_families_that_have_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for family in BACKENDS.values():
        monkeypatch.setattr(family, "offers", frozenset())
    monkeypatch.setattr(BACKENDS["llava"], "offers", frozenset({"project"}))
    # A family that derives from it inherits what it offers, unless it says otherwise.
    told = " ".join(" ".join(listing._models()).split())
    assert "project (llava" in told
    assert f"joint (none); elsewhere: {RARE['joint']}" in told
