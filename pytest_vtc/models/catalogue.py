"""The models that are known by a short name: what they are called on the Hub and what they need. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pytest_vtc.datasets.base import nearest

TINY = "tiny-gemma4"


class ModelError(ValueError):
    """A model cannot be had as asked; the message says why and what to do."""


@dataclass(frozen=True)
class ModelCard:
    """One known model.

    location: Hub id, or the folder of the embedded checkpoint. parameters: in billions, embeddings included.
    tokens_per_image: vision tokens the language model gets at the default resolution, at most.
    """

    name: str
    location: str
    model_type: str
    description: str
    parameters: float
    tokens_per_image: int
    licence: str

    def memory_gb(self, bits: int) -> float:
        """Weights alone, in GB (1e9 bytes), at `bits` per parameter; activations and cache come on top."""
        return self.parameters * bits / 8


def _gemma4(name: str, parameters: float, what: str) -> ModelCard:
    return ModelCard(name, f"google/{name}", "gemma4", what, parameters, 280, "Apache-2.0")


CATALOGUE: dict[str, ModelCard] = {
    card.name: card
    for card in (
        ModelCard(
            TINY,
            str(Path(__file__).parent / "tiny_gemma4" / "checkpoint"),
            "gemma4",
            "embedded; reads easy-VQA and the digit probes, nothing else",
            0.0011,
            70,
            "Apache-2.0",
        ),
        _gemma4("gemma-4-E2B-it", 5.10, "Gemma 4 E2B, instruction-tuned"),
        _gemma4("gemma-4-E4B-it", 7.94, "Gemma 4 E4B, instruction-tuned"),
        _gemma4("gemma-4-26B-A4B-it", 25.81, "Gemma 4 26B mixture of experts, instruction-tuned"),
        _gemma4("gemma-4-31B-it", 31.27, "Gemma 4 31B, instruction-tuned"),
    )
}


@dataclass(frozen=True)
class ModelLocation:
    """Where a model that was asked for comes from. label: how cells and tables call it."""

    label: str
    source: str
    card: ModelCard | None


def locate(name: str) -> ModelLocation:
    """Resolve a short name, a Hub id (`owner/name`) or a local checkpoint folder. Looks at names and folders only.

    Raises ModelError for an unknown name, with the nearest known ones.
    """
    if card := CATALOGUE.get(name):
        return ModelLocation(name, card.location, card)
    for card in CATALOGUE.values():
        if name == card.location:
            return ModelLocation(card.name, card.location, card)
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ModelError(f"{folder} is not a checkpoint: it has no config.json")
        return ModelLocation(folder.resolve().name, str(folder), None)
    if name.startswith((".", "/", "~")):
        raise ModelError(f"no checkpoint folder at {folder}")
    if name.count("/") == 1 and all(name.split("/")):
        return ModelLocation(name.split("/")[1], name, None)
    raise ModelError(
        f"unknown model {name!r}: {nearest(name, list(CATALOGUE))} (or a Hub id owner/name, or a checkpoint folder)"
    )
