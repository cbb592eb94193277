"""The tokenizer of a tiny checkpoint: letters, a few pairs of them, and all special tokens of its family."""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping

from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

# How byte-level tokenizers write a blank and a newline.
_BLANK, _NEWLINE = "\u0120", "\u010a"

# A blank before a letter is part of its token, and two newlines are one token, as in large vocabularies.
_MERGES = [*((_BLANK, letter) for letter in string.ascii_letters), (_NEWLINE, _NEWLINE)]
_PIECES = [
    *(*string.ascii_letters, *string.digits, *string.punctuation, _BLANK, _NEWLINE),
    *(left + right for left, right in _MERGES),
]
_ORDINARY_ROLES = ("bos_token", "eos_token", "pad_token", "unk_token")


class Ids(Mapping[str, int]):
    """Ids of special tokens: they follow those of the ordinary pieces, in the order given."""

    def __init__(self, special_tokens: tuple[str, ...]) -> None:
        self._ids = {token: len(_PIECES) + i for i, token in enumerate(special_tokens)}

    def __getitem__(self, token: str) -> int:
        return self._ids[token]

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def vocabulary_size(self) -> int:
        return len(_PIECES) + len(self._ids)


def build_tokenizer(ids: Ids, roles: Mapping[str, str], adds_bos: bool) -> PreTrainedTokenizerFast:
    """A tokenizer of printable ASCII in which every letter, alone or after a blank, is one token.

    roles: which special token is `bos_token`, `eos_token`, `pad_token`, `image_token` ... adds_bos: whether it begins
    a text with `bos_token`, unless told to add no special tokens.
    """
    tokenizer = Tokenizer(BPE(vocab={piece: i for i, piece in enumerate(_PIECES)}, merges=_MERGES))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in ids])
    if adds_bos:
        bos = roles["bos_token"]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A $B", special_tokens=[(bos, ids[bos])]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        **{role: token for role, token in roles.items() if role in _ORDINARY_ROLES},
        extra_special_tokens={role: token for role, token in roles.items() if role not in _ORDINARY_ROLES},
        padding_side="left",
        model_max_length=4096,
        clean_up_tokenization_spaces=False,
    )
