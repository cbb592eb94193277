"""Models of published configurations with random values: what `NAME`, `NAME:LAYERS` asks for. Imports no torch."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from pytest_vtc.datasets.base import nearest
from pytest_vtc.models.catalogue import CATALOGUE, ModelError, ModelLocation
from pytest_vtc.models.configurations import Description, descriptions

_VALUES_VERSION = 1
"""Raised when other values are drawn, or the tokenizer comes out otherwise: stored answers are then those of before."""


@dataclass(frozen=True)
class RandomModel:
    """A checkpoint's configuration to be filled with random values.

    text_layers, vision_layers: how many are built; None for all that the checkpoint has.
    """

    hub_id: str
    name: str
    text_layers: int | None = None
    vision_layers: int | None = None

    @property
    def description(self) -> Description:
        return descriptions()[self.hub_id]

    @property
    def label(self) -> str:
        """What cells and tables call it: `random-NAME`, `random-NAME:4`, `random-NAME:4:1`."""
        layers = [n for n in (self.text_layers, self.vision_layers) if n is not None]
        return ":".join(["random-" + self.name, *map(str, layers)])

    def revision(self) -> str:
        """Changes with everything that is built: layers, configuration, tokens, values."""
        parts = [_VALUES_VERSION, self.text_layers, self.vision_layers, asdict(self.description)]
        return "random-" + hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def locate_random(text: str) -> ModelLocation:
    """Read `NAME`, `NAME:LAYERS` or `NAME:LAYERS:VISION_LAYERS`; NAME is a short name or a Hub id.

    Raises ModelError for a name that has no known configuration, with the nearest ones, and for layers that are none.
    """
    name, *layers = text.split(":")
    if len(layers) > 2 or not all(part.isdecimal() and int(part) > 0 for part in layers):
        raise ModelError(
            f"--vtc-random-weights {text!r}: write NAME, NAME:LAYERS or NAME:LAYERS:VISION_LAYERS, such as "
            "gemma-4-E4B-it:4 for its first four text layers"
        )
    hub_id = _hub_id(name)
    short = next((card.name for card in CATALOGUE.values() if card.location == hub_id), hub_id.split("/")[1])
    random = RandomModel(hub_id, short, *map(int, layers))
    return ModelLocation(random.label, hub_id, None, random)


def random_names() -> list[str]:
    """The short names there are."""
    cards = {card.location: card.name for card in CATALOGUE.values()}
    return [cards.get(hub_id, hub_id.split("/")[1]) for hub_id in descriptions()]


def _hub_id(name: str) -> str:
    known = descriptions()
    if name in known:
        return name
    if (card := CATALOGUE.get(name)) and card.location in known:
        return card.location
    if found := next((hub_id for hub_id in known if hub_id.split("/")[1] == name), None):
        return found
    raise ModelError(
        f"--vtc-random-weights: there is no configuration for {name!r}: {nearest(name, random_names())} (short names "
        "and Hub ids of the catalogue's models)"
    )
