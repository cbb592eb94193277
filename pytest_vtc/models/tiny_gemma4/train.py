"""Trains tiny-gemma4, the embedded checkpoint: a real `Gemma4ForConditionalGeneration` of about one million parameters.

    python -m pytest_vtc.models.tiny_gemma4.train --output DIR [--seed 0] [--threads 2]

It learns easy-VQA (train split only) and the digit probes (train digits and train scenes only), in three phases:

1. *look*: a throw-away linear head names the digit and the colour behind each soft token. From the answer loss alone,
   reading digits does not begin within the first thousand steps; with this head it takes minutes.
2. *answer*: the language model answers questions, still on small images (4 x 4 soft tokens).
3. *full size*: images of the size the benchmark uses (8 x 8 soft tokens), mixed with smaller and oblong ones, so that
   counting cannot lean on a fixed number of background tokens.

Steps, not minutes, decide when a phase ends, so a seed gives the same run on the same machine and library versions.
`train.log` beside this file is the log of the shipped run: its first line says on what it ran, its last how long.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import platform
import random
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import easy_vqa  # type: ignore[import-untyped]
import numpy as np
import torch
import transformers
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    Gemma4Config,
    Gemma4ForConditionalGeneration,
    Gemma4TextConfig,
    Gemma4VisionConfig,
    GenerationConfig,
    PreTrainedTokenizerFast,
)
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.models.gemma4.image_processing_pil_gemma4 import Gemma4ImageProcessorPil

from pytest_vtc.datasets.probe_scenes import COLOURS, SOFT_TOKEN_PX, Scene, make_scene
from pytest_vtc.models.tiny_gemma4.tokenizer import build_tokenizer

PATCH_PX = 16
POOL = 3
N_DIGITS, N_COLOURS = 10, len(COLOURS)


@dataclass(frozen=True)
class Phase:
    name: str
    steps: int
    peak_lr: float
    grids: tuple[tuple[int, int], ...]
    images: int
    questions_per_image: int
    max_digits: int
    vqa_share: float
    answers: bool


PHASES = (
    Phase("look", 1000, 2e-3, ((4, 4),), 48, 0, 6, 0.0, False),
    Phase("answer", 2000, 2e-3, ((4, 4),), 48, 4, 5, 0.25, True),
    Phase("full size", 1600, 8e-4, ((8, 8), (8, 8), (8, 8), (5, 6), (6, 5), (9, 7), (7, 9)), 16, 6, 8, 0.25, True),
)


@dataclass(frozen=True)
class Batch:
    """Images of one size and what is asked about them. `labels` is -1 where a token's content is unknown."""

    pixels: Tensor  # [B, patches, 768] in 0..1
    positions: Tensor  # [B, patches, 2], x then y
    labels: Tensor  # [B, tokens, 2]: 0 or 1 + digit, 0 or 1 + colour; -1 for easy-VQA
    questions: list[list[tuple[str, str]]]


