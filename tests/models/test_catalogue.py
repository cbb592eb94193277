"""Names of models: short ones, ids, folders, and those that lead nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_vtc.models.catalogue import CATALOGUE, FAMILY_NAMES, NEEDS_PACKAGES, TINY, ModelError, locate
from pytest_vtc.models.families import BACKENDS


def test_every_card_is_of_a_family_that_can_be_run() -> None:
    assert {card.model_type for card in CATALOGUE.values()} == set(FAMILY_NAMES)
    assert set(FAMILY_NAMES) <= set(BACKENDS)
    assert set(NEEDS_PACKAGES) <= set(BACKENDS)


def test_short_names_are_the_ends_of_hub_ids() -> None:
    assert all(card.location.endswith("/" + name) for name, card in CATALOGUE.items() if name != TINY)


@pytest.mark.parametrize("name", CATALOGUE)
def test_quantisation_shrinks_a_part_of_the_weights(name: str) -> None:
    card = CATALOGUE[name]
    assert 0 < card.quantized < card.parameters
    assert card.memory_gb("4bit") < card.memory_gb("8bit") < card.memory_gb() == pytest.approx(2 * card.parameters)
    # What is left in bfloat16 is there at any number of bits.
    assert card.memory_gb("4bit") > 2 * (card.parameters - card.quantized)


def test_experts_of_a_mixture_are_not_quantised() -> None:
    card = CATALOGUE["gemma-4-26B-A4B-it"]
    assert card.memory_gb("4bit") > 0.9 * card.memory_gb()


@pytest.mark.parametrize("asked", ["gemma-4-E4B-it", "google/gemma-4-E4B-it"])
def test_a_short_name_and_its_hub_id_are_one_model(asked: str) -> None:
    found = locate(asked)
    assert (found.label, found.source) == ("gemma-4-E4B-it", "google/gemma-4-E4B-it")
    assert found.card is CATALOGUE["gemma-4-E4B-it"]


def test_any_other_hub_id_is_taken_as_it_is() -> None:
    found = locate("someone/finetuned-gemma")
    assert (found.label, found.source, found.card) == ("finetuned-gemma", "someone/finetuned-gemma", None)


def test_a_folder_of_the_hubs_cache_is_called_after_its_model(tmp_path: Path) -> None:
    folder = tmp_path / "models--Qwen--Qwen3-VL-2B-Instruct" / "snapshots" / "0a1b2c"
    folder.mkdir(parents=True)
    (folder / "config.json").touch()
    assert locate(str(folder)).label == "Qwen3-VL-2B-Instruct"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gemma-4-E4B", r"unknown model 'gemma-4-E4B': did you mean gemma-4-E4B-it"),
        ("qwen", r"unknown model 'qwen': `python -m pytest_vtc list` shows"),
        ("gemma-4-E12B-it", r"Gemma 4 comes as E2B, E4B, 12B.*; the nearest is gemma-4-12B-it$"),
        ("google/gemma-4-E12B-it", r"the nearest is gemma-4-12B-it$"),
        ("gemma-4-E27B-it", r"the nearest is gemma-4-26B-A4B-it or gemma-4-31B-it$"),
        ("google/gemma-4-e27b", r"the nearest is gemma-4-26B-A4B-it or gemma-4-31B-it$"),
        ("Mini-Gemini", "has no transformers port"),
        ("mini_gemini-7b", "has no transformers port"),
        ("MiniGemini", "has no transformers port"),
        ("YanweiLi/MGM-7B-HD", "has no transformers port"),
        ("YanweiLi/Mini-Gemini-2B", "has no transformers port"),
        ("./nowhere", "no checkpoint folder at nowhere"),
    ],
)
def test_a_name_that_leads_nowhere_is_answered_with_what_is_near(name: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        locate(name)


def test_a_folder_of_that_name_is_what_was_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "MGM-7B").mkdir()
    (tmp_path / "MGM-7B" / "config.json").touch()
    monkeypatch.chdir(tmp_path)
    assert locate("MGM-7B").label == "MGM-7B"
