"""The real model classes of every family with a vision encoder, tiny and with random weights, and pixels for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import transformers as hf
from torch import Tensor

from pytest_vtc.models.probe import Encoder

SHAPE: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
}
TEXT: dict[str, Any] = {
    "vocab_size": 40,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "pad_token_id": 0,
}
QWEN_VISION: dict[str, Any] = {
    "depth": 4,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_heads": 4,
    "patch_size": 4,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
    "out_hidden_size": 32,
}


def _randomise(model: Any) -> Any:
    """Weights large enough that attention is far from uniform; biases and norms differ from their usual values."""
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.ndim > 1:
            parameter.data = noise * 2 * parameter[0].numel() ** -0.5
        else:
            parameter.data += 0.1 * noise
    return model.eval()


def _llava() -> Any:
    vision = hf.CLIPVisionConfig(**SHAPE, image_size=20, patch_size=4, projection_dim=32)
    return hf.LlavaConfig(
        vision_config=vision, text_config=hf.LlamaConfig(**TEXT), image_token_id=39, vision_feature_layer=-1
    )


def _gemma3() -> Any:
    vision = hf.SiglipVisionConfig(**SHAPE, image_size=16, patch_size=4, vision_use_head=False)
    return hf.Gemma3Config(
        text_config=hf.Gemma3TextConfig(**TEXT), vision_config=vision, mm_tokens_per_image=4, image_token_id=39
    )


def _gemma4() -> Any:
    vision = hf.Gemma4VisionConfig(**SHAPE, num_key_value_heads=2, head_dim=8, patch_size=2, position_embedding_size=16)
    text = hf.Gemma4TextConfig(
        **TEXT, hidden_size_per_layer_input=0, num_kv_shared_layers=0, layer_types=["full_attention"]
    )
    return hf.Gemma4Config(text_config=text, vision_config=vision, audio_config=None, image_token_id=39)


def _shuffled(name: str) -> Callable[[], Any]:
    def config() -> Any:
        vision = getattr(hf, f"{name}VisionConfig")(**SHAPE, image_size=16, patch_size=4)
        text = hf.LlamaConfig(**TEXT)
        return getattr(hf, f"{name}Config")(
            vision_config=vision, text_config=text, image_token_id=39, scale_factor=2, pad_token_id=0
        )

    return config


def _internvl(qk_norm: bool) -> Callable[[], Any]:
    def config() -> Any:
        vision = hf.InternVLVisionConfig(**SHAPE, image_size=[16, 16], patch_size=[4, 4], use_qk_norm=qk_norm)
        return hf.InternVLConfig(
            vision_config=vision,
            text_config=hf.LlamaConfig(**TEXT),
            image_token_id=39,
            downsample_ratio=0.5,
            vision_feature_layer=-1,
        )

    return config


def _qwen(name: str, **vision: Any) -> Callable[[], Any]:
    def config() -> Any:
        rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 2, 2]}
        return getattr(hf, f"{name}Config")(
            text_config={**TEXT, "rope_parameters": rope},
            vision_config={**QWEN_VISION, **vision},
            image_token_id=39,
            video_token_id=38,
        )

    return config


def pixels(n_images: int, *shape: int) -> Tensor:
    """[n_images, *shape]; an image is the same whatever their number."""
    return torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(i)) for i in range(n_images)])


def _square(side: int) -> Callable[[int], dict[str, Tensor]]:
    return lambda n_images: {"pixel_values": pixels(n_images, 3, side, side)}


def _tiles(n_images: int) -> dict[str, Tensor]:
    return {"pixel_values": pixels(n_images, 1, 3, 16, 16)}


def _partly_padded_tiles(n_images: int) -> dict[str, Tensor]:
    """Of every tile but the first the lowest row of patches is padding."""
    mask = torch.ones(n_images, 1, 16, 16, dtype=torch.bool)
    mask[1:, :, 12:] = False
    return {**_tiles(n_images), "pixel_attention_mask": mask}


def _padded_patches(n_images: int) -> dict[str, Tensor]:
    """Images of 6 x 6 and of 3 x 6 patches in turn, padded to 54."""
    places = torch.full((n_images, 54, 2), -1)
    for image, place in enumerate(places):
        rows = 3 if image % 2 else 6
        place[: rows * 6] = torch.cartesian_prod(torch.arange(rows), torch.arange(6)).flip(-1)
    return {"pixel_values": pixels(n_images, 54, 12).sigmoid(), "image_position_ids": places}


def _flat_patches(n_images: int) -> dict[str, Tensor]:
    return {
        "pixel_values": pixels(n_images, 24, 96).flatten(0, 1),
        "image_grid_thw": torch.tensor([[1, 4, 6]] * n_images),
    }


@dataclass(frozen=True)
class Family:
    """config: makes the configuration. inputs: what `get_image_features` takes for so many images."""

    config: Callable[[], Any]
    encoder: Encoder
    inputs: Callable[[int], dict[str, Tensor]]

    def attention(self, model: Any, layer: int) -> Any:
        """The attention module of an encoder layer."""
        layers = model.model.get_submodule(f"{self.encoder.tower}.{self.encoder.layers}")
        return getattr(layers[layer], self.encoder.attention)

    def valid_rows(self, image: int, n_rows: int) -> Tensor:
        """[n_rows] bool: which rows of an image are no padding."""
        inputs = self.inputs(image + 1)
        if "image_position_ids" in inputs:
            return (inputs["image_position_ids"][image] >= 0).all(-1)
        if "pixel_attention_mask" in inputs:
            return inputs["pixel_attention_mask"][image, 0, ::4, ::4].flatten()
        return torch.ones(n_rows, dtype=torch.bool)

    def model(self, attention: str = "sdpa", dtype: torch.dtype = torch.float32) -> Any:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            made = hf.AutoModelForImageTextToText.from_config(self.config(), attn_implementation=attention)
        return _randomise(made).to(dtype)


FAMILIES = {
    "llava": Family(_llava, Encoder("vision_tower", has_cls=True), _square(20)),
    "gemma3": Family(_gemma3, Encoder("vision_tower"), _square(16)),
    "gemma4": Family(_gemma4, Encoder("vision_tower"), _padded_patches),
    "idefics3": Family(_shuffled("Idefics3"), Encoder("vision_model"), _tiles),
    "smolvlm": Family(_shuffled("SmolVLM"), Encoder("vision_model"), _partly_padded_tiles),
    "internvl": Family(
        _internvl(qk_norm=False), Encoder("vision_tower", "encoder.layer", "attention", has_cls=True), _square(16)
    ),
    "internvl-6b": Family(
        _internvl(qk_norm=True), Encoder("vision_tower", "encoder.layer", "attention", has_cls=True), _square(16)
    ),
    "qwen2.5": Family(
        _qwen("Qwen2_5_VL", window_size=16, fullatt_block_indexes=[2]),
        Encoder("visual", "blocks", "attn"),
        _flat_patches,
    ),
    "qwen3": Family(
        _qwen("Qwen3VL", num_position_embeddings=16, deepstack_visual_indexes=[0]),
        Encoder("visual", "blocks", "attn"),
        _flat_patches,
    ),
}