class TrainingData:
    """Draws batches; every random decision comes from the two seeded generators."""

    def __init__(self, seed: int) -> None:
        texts, answers, image_ids = easy_vqa.get_train_questions()
        paths = easy_vqa.get_train_image_paths()
        self.vqa: dict[int, list[tuple[str, str]]] = defaultdict(list)
        for text, answer, image_id in zip(texts, answers, image_ids, strict=True):
            self.vqa[image_id].append((text, answer))
        self.vqa_ids = sorted(self.vqa)
        images = [np.array(Image.open(paths[i]).convert("RGB")) for i in self.vqa_ids]
        self.vqa_pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
        self.rng = random.Random(seed)
        self.next_scene = seed * 10_000_000

    def words(self) -> set[str]:
        questions = [qa for qas in self.vqa.values() for qa in qas]
        questions += [(f"what digit is {colour} ?", str(n)) for colour in COLOURS for n in range(N_DIGITS)]
        questions += [("how many digits are there ?", "1")]
        return {word for text, answer in questions for word in [*text.replace("?", " ?").split(), answer]}

    def batch(self, phase: Phase) -> Batch:
        rows, columns = self.rng.choice(phase.grids)
        n_vqa = int(phase.images * phase.vqa_share) if rows == columns else 0
        scenes = [self._scene(rows, columns, phase.max_digits) for _ in range(phase.images - n_vqa)]
        pixels = torch.from_numpy(np.stack([s.render() for s in scenes])).permute(0, 3, 1, 2).float()
        labels = torch.stack([_token_labels(s) for s in scenes])
        questions = [self._ask(s, phase.questions_per_image) for s in scenes]
        if n_vqa:
            picked = self.rng.sample(range(len(self.vqa_ids)), n_vqa)
            size = (rows * SOFT_TOKEN_PX, columns * SOFT_TOKEN_PX)
            # Matches the PIL resize of the image processor to 0.03 grey levels.
            vqa = functional.interpolate(self.vqa_pixels[picked].float(), size, mode="bicubic", antialias=True)
            pixels = torch.cat([vqa.round().clamp(0, 255), pixels])
            labels = torch.cat([torch.full((n_vqa, rows * columns, 2), -1), labels])
            asked = [self.vqa[self.vqa_ids[i]] for i in picked]
            questions = [self.rng.sample(a, min(phase.questions_per_image, len(a))) for a in asked] + questions
        patches, positions = _patchify(pixels / 255)
        return Batch(patches, positions, labels, questions)

    def _scene(self, rows: int, columns: int, max_digits: int) -> Scene:
        self.next_scene += 1
        return make_scene("train", self.next_scene, rows, columns, max_digits)

    def _ask(self, scene: Scene, n: int) -> list[tuple[str, str]]:
        *digits, count = [(q.text, q.answer) for q in scene.questions()]
        return [*self.rng.sample(digits, min(n - 1, len(digits))), count] if n else []


def _token_labels(scene: Scene) -> Tensor:
    labels = torch.zeros(scene.rows * scene.columns, 2, dtype=torch.long)
    for digit in scene.digits:
        labels[digit.cell] = torch.tensor([1 + digit.value, 1 + list(COLOURS).index(digit.colour)])
    return labels


