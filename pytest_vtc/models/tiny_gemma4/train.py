"""Trains tiny-gemma4, the embedded checkpoint: a real `Gemma4ForConditionalGeneration` of about one million parameters.

    python -m pytest_vtc.models.tiny_gemma4.train --output DIR [--seed 0] [--threads 2] [--from CHECKPOINT]

It learns easy-VQA (train split only), the digit probes (train digits and train scenes only) and the details (train
scenes only), in eight phases:

1. *look*: a throw-away linear head names what stands behind each soft token, and its colour. From the answer loss
   alone, reading digits does not begin within the first thousand steps; with this head it takes minutes. A second one
   names, from the token of a shape on a board, what stands left of it, right of it, above and below.
2. *answer*: the language model answers questions, still on small images (4 x 4 soft tokens).
3. *full size*: images of the size the benchmark uses (8 x 8 soft tokens), mixed with smaller and oblong ones, so that
   counting cannot lean on a fixed number of background tokens.
4. to 7., *look 2*, *answer 2*, *beside* and *full 2*: the same once more with details beside easy-VQA and digits, and
   before the last of them a while of the heads alone, on boards of shapes.
8. *settle*: a last while in which half of the images are no details, as counting has suffered most from them.

Steps, not minutes, decide when a phase ends, so a seed gives the same run on the same machine and library versions.
`--from CHECKPOINT` runs the phases from the fourth on, beginning with the weights of a checkpoint that has gone through
the first three; what its tokenizer lacks is added. A run that was cut off goes on where its last `state.pt` was written
(every 200 steps) if the same command is given again.

The shipped checkpoint was made in two runs, and `train.log` beside this file holds both logs, one after the other: a
run of phases 1 to 3, when there were no others and the head knew digits only, and a run `--from` its checkpoint.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import math
import platform
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedTokenizerFast
from transformers.modeling_outputs import BaseModelOutputWithPooling

from pytest_vtc.datasets.detail_scenes.planning import DETAILS
from pytest_vtc.datasets.detail_scenes.positions import DIRECTIONS
from pytest_vtc.datasets.detail_scenes.scenes import Size, Task
from pytest_vtc.datasets.detail_scenes.vocabulary import SHAPES
from pytest_vtc.datasets.palette import COLOURS
from pytest_vtc.models.tiny_gemma4.model import build_model, carry_over, save
from pytest_vtc.models.tiny_gemma4.tokenizer import build_tokenizer
from pytest_vtc.models.tiny_gemma4.training_data import CONTENTS, UNKNOWN, Batch, Phase, TrainingData

SAVE_EVERY = 200
"""Steps between two writings of `state.pt`."""

_MIXED = ((8, 8), (8, 8), (8, 8), (5, 6), (6, 5), (9, 7), (7, 9))
_SMALL: tuple[tuple[Task, Size], ...] = tuple(
    (task, size)
    for task, size in DETAILS.categories
    if size in ("0.25", "0.5", "1") or (task in ("letter", "shape") and size == "2")
)
"""Categories that fit images of 4 x 4 soft tokens."""
_BOARDS = tuple(category for category in DETAILS.categories if category[0] == "position")
"""The slowest to be learned, and so shown more often."""

FIRST_PHASES = (
    Phase("look", 1000, 2e-3, ((4, 4),), 48, 0, 6, 0.0, False),
    Phase("answer", 2000, 2e-3, ((4, 4),), 48, 4, 5, 0.25, True),
    Phase("full size", 1600, 8e-4, _MIXED, 16, 6, 8, 0.25, True),
)
DETAIL_PHASES = (
    Phase("look 2", 1500, 2e-3, ((4, 4),), 48, 0, 6, 0.0, False, 0.8, _SMALL),
    Phase("answer 2", 1300, 1.5e-3, ((4, 4), (5, 5)), 32, 3, 6, 0.15, True, 0.6, _SMALL + _BOARDS[:3]),
    Phase("beside", 400, 1.5e-3, ((4, 4), (5, 5)), 48, 0, 6, 0.0, False, 0.8, _SMALL + 3 * _BOARDS[:3]),
    Phase("full 2", 1600, 1e-3, ((8, 8),), 16, 4, 8, 0.15, True, 0.625, DETAILS.categories + _BOARDS),
    Phase("settle", 400, 6e-4, ((8, 8),), 16, 4, 8, 0.0625, True, 0.5, DETAILS.categories),
)


class Trainer:
    """The model, its two throw-away auxiliary heads, and one optimiser over all."""

    def __init__(self, data: TrainingData, tokenizer: PreTrainedTokenizerFast, log: Callable[[str], None]) -> None:
        self.data, self.tokenizer, self.log = data, tokenizer, log
        self.model: Any = build_model(tokenizer)
        self.look_head = nn.Linear(128, len(CONTENTS) + 1 + len(COLOURS))
        # Most tokens are background: weigh them down, or the head learns to say "nothing here".
        self.content_weight = torch.tensor([0.2] + [1.0] * (len(CONTENTS) - 1))
        self.colour_weight = torch.tensor([0.2] + [1.0] * len(COLOURS))
        self.neighbour_head = nn.Linear(128, len(DIRECTIONS) * (1 + len(SHAPES)))
        self.shape_weight = torch.tensor([0.2] + [1.0] * len(SHAPES))
        parameters = [
            *self.model.parameters(),
            *self.look_head.parameters(),
            *self.neighbour_head.parameters(),
        ]
        self.optimiser = torch.optim.AdamW(parameters, lr=0.0, weight_decay=0.01, betas=(0.9, 0.98))
        self.running: dict[str, float] = {}
        self.step = 0
        self.seconds_before = 0.0
        self.started = time.monotonic()
        self.token_ids: dict[str, list[int]] = {}

    def run(self, phases: Sequence[Phase], state: Path) -> None:
        """Go through the phases, from where the state in the file `state` ends if there is one."""
        if state.exists():
            self._restore(state)
        plan = [
            (phase, i)
            for phase, first in zip(phases, itertools.accumulate((p.steps for p in phases), initial=0), strict=False)
            for i in range(phase.steps)
            if first + i >= self.step
        ]
        # One batch ahead: what it costs to draw scenes is hidden behind the step before.
        with ThreadPoolExecutor(1) as drawer:
            drawn = [drawer.submit(self._draw, phase) for phase, _ in plan[:1]]
            for (phase, i), following in zip(plan, [*plan[1:], None], strict=True):
                batch, data_state = drawn.pop().result()
                if following:
                    drawn.append(drawer.submit(self._draw, following[0]))
                warm_up = min(1.0, (i + 1) / 200)
                decay = 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * i / phase.steps))
                self._step(phase, batch, phase.peak_lr * warm_up * decay)
                self.step += 1
                if self.step % 100 == 0:
                    shown = "  ".join(f"{k} {v:.3f}" for k, v in sorted(self.running.items()))
                    self.log(f"step {self.step:5d}  {phase.name:9s}  {shown}  {self.seconds():.0f} s")
                if self.step % SAVE_EVERY == 0:
                    self._save_state(state, data_state)

    def _draw(self, phase: Phase) -> tuple[Batch, Any]:
        """A batch, and the state of the data after it."""
        return self.data.batch(phase), self.data.state()

    def seconds(self) -> float:
        """How long the training has taken, without what came after the last `state.pt` of a run that was cut off."""
        return self.seconds_before + time.monotonic() - self.started

    def _save_state(self, path: Path, data_state: Any) -> None:
        state = {
            "model": self.model.state_dict(),
            "heads": [head.state_dict() for head in (self.look_head, self.neighbour_head)],
            "optimiser": self.optimiser.state_dict(), "step": self.step, "seconds": self.seconds(),
            "running": self.running, "data": data_state,
        }  # fmt: skip
        torch.save(state, path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)

    def _restore(self, path: Path) -> None:
        state: dict[str, Any] = torch.load(path, weights_only=False)
        self.model.load_state_dict(state["model"])
        for head, saved in zip((self.look_head, self.neighbour_head), state["heads"], strict=True):
            head.load_state_dict(saved)
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds_before, self.running = state["step"], state["seconds"], state["running"]
        self.data.restore(state["data"])
        self.log(f"goes on after step {self.step}")

    def _step(self, phase: Phase, batch: Batch, lr: float) -> None:
        output = self.model.model.get_image_features(batch.pixels, batch.positions, return_dict=True)
        tokens = torch.stack(list(output.pooler_output))
        loss = self._look_loss(tokens, batch.labels) + self._neighbour_loss(tokens, batch.labels)
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
        known = labels[..., 0] != UNKNOWN
        content, colour = self.look_head(tokens[known]).split([len(CONTENTS), 1 + len(COLOURS)], dim=-1)
        target = labels[known]
        is_thing = target[:, 0] > 0
        self._track("looked", (content.argmax(-1) == target[:, 0])[is_thing].float().mean().item())
        loss = functional.cross_entropy(content, target[:, 0], self.content_weight)
        return loss + functional.cross_entropy(colour, target[:, 1], self.colour_weight)

    def _neighbour_loss(self, tokens: Tensor, labels: Tensor) -> Tensor | float:
        known = labels[..., 2] != UNKNOWN
        if not known.any():
            return 0.0
        said = self.neighbour_head(tokens[known]).unflatten(-1, (len(DIRECTIONS), -1))
        target = labels[known][:, 2:]
        there = target > 0
        self._track("beside", (said.argmax(-1) == target)[there].float().mean().item())
        return functional.cross_entropy(said.flatten(0, 1), target.flatten(), self.shape_weight)

    def _answer_loss(self, tokens: Tensor, batch: Batch) -> Tensor:
        """Cross entropy of the answer and of the <turn|> after it."""
        conversations = [
            [self._conversation(text, answer, tokens.shape[1]) for _, text, answer in asked]
            for asked in batch.questions
        ]
        kinds = [kind for asked in batch.questions for kind, _, _ in asked]
        packed = pack(conversations, tokens.shape[1] + self._image_at() + 2, self.model.config.text_config.pad_token_id)
        features: Any = list(tokens)
        output = self.model(
            input_ids=packed.ids,
            attention_mask={"full_attention": packed.mask, "sliding_attention": packed.mask},
            position_ids=packed.positions,
            mm_token_type_ids=(packed.ids == self.model.config.image_token_id).long(),
            mm_encoder_outputs={"image": BaseModelOutputWithPooling(pooler_output=features)},
        )
        # The <turn|> at the end of each conversation is predicted one token before it, the answer two.
        row, end = packed.ends.T
        logits = torch.stack([output.logits[row, end - 2], output.logits[row, end - 1]], 1)
        target = torch.stack([packed.ids[row, end - 1], packed.ids[row, end]], 1)
        right = (logits.argmax(-1) == target).all(-1)
        for kind in sorted(set(kinds)):
            mask = torch.tensor([k == kind for k in kinds])
            self._track(kind, right[mask].float().mean().item())
        return functional.cross_entropy(logits[:, 0], target[:, 0]) + 0.1 * functional.cross_entropy(
            logits[:, 1], target[:, 1]
        )

    def _image_at(self) -> int:
        """How many tokens of a conversation stand before the image."""
        return prompt_ids(self.tokenizer, "").index(self.model.config.image_token_id)

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


@dataclass(frozen=True)
class Packed:
    """Conversations about one image in one row, which share what comes before their questions."""

    ids: Tensor  # [B, L]
    positions: Tensor  # [B, L]
    mask: Tensor  # [B, 1, L, L], true where a token may look
    ends: Tensor  # [conversations, 2]: row and place of the last token of each


def pack(conversations: Sequence[Sequence[Sequence[int]]], n_shared: int, pad: int) -> Packed:
    """Write the conversations of each image one after another, the first `n_shared` tokens of all of them once.

    A token sees what it would see if each conversation stood in a row of its own, at the same positions.
    """
    length = max(n_shared + sum(len(ids) - n_shared for ids in row) for row in conversations)
    ids = torch.full((len(conversations), length), pad)
    positions = torch.arange(length).repeat(len(conversations), 1)
    owner = torch.zeros(len(conversations), length, dtype=torch.long)
    ends: list[tuple[int, int]] = []
    for i, row in enumerate(conversations):
        ids[i, :n_shared] = torch.tensor(row[0][:n_shared])
        at = n_shared
        for n, conversation in enumerate(row, 1):
            until = at + len(conversation) - n_shared
            ids[i, at:until] = torch.tensor(conversation[n_shared:])
            positions[i, at:until] = torch.arange(n_shared, len(conversation))
            owner[i, at:until] = n
            ends.append((i, until - 1))
            at = until
        owner[i, at:] = len(row) + 1
    shared = (owner == 0)[:, None] | (owner[:, :, None] == owner[:, None])
    return Packed(ids, positions, (shared & torch.ones(length, length).tril().bool())[:, None], torch.tensor(ends))


def prompt_ids(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    message: list[dict[str, Any]] = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}]
    prompt: Any = tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
    return tokenizer(prompt, add_special_tokens=False)["input_ids"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--output", type=Path, required=True, help="folder for the checkpoint and train.log")
    parser.add_argument("--from", dest="begin", type=Path, help="a checkpoint to begin the fourth phase with")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the steps to run, for a quick try")
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    options.output.mkdir(parents=True, exist_ok=True)
    with (options.output / "train.log").open("a") as log_file:

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
        phases = FIRST_PHASES + DETAIL_PHASES
        if options.begin:
            phases = DETAIL_PHASES
            lacking = carry_over(trainer.model, tokenizer, options.begin)
            log(f"begins with the weights of a checkpoint whose tokenizer lacks {lacking} pieces")
        scaled = [dataclasses.replace(p, steps=max(1, int(p.steps * options.scale))) for p in phases]
        trainer.run(scaled, options.output / "state.pt")
        save(trainer.model, tokenizer, options.output)
        log(f"finished in {trainer.seconds() / 60:.1f} minutes")


if __name__ == "__main__":
    main()
