"""Chat templates that lay out a user's turn as those of the real checkpoints do."""

from __future__ import annotations


def _template(
    opening: str, image: str, text: str, closing: str, prompt: str, begin: str = "''", images_first: bool = False
) -> str:
    """A template of Jinja expressions.

    begin: once, before all turns. opening, closing: around each `message`. image, text: of each `part` of its content,
    in the order given or with all images first. prompt: what asks for an answer.
    """
    image, text = f"{{{{ {image} }}}}", f"{{{{ {text} }}}}"
    if images_first:
        content = "".join(
            f"{{% for part in message['content'] if part['type'] == '{kind}' %}}{part}{{% endfor %}}"
            for kind, part in (("image", image), ("text", text))
        )
    else:
        content = (
            f"{{% for part in message['content'] %}}{{% if part['type'] == 'image' %}}{image}{{% else %}}{text}"
            "{% endif %}{% endfor %}"
        )
    return (
        f"{{{{ {begin} }}}}{{% for message in messages %}}{{{{ {opening} }}}}{content}{{{{ {closing} }}}}{{% endfor %}}"
        f"{{% if add_generation_prompt %}}{{{{ {prompt} }}}}{{% endif %}}"
    )


_GEMMA_ROLE = "('model' if message['role'] == 'assistant' else message['role'])"
_TRIMMED, _PLAIN = "part['text'] | trim", "part['text']"


def gemma4(image: str, empty_thought: bool) -> str:
    """image: as the template writes it, with or without newlines around it. empty_thought: what larger models need."""
    thought = r"<|channel>thought\n<channel|>" if empty_thought else ""
    return _template(
        rf"'<|turn>' + {_GEMMA_ROLE} + '\n'",
        f"'{image}'",
        _TRIMMED,
        r"'<turn|>\n'",
        rf"'<|turn>model\n{thought}'",
        begin="bos_token",
    )


def gemma3(image: str) -> str:
    return _template(
        rf"'<start_of_turn>' + {_GEMMA_ROLE} + '\n'",
        f"'{image}'",
        _TRIMMED,
        r"'<end_of_turn>\n'",
        r"'<start_of_turn>model\n'",
        begin="bos_token",
    )


_CHATML = (r"'<|im_start|>' + message['role'] + '\n'", r"'<|im_end|>\n'", r"'<|im_start|>assistant\n'")


def _chatml(image: str, begin: str = "''") -> str:
    opening, closing, prompt = _CHATML
    return _template(opening, image, _PLAIN, closing, prompt, begin=begin)


QWEN3_VL = _chatml("'<|vision_start|><|image_pad|><|vision_end|>'")
QWEN2_5_VL = _chatml(
    "'<|vision_start|><|image_pad|><|vision_end|>'",
    begin=r"'<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' if messages[0]['role'] != 'system' else ''",
)
INTERNVL = _chatml(r"'<IMG_CONTEXT>\n'")
LLAVA_ONEVISION = _template(
    "'<|im_start|>' + message['role'] + ' '",
    "'<image>'",
    r"'\n' + part['text']",
    "'<|im_end|>'",
    r"'<|im_start|>assistant\n'",
    images_first=True,
)
LLAVA = _template(
    "message['role'] | upper + ': '", r"'<image>\n'", "part['text'] + ' '", "''", "'ASSISTANT:'", images_first=True
)
LLAVA_NEXT_MISTRAL = _template("'[INST] '", r"'<image>\n'", _PLAIN, "' [/INST]'", "''", images_first=True)

_UTTERANCE = (
    "message['role'] | capitalize + (':' if message['content'][0]['type'] == 'image' else ': ')",
    "'<image>'",
    _PLAIN,
    r"'<end_of_utterance>\n'",
    "'Assistant:'",
)
SMOLVLM = _template(*_UTTERANCE, begin="'<|im_start|>'")
IDEFICS3 = _template(*_UTTERANCE, begin="'<|begin_of_text|>'")
