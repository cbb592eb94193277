"""SmolVLM2."""

from __future__ import annotations

from pytest_vtc.models.idefics3 import Idefics3Backend


class SmolVLMBackend(Idefics3Backend):
    """Idefics3 under another name: images and prompts are laid out alike, only the sizes differ."""

    model_type = "smolvlm"
