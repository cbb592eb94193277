"""Builds the tokenizer of tiny-gemma4: the special tokens and turns of Gemma 4 over a few hundred pieces.

Words of the two training sets are single tokens; every other text is still encoded without loss, by characters and
bytes, so that a foreign prompt is read as unfamiliar text and never as `<unk>`.
"""

from __future__ import annotations

import string
from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import Unigram
from transformers import PreTrainedTokenizerFast

SPECIAL_TOKENS = (
    "<pad>", "<eos>", "<bos>", "<unk>", "<mask>",
    "<|turn>", "<turn|>", "<|think|>", "<|channel>", "<channel|>", "<|tool_response>",
    "<|image>", "<|image|>", "<image|>", "<|audio>", "<|audio|>", "<audio|>", "<|video|>",
)  # fmt: skip

# The shape of Gemma 4's template: <bos>, turns closed by <turn|>, the assistant called "model", <|image|> placeholders.
CHAT_TEMPLATE = """\
{{- bos_token -}}
{%- for message in messages -%}
    {{- '<|turn>' + ('model' if message['role'] == 'assistant' else message['role']) + '\n' -}}
    {%- if message['content'] is string -%}
        {{- message['content'] | trim -}}
    {%- else -%}
        {%- for part in message['content'] -%}
            {%- if part['type'] == 'image' -%}{{- '<|image|>' -}}
            {%- elif part['type'] == 'text' -%}{{- part['text'] | trim -}}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
    {{- '<turn|>\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|turn>model\n' -}}{%- endif -%}
"""

_SPACE = "\u2581"


def build_tokenizer(words: Iterable[str]) -> PreTrainedTokenizerFast:
    """A tokenizer in which every word of `words`, alone or after a blank, is one token."""
    pieces: list[tuple[str, float]] = [(token, 0.0) for token in SPECIAL_TOKENS]
    pieces += [(f"<0x{byte:02X}>", -20.0) for byte in range(256)]
    whole = [piece for word in sorted(set(words) | {"user", "model", "system"}) for piece in (word, _SPACE + word)]
    characters = [
        c for c in [_SPACE, "\n", *string.ascii_letters, *string.digits, *string.punctuation] if c not in whole
    ]
    # Unigram takes the segmentation of the highest total score: whole words before characters before bytes.
    pieces += [(piece, -1.0) for piece in whole] + [(c, -10.0) for c in characters]
    tokenizer = Tokenizer(Unigram(pieces, unk_id=SPECIAL_TOKENS.index("<unk>"), byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", _SPACE)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("\n|" + _SPACE), "merged_with_next")
    tokenizer.decoder = decoders.Sequence([decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>", eos_token="<eos>", bos_token="<bos>", unk_token="<unk>", mask_token="<mask>",
        extra_special_tokens={
            "sot_token": "<|turn>", "eot_token": "<turn|>",
            "think_token": "<|think|>", "soc_token": "<|channel>", "eoc_token": "<channel|>",
            "etr_token": "<|tool_response>",
            "boi_token": "<|image>", "image_token": "<|image|>", "eoi_token": "<image|>",
            "boa_token": "<|audio>", "audio_token": "<|audio|>", "eoa_token": "<audio|>",
            "video_token": "<|video|>",
        },
        padding_side="left", model_max_length=2048, clean_up_tokenization_spaces=False,
    )  # fmt: skip
    fast.chat_template = CHAT_TEMPLATE
    return fast
