"""The families that can be run: a new file in this folder is one class more here."""

from __future__ import annotations

from pytest_vtc.models.backend import Backend
from pytest_vtc.models.gemma4 import Gemma4Backend

FAMILIES: tuple[type[Backend], ...] = (Gemma4Backend,)

BACKENDS: dict[str, type[Backend]] = {family.model_type: family for family in FAMILIES}
