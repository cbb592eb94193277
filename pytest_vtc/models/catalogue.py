"""The models that are known by a short name: where they are on the Hub and what they need. Imports no torch."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from pytest_vtc.models.random_catalogue import RandomModel

TINY = "tiny-gemma4"


class ModelError(ValueError):
    """A model cannot be had as asked; the message says why and what to do."""


Quantization = Literal["8bit", "4bit"]

BITS: Final[dict[Quantization | None, float]] = {None: 16, "8bit": 8, "4bit": 4.5}
"""Bits per weight, at bfloat16 where nothing is quantised; 4-bit keeps a float32 scale for every 64 weights."""


@dataclass(frozen=True)
class ModelCard:
    """One known model.

    location: Hub id, or the folder of the embedded checkpoint. parameters: in billions, embeddings included.
    quantized: those of them that quantisation shrinks: linear layers of the language model, neither its embeddings nor
    its output layer, nor anything of the vision side. tokens_per_image: vision tokens the language model gets.
    """

    name: str
    location: str
    model_type: str
    parameters: float
    quantized: float
    tokens_per_image: str
    licence: str
    gated: bool = False
    note: str = ""

    def memory_gb(self, quantization: Quantization | None = None) -> float:
        """Weights alone, in GB (1e9 bytes), in bfloat16 or quantised; activations and cache come on top."""
        shrunk = self.quantized * BITS[quantization]
        return ((self.parameters - self.quantized) * 16 + shrunk) / 8


FAMILY_NAMES: Final[dict[str, str]] = {
    "gemma4": "Gemma 4",
    "gemma4_unified": "Gemma 4 without a vision encoder",
    "gemma3": "Gemma 3",
    "gemma3n": "Gemma 3n",
    "qwen2_5_vl": "Qwen2.5-VL",
    "qwen3_vl": "Qwen3-VL",
    "internvl": "InternVL3",
    "llava": "LLaVA-1.5",
    "llava_next": "LLaVA-NeXT",
    "llava_onevision": "LLaVA-OneVision",
    "smolvlm": "SmolVLM2",
    "idefics3": "Idefics3 and SmolVLM",
    "video_llava": "Video-LLaVA",
}

NEEDS_PACKAGES: Final[dict[str, tuple[tuple[str, ...], str]]] = {
    "gemma4_unified": (("torchvision",), "transformers has its image processor for torchvision only"),
    "gemma3n": (("timm", "torchvision"), "its vision tower comes from timm"),
}
"""By model_type: packages beyond our own dependencies, and what for."""


def _on_hub(
    location: str,
    model_type: str,
    parameters: float,
    quantized: float,
    tokens_per_image: str,
    licence: str,
    gated: bool = False,
) -> ModelCard:
    name = location.split("/")[1]
    return ModelCard(name, location, model_type, parameters, quantized, tokens_per_image, licence, gated)


# Parameters were counted on the meta device from the published configurations; those of the configurations that are
# in the transformers repository (Gemma 3 and 4) are sure, the others agree with what the Hub shows. Of Gemma 3n only
# the language and audio parts were counted. Not verified: the licences of InternVL3, the largest numbers of tiles.
_APACHE = "Apache-2.0"

CATALOGUE: Final[dict[str, ModelCard]] = {
    card.name: card
    for card in (
        ModelCard(
            TINY,
            str(Path(__file__).parent / "tiny_gemma4" / "checkpoint"),
            "gemma4",
            0.0011,
            0.0006,
            "up to 70",
            _APACHE,
            note="embedded; reads easy-VQA and the digit probes, nothing else",
        ),
        _on_hub("google/gemma-4-E2B-it", "gemma4", 5.10, 1.88, "up to 280", _APACHE),
        _on_hub("google/gemma-4-E4B-it", "gemma4", 7.94, 3.97, "up to 280", _APACHE),
        # bitsandbytes quantises linear layers; the experts of a mixture are none.
        _on_hub("google/gemma-4-26B-A4B-it", "gemma4", 25.81, 1.65, "up to 280", _APACHE),
        _on_hub("google/gemma-4-31B-it", "gemma4", 31.27, 29.29, "up to 280", _APACHE),
        _on_hub("google/gemma-4-12B-it", "gemma4_unified", 11.96, 10.90, "up to 280", _APACHE),
        _on_hub("google/gemma-3-4b-it", "gemma3", 4.30, 3.21, "256", "Gemma", True),
        _on_hub("google/gemma-3-12b-it", "gemma3", 12.19, 10.76, "256", "Gemma", True),
        _on_hub("google/gemma-3-27b-it", "gemma3", 27.43, 25.60, "256", "Gemma", True),
        _on_hub("google/gemma-3n-E2B-it", "gemma3n", 5.44, 1.88, "256", "Gemma", True),
        _on_hub("google/gemma-3n-E4B-it", "gemma3n", 7.85, 3.95, "256", "Gemma", True),
        _on_hub("Qwen/Qwen2.5-VL-3B-Instruct", "qwen2_5_vl", 3.75, 2.77, "4-16384, by size", "Qwen Research"),
        _on_hub("Qwen/Qwen2.5-VL-7B-Instruct", "qwen2_5_vl", 8.29, 6.53, "4-16384, by size", _APACHE),
        _on_hub("Qwen/Qwen2.5-VL-32B-Instruct", "qwen2_5_vl", 33.45, 31.21, "4-16384, by size", _APACHE),
        _on_hub("Qwen/Qwen2.5-VL-72B-Instruct", "qwen2_5_vl", 73.41, 70.21, "4-16384, by size", "Qwen"),
        _on_hub("Qwen/Qwen3-VL-2B-Instruct", "qwen3_vl", 2.13, 1.41, "64-16384, by size", _APACHE),
        _on_hub("Qwen/Qwen3-VL-4B-Instruct", "qwen3_vl", 4.44, 3.63, "64-16384, by size", _APACHE),
        _on_hub("Qwen/Qwen3-VL-8B-Instruct", "qwen3_vl", 8.77, 6.95, "64-16384, by size", _APACHE),
        _on_hub("Qwen/Qwen3-VL-32B-Instruct", "qwen3_vl", 33.36, 31.21, "64-16384, by size", _APACHE),
        _on_hub("OpenGVLab/InternVL3-1B-hf", "internvl", 0.94, 0.36, "1-13 tiles of 256", _APACHE),
        _on_hub("OpenGVLab/InternVL3-2B-hf", "internvl", 2.09, 1.31, "1-13 tiles of 256", _APACHE),
        _on_hub("OpenGVLab/InternVL3-8B-hf", "internvl", 7.94, 6.53, "1-13 tiles of 256", _APACHE),
        _on_hub("OpenGVLab/InternVL3-14B-hf", "internvl", 15.12, 13.21, "1-13 tiles of 256", _APACHE),
        _on_hub("OpenGVLab/InternVL3-38B-hf", "internvl", 38.39, 31.21, "1-13 tiles of 256", _APACHE),
        _on_hub("OpenGVLab/InternVL3-78B-hf", "internvl", 78.41, 70.21, "1-13 tiles of 256", "Qwen"),
        _on_hub("llava-hf/llava-1.5-7b-hf", "llava", 7.06, 6.48, "576", "Llama 2"),
        _on_hub("llava-hf/llava-1.5-13b-hf", "llava", 13.35, 12.69, "576", "Llama 2"),
        _on_hub("llava-hf/llava-v1.6-mistral-7b-hf", "llava_next", 7.57, 6.98, "up to 2928", _APACHE),
        _on_hub("llava-hf/llava-v1.6-vicuna-7b-hf", "llava_next", 7.06, 6.48, "up to 2928", "Llama 2"),
        _on_hub("llava-hf/llava-v1.6-vicuna-13b-hf", "llava_next", 13.35, 12.69, "up to 2928", "Llama 2"),
        _on_hub("llava-hf/llava-v1.6-34b-hf", "llava_next", 34.75, 33.47, "up to 2928", _APACHE),
        _on_hub("llava-hf/llava-onevision-qwen2-0.5b-ov-hf", "llava_onevision", 0.89, 0.36, "up to 7371", _APACHE),
        _on_hub("llava-hf/llava-onevision-qwen2-7b-ov-hf", "llava_onevision", 8.03, 6.53, "up to 7371", _APACHE),
        _on_hub("llava-hf/llava-onevision-qwen2-72b-ov-hf", "llava_onevision", 73.18, 70.21, "up to 7371", _APACHE),
        _on_hub("HuggingFaceTB/SmolVLM2-256M-Video-Instruct", "smolvlm", 0.26, 0.11, "1-17 tiles of 64", _APACHE),
        _on_hub("HuggingFaceTB/SmolVLM2-500M-Video-Instruct", "smolvlm", 0.51, 0.31, "1-17 tiles of 64", _APACHE),
        _on_hub("HuggingFaceTB/SmolVLM2-2.2B-Instruct", "smolvlm", 2.25, 1.61, "1-17 tiles of 81", _APACHE),
        _on_hub("HuggingFaceTB/SmolVLM-256M-Instruct", "idefics3", 0.26, 0.11, "1-17 tiles of 64", _APACHE),
        _on_hub("HuggingFaceTB/SmolVLM-500M-Instruct", "idefics3", 0.51, 0.31, "1-17 tiles of 64", _APACHE),
        _on_hub("HuggingFaceTB/SmolVLM-Instruct", "idefics3", 2.25, 1.61, "1-17 tiles of 81", _APACHE),
        _on_hub("HuggingFaceM4/Idefics3-8B-Llama3", "idefics3", 8.46, 6.98, "1-17 tiles of 169", _APACHE),
        _on_hub("LanguageBind/Video-LLaVA-7B-hf", "video_llava", 7.37, 6.48, "256", _APACHE),
    )
}


@dataclass(frozen=True)
class ModelLocation:
    """Where a model that was asked for comes from. label: how cells and tables call it.

    random: source is then the Hub id whose configuration is filled with random values.
    """

    label: str
    source: str
    card: ModelCard | None
    random: RandomModel | None = None


def locate(name: str) -> ModelLocation:
    """Resolve a short name, a Hub id (`owner/name`) or a local checkpoint folder. Looks at names and folders only.

    Raises ModelError for an unknown name, with the nearest known ones.
    """
    if card := CATALOGUE.get(name):
        return ModelLocation(name, card.location, card)
    for card in CATALOGUE.values():
        if name == card.location:
            return ModelLocation(card.name, card.location, card)
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ModelError(f"{folder} is not a checkpoint: it has no config.json")
        return ModelLocation(_folder_label(folder.resolve()), str(folder), None)
    if name.startswith((".", "/", "~")):
        raise ModelError(f"no checkpoint folder at {folder}")
    if reason := _never_was(name):
        raise ModelError(f"there is no model {name!r}: {reason}")
    if name.count("/") == 1 and all(name.split("/")):
        return ModelLocation(name.split("/")[1], name, None)
    close = difflib.get_close_matches(name, CATALOGUE, n=3, cutoff=0.5)
    known = f"did you mean {' or '.join(close)}?" if close else "`python -m pytest_vtc list` shows the known ones"
    raise ModelError(f"unknown model {name!r}: {known} (or a Hub id owner/name, or a checkpoint folder)")


def _folder_label(folder: Path) -> str:
    """The folder's name; of one in the Hub's cache, which is called after its commit, the model's."""
    if folder.parent.name == "snapshots" and folder.parent.parent.name.startswith("models--"):
        return folder.parent.parent.name.split("--")[-1]
    return folder.name


def _never_was(name: str) -> str | None:
    """Why a name that is known from elsewhere leads nowhere."""
    if found := re.fullmatch(r"(?:google/)?gemma-?4-E(12|27)B(?:-it)?", name, re.IGNORECASE):
        nearest = "gemma-4-12B-it" if found[1] == "12" else "gemma-4-26B-A4B-it or gemma-4-31B-it"
        return f"Gemma 4 comes as E2B, E4B, 12B, 26B-A4B and 31B; the nearest is {nearest}"
    if re.search(r"mini[-_ ]?gemini|(?:^|/)mgm[-_]", name, re.IGNORECASE):
        return (
            "Mini-Gemini (MGM) has no transformers port, which this tool needs; "
            "the nearest in kind are llava-1.5-7b-hf and llava-v1.6-vicuna-7b-hf"
        )
    return None