def _patchify(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """[B, 3, H, W] -> patches [B, P, 768] in raster order and their (x, y) [B, P, 2], as the image processor does."""
    b, _, height, width = pixels.shape
    h, w = height // PATCH_PX, width // PATCH_PX
    patches = pixels.reshape(b, 3, h, PATCH_PX, w, PATCH_PX).permute(0, 2, 4, 3, 5, 1).reshape(b, h * w, -1)
    x, y = torch.meshgrid(torch.arange(w), torch.arange(h), indexing="xy")
    return patches, torch.stack([x, y], -1).reshape(1, h * w, 2).expand(b, -1, -1)


def build_model(tokenizer: PreTrainedTokenizerFast) -> Gemma4ForConditionalGeneration:
    token: Any = tokenizer.convert_tokens_to_ids
    text = Gemma4TextConfig(
        vocab_size=len(tokenizer), vocab_size_per_layer_input=len(tokenizer), hidden_size=128, intermediate_size=256,
        num_hidden_layers=4, layer_types=["sliding_attention", "full_attention"] * 2, sliding_window=512,
        num_attention_heads=4, num_key_value_heads=2, head_dim=32, hidden_size_per_layer_input=16,
        global_head_dim=32,  # pyright: ignore[reportCallIssue]  (read by the class, not in its signature)
        final_logit_softcapping=30.0, max_position_embeddings=2048,
        pad_token_id=token("<pad>"), eos_token_id=token("<eos>"), bos_token_id=token("<bos>"),
    )  # fmt: skip
    vision = Gemma4VisionConfig(
        hidden_size=96, intermediate_size=192, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=4,
        head_dim=24, patch_size=PATCH_PX, pooling_kernel_size=POOL, position_embedding_size=256,
    )  # fmt: skip
    config = Gemma4Config(
        text_config=text, vision_config=vision, audio_config=None,
        boi_token_id=token("<|image>"), image_token_id=token("<|image|>"), eoi_token_id=token("<image|>"),
        boa_token_id=token("<|audio>"), audio_token_id=token("<|audio|>"), eoa_token_index=token("<audio|>"),
        video_token_id=token("<|video|>"),
    )  # fmt: skip
    model = Gemma4ForConditionalGeneration(config)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            # Reaches the tied token embeddings through lm_head: scaled by sqrt(128) they match the image tokens.
            nn.init.normal_(module.weight, std=module.in_features**-0.5)
    # The class starts this table at ones, which drowns the image.
    tower: Any = model.model.vision_tower
    nn.init.normal_(tower.patch_embedder.position_embedding_table, std=0.5)
    return model


class Trainer:
    """The model, its throw-away auxiliary head, and one optimiser over both."""

    def __init__(self, data: TrainingData, tokenizer: PreTrainedTokenizerFast, log: Callable[[str], None]) -> None:
        self.data, self.tokenizer, self.log = data, tokenizer, log
        self.model: Any = build_model(tokenizer)
        self.look_head = nn.Linear(128, 1 + N_DIGITS + 1 + N_COLOURS)
        # Most tokens are background: weigh them down, or the head learns to say "nothing here".
        self.digit_weight = torch.tensor([0.2] + [1.0] * N_DIGITS)
        self.colour_weight = torch.tensor([0.2] + [1.0] * N_COLOURS)
        parameters = [*self.model.parameters(), *self.look_head.parameters()]
        self.optimiser = torch.optim.AdamW(parameters, lr=0.0, weight_decay=0.01, betas=(0.9, 0.98))
        self.running: dict[str, float] = {}
        self.started = time.monotonic()
        self.token_ids: dict[str, list[int]] = {}

    def run(self, phases: Sequence[Phase]) -> None:
        step = 0
        for phase in phases:
            for i in range(phase.steps):
                warm_up = min(1.0, (i + 1) / 200)
                decay = 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * i / phase.steps))
                self._step(phase, phase.peak_lr * warm_up * decay)
                step += 1
                if step % 100 == 0:
                    shown = "  ".join(f"{k} {v:.3f}" for k, v in sorted(self.running.items()))
                    self.log(f"step {step:5d}  {phase.name:9s}  {shown}  {time.monotonic() - self.started:.0f} s")

    def _step(self, phase: Phase, lr: float) -> None:
        batch = self.data.batch(phase)
        output = self.model.model.get_image_features(batch.pixels, batch.positions, return_dict=True)
        tokens = torch.stack(list(output.pooler_output))
        loss = self._look_loss(tokens, batch.labels)
        if phase.answers:
            loss = 0.3 * loss + self._answer_loss(tokens, batch)
        for group in self.optimiser.param_groups:
            group["lr"] = lr
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.optimiser.param_groups[0]["params"], 1.0)
        self.optimiser.step()
        self._track("loss", loss.item())

    def _look_loss(self, tokens: Tensor, labels: Tensor) -> Tensor:
        known = labels[..., 0] >= 0
        digit, colour = self.look_head(tokens[known]).split([1 + N_DIGITS, 1 + N_COLOURS], dim=-1)
        target = labels[known]
        is_digit = target[:, 0] > 0
        self._track("looked", (digit.argmax(-1) == target[:, 0])[is_digit].float().mean().item())
        return functional.cross_entropy(digit, target[:, 0], self.digit_weight) + functional.cross_entropy(
            colour, target[:, 1], self.colour_weight
        )

    def _answer_loss(self, tokens: Tensor, batch: Batch) -> Tensor:
        """Cross entropy of the answer and of the <turn|> after it."""
        rows, owners, kinds = [], [], []
        for image, asked in enumerate(batch.questions):
            for text, answer in asked:
                rows.append(self._conversation(text, answer, tokens.shape[1]))
                owners.append(image)
                kinds.append("vqa" if batch.labels[image, 0, 0] < 0 else "count" if text.startswith("how") else "digit")
        padded = self.tokenizer.pad({"input_ids": rows}, return_tensors="pt", padding=True)
        ids = padded["input_ids"]
        features: Any = [tokens[o] for o in owners]
        output = self.model(
            input_ids=ids,
            attention_mask=padded["attention_mask"],
            mm_token_type_ids=(ids == self.model.config.image_token_id).long(),
            mm_encoder_outputs={"image": BaseModelOutputWithPooling(pooler_output=features)},
            logits_to_keep=3,
        )
        logits, target = output.logits[:, :2], ids[:, -2:]
        right = (logits.argmax(-1) == target).all(-1)
        for kind in ("vqa", "digit", "count"):
            mask = torch.tensor([k == kind for k in kinds])
            if mask.any():
                self._track(kind, right[mask].float().mean().item())
        return functional.cross_entropy(logits[:, 0], target[:, 0]) + 0.1 * functional.cross_entropy(
            logits[:, 1], target[:, 1]
        )

    def _conversation(self, text: str, answer: str, n_tokens: int) -> list[int]:
        """Token ids of a whole turn, up to and with the model's <turn|>, the image placeholder expanded."""
        if text not in self.token_ids:
            self.token_ids[text] = prompt_ids(self.tokenizer, text)
        ids = self.token_ids[text]
        config: Any = self.model.config
        token: Any = self.tokenizer.convert_tokens_to_ids
        image = config.image_token_id
        at = ids.index(image)
        expanded = [*ids[:at], config.boi_token_id, *[image] * n_tokens, config.eoi_token_id]
        return [*expanded, *ids[at + 1 :], token(answer), token("<turn|>")]

    def _track(self, name: str, value: float) -> None:
        self.running[name] = value if name not in self.running else 0.98 * self.running[name] + 0.02 * value


