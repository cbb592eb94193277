"""How much goes into one call of the language model, and what happens to a call that fails."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import psutil
import torch

from pytest_vtc.cells import CaseFailed
from pytest_vtc.schedule import WINDOW_CASES, WINDOW_IMAGES

Item = TypeVar("Item")
Result = TypeVar("Result")

_CPU_TOKENS, _GPU_TOKENS = 4_096, 65_536
"""Beyond so many tokens a call is not faster per token: on a CPU it leaves the caches, on a GPU all units are busy."""

_MAX_WINDOW = 4_096, 64
_WINDOW_SECONDS = 20.0


def chunks(items: Sequence[Item], fits: Callable[[int, Item], bool]) -> Iterator[list[Item]]:
    """Cut `items`, shortest first, into runs of which `fits(count, longest)` holds; a run has at least one item."""
    start = 0
    while start < len(items):
        stop = start + 1
        while stop < len(items) and fits(stop + 1 - start, items[stop]):
            stop += 1
        yield list(items[start:stop])
        start = stop


@dataclass(frozen=True)
class Appetite:
    """What a model needs, in bytes. token: to compute one; slot: to keep keys and values of one; row: its logits."""

    token: int
    slot: int
    row: int

    @classmethod
    def of(cls, model: Any) -> Appetite:
        """An upper estimate, read off the language model's layers: configurations differ in how they say it."""
        decoder = model.get_decoder()
        size = model.dtype.itemsize
        sized = [(name, module) for name, module in decoder.named_modules() if hasattr(module, "out_features")]
        embeddings = model.get_input_embeddings()
        hidden = embeddings.embedding_dim
        # Of one layer at a time: its input and output in several stages, and its widest projection.
        widest = max((module.out_features for _, module in sized), default=hidden)
        slot = sum(module.out_features for name, module in sized if name.endswith((".k_proj", ".v_proj")))
        return cls(
            token=size * (16 * hidden + 4 * widest),
            slot=size * (slot or 2 * hidden * len(decoder.layers)),
            row=3 * 4 * embeddings.num_embeddings,
        )


def free_memory(device: torch.device) -> int:
    """Bytes that this process may still use: of the fullest GPU if the model is on GPUs, else of main memory."""
    if device.type != "cuda":
        return psutil.virtual_memory().available // 2  # other workers and the system have a share in it
    return min(
        torch.cuda.mem_get_info(i)[0] + torch.cuda.memory_reserved(i) - torch.cuda.memory_allocated(i)
        for i in range(torch.cuda.device_count())
    )


class BatchLimits:
    """How many rows one call may take: as many as the user said, or as many as memory and speed allow.

    Learns from every window how long rows are and how long they take.
    """

    def __init__(self, rows: int | None, appetite: Appetite, device: torch.device) -> None:
        self._asked = rows
        self._device = device
        free = free_memory(device)
        self.rows = rows if rows is not None else max(1, free // 10 // appetite.row)
        self.tokens = min(_GPU_TOKENS if device.type == "cuda" else _CPU_TOKENS, free * 3 // 10 // appetite.token)
        self.slots = max(1, free * 4 // 10 // appetite.slot)
        self._row_length = 0.0
        self._case_seconds = 0.0
        self._image_bytes = 0.0
        self._said = False

    def fits(self, n_rows: int, computed: int, held: int) -> bool:
        """May a call take `n_rows` rows? computed: tokens of each that it computes; held: slots that each occupies."""
        if self._asked is not None:
            return n_rows <= self.rows
        return n_rows <= self.rows and n_rows * computed <= self.tokens and n_rows * held <= self.slots

    def shrink(self, n_rows: int) -> None:
        """A call of n_rows rows was too much: take half of what is allowed now. Says so the first time."""
        half = max(1, n_rows // 2)
        self.rows = min(self.rows, half) if self._asked is not None else self.rows
        self.tokens, self.slots = max(1, self.tokens // 2), max(1, self.slots // 2)
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        if not self._said:
            self._said = True
            warnings.warn(f"out of memory with {n_rows} rows in a batch: going on with half", stacklevel=2)

    def learn(self, n_cases: int, n_tokens: int, seconds: float, image_bytes: int, n_images: int) -> None:
        """Take in what a window was like. n_tokens: of all rows. image_bytes: of all images' features."""
        if n_cases:
            self._row_length = n_tokens / n_cases
            self._case_seconds = seconds / n_cases
        if n_images:
            self._image_bytes = image_bytes / n_images

    def window(self) -> tuple[int, int]:
        """Cases and images that the next window should hold: some full batches, some seconds, little memory."""
        if not self._row_length:
            return WINDOW_CASES, WINDOW_IMAGES
        cases = min(8 * self.tokens / self._row_length, _WINDOW_SECONDS / max(self._case_seconds, 1e-6))
        images = free_memory(self._device) / 20 / max(self._image_bytes, 1.0)
        return int(min(max(cases, 64), _MAX_WINDOW[0])), int(min(max(images, 1), _MAX_WINDOW[1]))

    def halving(
        self, items: list[Item], call: Callable[[list[Item]], list[Result]], what: str
    ) -> list[Result | CaseFailed]:
        """`halving`, which also makes later batches smaller where memory ran out, and names what failed."""
        return halving(items, call, f"the model failed on {what}", self.shrink)


def halving(
    items: list[Item],
    call: Callable[[list[Item]], list[Result]],
    failed: str | None = None,
    on_no_memory: Callable[[int], None] = lambda _n_items: None,
) -> list[Result | CaseFailed]:
    """One result per item of `call(items)`; a call that fails is repeated with halves, down to the bad item.

    failed: what to say of it. on_no_memory: called with the number of items for which memory ran out.
    """
    try:
        return list(call(items))
    except Exception as error:  # noqa: BLE001  Whatever the model raises on one item is that item's result.
        no_memory = is_out_of_memory(error)
        if len(items) == 1:
            return [CaseFailed.because(error, "out of memory with this case alone in a batch" if no_memory else failed)]
    # Outside of the handler: the exception's traceback holds on to the tensors of the failed call.
    if no_memory:
        on_no_memory(len(items))
    half = len(items) // 2
    return halving(items[:half], call, failed, on_no_memory) + halving(items[half:], call, failed, on_no_memory)


def is_out_of_memory(error: Exception) -> bool:
    """Does `error` say that memory ran out, on a GPU or in the CPU's allocator?"""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and ("not enough memory" in str(error) or "can't allocate" in str(error))
