"""A description small enough to be built by the dozen: Gemma 4 with a vocabulary of hundreds, beside the real ones."""

from __future__ import annotations

import dataclasses

import pytest

from pytest_vtc.models import random_catalogue
from pytest_vtc.models.configurations import Description, descriptions

SMALL = "gemma-4-small"


def small_gemma4() -> Description:
    """Every kind of text layer, some that share keys and values, and three vision layers."""
    real = descriptions()["google/gemma-4-E2B-it"]
    ids = {token: 3 * i for i, token in enumerate(real.tokenizer["tokens"])}
    config = {
        "text_config": {
            "vocab_size": 600, "vocab_size_per_layer_input": 600, "hidden_size": 64, "intermediate_size": 96,
            "hidden_size_per_layer_input": 16, "num_hidden_layers": 6, "num_attention_heads": 4,
            "num_key_value_heads": 2, "head_dim": 16, "global_head_dim": 16, "num_kv_shared_layers": 3,
            "layer_types": ["sliding_attention", "full_attention"], "max_position_embeddings": 4096,
        },
        "vision_config": {
            "hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4,
            "num_key_value_heads": 4, "head_dim": 12, "position_embedding_size": 256,
        },
        "boi_token_id": ids["<|image>"], "image_token_id": ids["<|image|>"], "eoi_token_id": ids["<image|>"],
        "boa_token_id": ids["<|audio>"], "audio_token_id": ids["<|audio|>"], "eoa_token_index": ids["<audio|>"],
        "video_token_id": ids["<|video|>"],
        "dtype": "bfloat16",
    }  # fmt: skip
    return dataclasses.replace(
        real,
        hub_id=f"google/{SMALL}",
        config=config,
        tokenizer=real.tokenizer | {"tokens": ids},
        image_processor=real.image_processor | {"max_soft_tokens": 70},
    )


@pytest.fixture
def small_model(monkeypatch: pytest.MonkeyPatch) -> str:
    """The short name under which the small description is found for the time of a test."""
    small = small_gemma4()
    known = {**descriptions(), small.hub_id: small}
    monkeypatch.setattr(random_catalogue, "descriptions", lambda: known)
    return SMALL
