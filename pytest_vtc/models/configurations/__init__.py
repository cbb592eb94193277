"""What is known of published checkpoints without downloading them: shapes, special tokens, prompt layout, image sizes.

One JSON file for each family, named after its `model_type`. Its sections hold for all of its checkpoints; those under
"checkpoints", by Hub id, add to them or replace what they name:

- config: what differs from the defaults of the configuration's class. Of `layer_types` one period is given, which
  repeats over the layers (Gemma 4's last layer is always a full one).
- tokenizer: special tokens by id, and which of them are pad, eos, bos, unk and the tokenizer's named ones; adds_bos:
  the tokenizer writes it and the template does not. A string is the name of the family whose tokenizer it is.
- stop: the tokens that end an answer. template: a file beside this one.
- image_processor: as in preprocessor_config.json.

The values are those of the checkpoints' own files on the Hub and of the scripts that made them. Imports no torch.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Description:
    """One checkpoint. config: values for `AutoConfig.for_model(model_type, ...)`; chat_template: its text."""

    hub_id: str
    model_type: str
    config: dict[str, Any]
    tokenizer: dict[str, Any]
    stop: tuple[str, ...]
    chat_template: str
    image_processor: dict[str, Any]


@lru_cache(maxsize=1)
def descriptions() -> dict[str, Description]:
    """Every checkpoint that is described, by Hub id."""
    families = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(_FOLDER.glob("*.json"))}
    found: dict[str, Description] = {}
    for model_type, family in families.items():
        for hub_id, own in family.pop("checkpoints").items():
            whole = _merged(family, own)
            tokenizer = whole["tokenizer"]
            if isinstance(tokenizer, str):
                tokenizer = families[tokenizer]["tokenizer"]
            found[hub_id] = Description(
                hub_id=hub_id,
                model_type=model_type,
                config=whole["config"],
                tokenizer=tokenizer,
                stop=tuple(whole["stop"]),
                chat_template=(_FOLDER / whole["template"]).read_text(encoding="utf-8").removesuffix("\n"),
                image_processor=whole["image_processor"],
            )
    return found


def _merged(common: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """`common` with the entries of `own`, at any depth; a list is replaced as a whole, and so is a set of tokens."""
    merged = dict(common)
    for key, value in own.items():
        before = merged.get(key)
        if isinstance(before, dict) and isinstance(value, dict) and key != "tokenizer":
            merged[key] = _merged(cast("dict[str, Any]", before), cast("dict[str, Any]", value))
        else:
            merged[key] = value
    return merged
