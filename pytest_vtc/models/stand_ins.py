"""Stand-ins for a checkpoint's tokenizer and image processor, made from its description."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer
from tokenizers.models import Unigram
from tokenizers.processors import TemplateProcessing
from transformers import AutoImageProcessor, PreTrainedTokenizerFast

from pytest_vtc.models.catalogue import CATALOGUE, TINY, ModelError
from pytest_vtc.models.configurations import Description

_NEVER = -1e4
"""Score of a piece that no text is cut into."""


def stand_in_tokenizer(described: Description, n_tokens: int) -> PreTrainedTokenizerFast:
    """The words of tiny-gemma4 with the checkpoint's special tokens at their ids, and its prompt layout.

    n_tokens: size of the model's vocabulary. All of its ids decode to something: those of no word to their number.
    """
    given = described.tokenizer
    tokens: dict[str, int] = given["tokens"]
    special = {token_id: token for token, token_id in tokens.items()}
    file = Path(CATALOGUE[TINY].location) / "tokenizer.json"
    words = _words(json.loads(file.read_text(encoding="utf-8")))
    pieces = [
        (special[i], 0.0) if i in special else next(words, (f"<unused{i}>", _NEVER))
        for i in range(max(n_tokens, max(special) + 1))
    ]
    tiny, built = Tokenizer.from_file(str(file)), Tokenizer(Unigram(pieces, tokens.get(given.get("unk", "")), True))
    built.normalizer, built.pre_tokenizer, built.decoder = tiny.normalizer, tiny.pre_tokenizer, tiny.decoder
    built.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in tokens])
    if given.get("adds_bos"):
        bos = given["bos"]
        built.post_processor = TemplateProcessing(single=f"{bos} $A", special_tokens=[(bos, tokens[bos])])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=built,
        **{f"{role}_token": given[role] for role in ("pad", "eos", "bos", "unk") if role in given},
        extra_special_tokens=given.get("named", {}),
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = described.chat_template
    return fast


def _words(tokenizer: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Pieces and scores of a saved tokenizer, without its own special tokens."""
    own = {token["content"] for token in tokenizer["added_tokens"]}
    return ((piece, score) for piece, score in tokenizer["model"]["vocab"] if piece not in own)


def stand_in_processor(described: Description) -> Any:
    """The family's own at the checkpoint's sizes. Raises ModelError if it needs a package that is missing."""
    with tempfile.TemporaryDirectory() as folder:
        # From a file, as a checkpoint's: which class that is, and which without torchvision, is decided there.
        (Path(folder) / "preprocessor_config.json").write_text(json.dumps(described.image_processor))
        try:
            return AutoImageProcessor.from_pretrained(folder, backend="pil")
        except (ImportError, ValueError) as error:
            raise ModelError(
                f"{described.hub_id}: its image processor, {described.image_processor['image_processor_type']}, needs "
                "torchvision, which is not installed here"
            ) from error
