"""The text side of a model: prompts by its own chat template, option letters, and the answer in what it generated.

Part of `Backend`; the class variables and the methods that begin with _ are what a family's file states.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from pytest_vtc.models.decoding import Output
from pytest_vtc.models.sequences import Tile


class PromptError(ValueError):
    """A prompt cannot be given to this model; the message says why."""


class TextSide:
    """A loaded model and its tokenizer."""

    closing: ClassVar[tuple[str, ...]] = ()
    """Tokens that end an image, right behind its last image token: they belong to it, not to the question."""
    stops: ClassVar[tuple[str, ...]] = ()
    """Tokens that end an answer and that checkpoints fail to name in their generation settings."""
    turn_marks: ClassVar[tuple[str, ...]] = ()
    """Text with which a next turn begins, where the end of a turn is not a token of its own."""

    model: Any
    tokenizer: Any
    device: torch.device

    # What a family may differ in

    def _placeholder(self) -> str:
        """What the chat template writes for an image."""
        return self.image_token

    def _image_text(self, tiles: Sequence[Tile]) -> str:
        """What stands in the prompt for an image of these tiles, with one image token for each."""
        return self.image_token * len(tiles)

    def _opening(self, prompt: str) -> str:  # noqa: ARG002
        """What the model itself would say before an answer of one letter."""
        return ""

    def _visible(self, token_ids: list[int]) -> list[int]:
        """Answer tokens without what the model says to itself; nothing to remove by default."""
        return token_ids

    # Prompts

    @cached_property
    def image_token_id(self) -> int:
        return int(self.model.config.image_token_id)

    @cached_property
    def image_token(self) -> str:
        return self.tokenizer.convert_ids_to_tokens(self.image_token_id)

    def prompt_ids(self, text: str, images: Sequence[Sequence[Tile]], by_letter: bool = False) -> list[int]:
        """Token ids of a user turn, images first, by the model's own chat template, with one image token per tile.

        Thinking is off. by_letter: the prompt ends where the letter of an option would be the next token.
        Raises PromptError if the text itself holds image placeholders.
        """
        content = [*({"type": "image"} for _ in images), {"type": "text", "text": text}]
        prompt: str = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True, enable_thinking=False
        )
        pieces = prompt.split(self._placeholder())
        if (found := len(pieces) - 1) != len(images):
            raise PromptError(
                f"the prompt holds {found} image placeholders for {len(images)} images; its text must not contain "
                f"{self._placeholder()!r}"
            )
        prompt = "".join(piece + text for piece, text in zip(pieces, [*map(self._image_text, images), ""], strict=True))
        if by_letter:
            prompt += self._opening(prompt)
        ids = self._ids(prompt)
        if (found := ids.count(self.image_token_id)) != (wanted := sum(map(len, images))):
            raise PromptError(
                f"the prompt holds {found} image tokens for {wanted} tiles; its text must not contain "
                f"{self.image_token!r}"
            )
        return ids

    def _ids(self, prompt: str) -> list[int]:
        # Most templates write the beginning-of-sequence token themselves; it must be there once.
        begun = not self.tokenizer.bos_token or prompt.startswith(self.tokenizer.bos_token)
        return self.tokenizer(prompt, add_special_tokens=not begun)["input_ids"]

    def split_prompt(self, prompt_ids: list[int]) -> tuple[list[int], list[int]]:
        """A prompt's token ids up to and including what ends its last image, and those after it."""
        last = len(prompt_ids)
        while last and prompt_ids[last - 1] != self.image_token_id:
            last -= 1
        while last and prompt_ids[last : last + 1] and prompt_ids[last] in self._closing_ids:
            last += 1
        return prompt_ids[:last], prompt_ids[last:]

    @cached_property
    def _closing_ids(self) -> frozenset[int]:
        return frozenset(self.tokenizer.convert_tokens_to_ids(list(self.closing)))

    def letters(self, n: int) -> list[list[int]]:
        """Token ids of each of the first `n` letters, with and without a blank before it.

        Raises PromptError if there are not so many, or the tokenizer writes one of them with several tokens only.
        """
        if n > len(string.ascii_uppercase):
            raise PromptError(f"{n} options are more than there are letters; run with --vtc-answers generate")
        found: list[list[int]] = []
        for letter in string.ascii_uppercase[:n]:
            ways = [self.tokenizer(text, add_special_tokens=False)["input_ids"] for text in (letter, f" {letter}")]
            single = sorted({ids[0] for ids in ways if len(ids) == 1} - {self.tokenizer.unk_token_id})
            if not single:
                raise PromptError(
                    f"this model's tokenizer has no single token for the letter {letter}, so that options cannot be "
                    "scored by their letters; run with --vtc-answers generate"
                )
            found.append(single)
        return found

    @torch.inference_mode()
    def text_embeddings(self, text: str) -> Tensor:
        """Input embeddings of the bare text: [T, D] float32."""
        ids = self.tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"][0]
        embeddings = self.model.get_input_embeddings()
        return embeddings(ids.to(embeddings.weight.device)).float()

    # Answers

    def answer(self, output: Output) -> str:
        """The text of an output as a person would read it."""
        text = self.tokenizer.decode(self._visible(output.token_ids), skip_special_tokens=True)
        for mark in self.turn_marks:
            text = text.split(mark, 1)[0]
        return text.strip()