def prompt_ids(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    message: list[dict[str, Any]] = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}]
    prompt: Any = tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
    return tokenizer(prompt, add_special_tokens=False)["input_ids"]


def save(model: Gemma4ForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write the files a Gemma 4 checkpoint consists of. Weights in bfloat16, as the real ones."""
    token = tokenizer.convert_tokens_to_ids
    # Sampling by default, as the real checkpoints: whoever evaluates greedily has to say so.
    model.generation_config = GenerationConfig(
        do_sample=True, temperature=1.0, top_k=64, top_p=0.95, bos_token_id=token("<bos>"), pad_token_id=token("<pad>"),
        eos_token_id=[token("<eos>"), token("<turn|>"), token("<|tool_response>")],
    )  # fmt: skip
    weights: Any = model
    weights.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    Gemma4ImageProcessorPil(max_soft_tokens=70).save_pretrained(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--output", type=Path, required=True, help="folder for the checkpoint and train.log")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the steps to run, for a quick try")
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    options.output.mkdir(parents=True, exist_ok=True)
    with (options.output / "train.log").open("w") as log_file:

        def log(line: str) -> None:
            print(line, flush=True)
            print(line, file=log_file, flush=True)

        log(
            f"torch {torch.__version__}, transformers {transformers.__version__}, "
            f"{platform.machine()}, {options.threads} threads, seed {options.seed}"
        )
        data = TrainingData(options.seed)
        tokenizer = build_tokenizer(data.words())
        trainer = Trainer(data, tokenizer, log)
        log(f"{sum(p.numel() for p in trainer.model.parameters()):,} parameters, {len(tokenizer)} tokens")
        trainer.run([dataclasses.replace(p, steps=max(1, int(p.steps * options.scale))) for p in PHASES])
        save(trainer.model, tokenizer, options.output)
        log(f"finished in {(time.monotonic() - trainer.started) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
