"""The families of models, and what each of them cannot do; to be asked before anything of a model is loaded."""

from __future__ import annotations

from pytest_vtc.compression import Compressor
from pytest_vtc.models.backend import Backend
from pytest_vtc.models.catalogue import ModelLocation
from pytest_vtc.models.gemma4 import Gemma4Backend

BACKENDS: dict[str, type[Backend]] = {cls.model_type: cls for cls in (Gemma4Backend,)}
"""By the `model_type` of a checkpoint's configuration."""


def backend_class(location: ModelLocation) -> type[Backend]:
    """The family of a model. Reads the configuration of one that is not in the catalogue. Raises ModelError."""
    if location.card is not None and location.card.model_type in BACKENDS:
        return BACKENDS[location.card.model_type]
    from pytest_vtc.models.loading import load_config  # takes two seconds to import

    return BACKENDS[load_config(location)[1]]


def unsupported(compressor: Compressor, family: type[Backend]) -> str | None:
    """Why a compressor cannot run on a family of models, or None if it can."""
    reasons = (family.lacks[need] for need in sorted(compressor.needs) if need in family.lacks)
    return "; ".join(dict.fromkeys(reasons)) or None
