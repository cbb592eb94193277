"""CLIP's joint space of images and text, for towers that are CLIP's: where a question lies among the vision tokens.

The text encoder and both projections come from a CLIP checkpoint, which most vision-language models leave behind when
they take its tower.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from pytest_vtc.compression import CompressionError
from pytest_vtc.models.load_errors import explain
from pytest_vtc.models.quiet_loading import quiet

_QUESTIONS = 256
"""How many questions' embeddings are remembered: all cells of a window ask the same ones."""


class JointSpace:
    """The text tower of one CLIP checkpoint with what leads into the space it shares with the vision tower.

    Raises CompressionError if the checkpoint is not CLIP's, incomplete, unknown, or neither cached nor to be had.
    """

    def __init__(self, checkpoint: str, device: torch.device) -> None:
        # Not at the top: all that collects cases of any model would wait seconds for them.
        from transformers import AutoTokenizer, CLIPModel, PreTrainedConfig

        self.checkpoint, self._device = checkpoint, device
        raw = self._read(PreTrainedConfig.get_config_dict, "config.json")[0]
        if (kind := raw.get("model_type")) is None:
            raise CompressionError(
                f"{checkpoint} is no CLIP checkpoint: it has no config.json that says its model_type"
            )
        if kind != "clip":
            raise CompressionError(
                f"{checkpoint} is a {kind!r} model; text and vision tokens are compared in the space of a CLIP "
                "checkpoint, such as openai/clip-vit-large-patch14-336"
            )
        self._tokenizer = self._read(AutoTokenizer.from_pretrained, "tokenizer")
        with quiet():
            clip, found = self._read(
                CLIPModel.from_pretrained, "weights", dtype=torch.float32, output_loading_info=True
            )
        if missing := sorted(found["missing_keys"]):
            raise CompressionError(f"{checkpoint} lacks {len(missing)} tensors of a CLIPModel, such as {missing[0]}")
        self._segment = int(clip.config.text_config.max_position_embeddings)
        # The vision encoder itself is not kept: the model has its own.
        self._text_model, self._text_projection, self._vision_norm, self._vision_projection = (
            part.to(device).eval()
            for part in (
                clip.text_model,
                clip.text_projection,
                clip.vision_model.post_layernorm,
                clip.visual_projection,
            )
        )
        self.text = lru_cache(maxsize=_QUESTIONS)(self._text)

    def _read(self, read: Any, part: str, **options: Any) -> Any:
        try:
            return read(self.checkpoint, **options)
        except Exception as error:
            # Other people's files can be wrong in any way, and transformers and the Hub say so by many kinds of error.
            reason = explain(error, self.checkpoint, part, "to the compressor, as in cdpruner(clip='FOLDER')")
            raise CompressionError(f"cannot load the CLIP checkpoint: {reason}") from error

    @torch.no_grad()
    def image(self, hidden: Tensor) -> Tensor:
        """[N, C], rows of the vision tower, to [N, E] float32."""
        if hidden.shape[1] != (width := self._vision_projection.in_features):
            raise CompressionError(
                f"the rows of this model's vision encoder are {hidden.shape[1]} wide, those of {self.checkpoint} "
                f"{width}: name the CLIP checkpoint that the encoder was taken from"
            )
        return self._vision_projection(self._vision_norm(hidden.to(self._device, torch.float32)))

    @torch.no_grad()
    def _text(self, question: str) -> Tensor:
        """[S, E] float32, of each segment of as many tokens as the text encoder has positions for (77)."""
        # The tokenizer warns that it is too long for the model; it is cut just below.
        given = self._tokenizer(question, return_tensors="pt", verbose=False)
        n_tokens = given["input_ids"].shape[1]
        n_segments = -(-n_tokens // self._segment)
        ids, mask = (
            torch.nn.functional.pad(given[name][0], (0, n_segments * self._segment - n_tokens))
            .reshape(n_segments, self._segment)
            .to(self._device)
            for name in ("input_ids", "attention_mask")
        )
        return self._text_projection(self._text_model(input_ids=ids, attention_mask=mask).pooler_output)


class JointSpaces:
    """The joint spaces of the checkpoints that were asked for, each loaded once; what failed is not tried again."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._found: dict[str, JointSpace | str] = {}

    def of(self, checkpoint: str) -> JointSpace:
        """Raises CompressionError, see `JointSpace`."""
        if checkpoint not in self._found:
            try:
                self._found[checkpoint] = JointSpace(checkpoint, self._device)
            except CompressionError as error:
                self._found[checkpoint] = str(error)
        space = self._found[checkpoint]
        if isinstance(space, str):
            raise CompressionError(space)
        return space
