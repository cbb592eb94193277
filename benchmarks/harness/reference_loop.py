"""The loop everybody writes: one sample at a time, everything again for every cell. What the engine is compared with.

Written in the way of the public evaluation tools: batch 1; image processor and vision tower for every case; `generate`
for every case; nothing shared. Uses the model and its processor directly, and of this package the compressors alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from transformers.modeling_outputs import BaseModelOutputWithPooling
from workload import Variant

from pytest_vtc.compression import Compressor, budget
from pytest_vtc.datasets.base import Sample
from pytest_vtc.models.gemma4 import Gemma4Backend


class ReferenceLoop:
    """Answers, one by one, of a Gemma 4 with a vision tower."""

    def __init__(self, backend: Gemma4Backend, max_new_tokens: int, seed: int) -> None:
        self.model, self.tokenizer, self.processor = backend.model, backend.tokenizer, backend.image_processor
        self.max_new_tokens, self.seed = max_new_tokens, seed
        self.stop_ids = backend.stop_ids

    def run(self, samples: Sequence[Sample], variants: Sequence[Variant]) -> list[str]:
        """Sample by sample, each in all variants, the order of the engine's jobs."""
        return [self.answer(sample, *variant) for sample in samples for variant in variants]

    @torch.inference_mode()
    def answer(self, sample: Sample, compressor: Compressor | None, ratio: float) -> str:
        (source,) = sample.images
        pixels = self.processor(images=[source.open()], return_tensors="pt")
        features = self.model.model.get_image_features(
            pixels["pixel_values"].to(self.model.device),
            pixels["image_position_ids"].to(self.model.device),
            return_dict=True,
        ).pooler_output[0]
        if compressor is not None:
            features = self.compress(compressor, features, pixels, source, ratio)
        ids = torch.tensor([self.prompt(sample.prompt, len(features))], device=self.model.device)
        generated = self.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            mm_token_type_ids=(ids == self.model.config.image_token_id).long(),
            mm_encoder_outputs={"image": BaseModelOutputWithPooling(pooler_output=[features])},  # type: ignore[arg-type]
            do_sample=False,
            max_new_tokens=self.max_new_tokens,
        )
        return self.tokenizer.decode(generated[0, ids.shape[1] :], skip_special_tokens=True).strip()

    def compress(
        self, compressor: Compressor, features: torch.Tensor, pixels: Any, source: Any, ratio: float
    ) -> torch.Tensor:
        pool = self.model.config.vision_config.pooling_kernel_size
        x, y = pixels["image_position_ids"][0].amax(dim=0).tolist()
        rows, columns = (y + 1) // pool, (x + 1) // pool
        raster = torch.arange(len(features))
        digest = hashlib.sha256(f"{self.seed}:{source.fingerprint()}".encode()).digest()
        kept = compressor.compress(
            features.float(),
            budget(len(features), ratio),
            grid=(rows, columns),
            positions=torch.stack([raster // columns, raster % columns], dim=1),
            generator=torch.Generator().manual_seed(int.from_bytes(digest[:7], "big")),
        )
        assert isinstance(kept, torch.Tensor)
        assert not kept.is_floating_point(), "the reference loop runs compressors that select"
        return features[kept.sort().values.to(features.device)]

    def prompt(self, text: str, n_tokens: int) -> list[int]:
        config = self.model.config
        content = [{"type": "image"}, {"type": "text", "text": text}]
        prompt = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        ids: list[int] = self.tokenizer(prompt, add_special_tokens=False)["input_ids"]
        at = ids.index(config.image_token_id)
        block = [config.boi_token_id, *[config.image_token_id] * n_tokens, config.eoi_token_id]
        return [*ids[:at], *block, *ids[at + 1 :]]
