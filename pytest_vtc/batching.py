"""How much goes into one call of the language model, and what happens to a call that fails."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
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


def chunks(items: Sequence[Item], fits: Callable[[list[Item], Item], bool]) -> Iterator[list[Item]]:
    """Cut `items` into runs, each as long as `fits(run, next item)` holds; a run has at least one item."""
    batch: list[Item] = []
    for item in items:
        if batch and not fits(batch, item):
            yield batch
            batch = []
        batch.append(item)
    if batch:
        yield batch


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


def free_memory(devices: Collection[torch.device]) -> int:
    """Bytes that this process may still use: of the fullest of a model's GPUs if it is on GPUs, else of main memory."""
    gpus = [device for device in devices if device.type == "cuda"]
    if not gpus:
        return psutil.virtual_memory().available // 2  # other workers and the system have a share in it
    # Of these only: to ask for another GPU would put a context of this process on it.
    return min(
        torch.cuda.mem_get_info(gpu)[0] + torch.cuda.memory_reserved(gpu) - torch.cuda.memory_allocated(gpu)
        for gpu in gpus
    )


class BatchLimits:
    """How many rows one call may take: as many as the user said, or as many as memory and speed allow.

    devices: those the model is on. Learns from every window how long rows are and how long they take.
    """

    def __init__(self, rows: int | None, appetite: Appetite, devices: Collection[torch.device]) -> None:
        self._asked = rows
        self._devices = devices
        on_gpu = any(device.type == "cuda" for device in devices)
        free = free_memory(devices)
        self.rows = rows if rows is not None else max(1, free // 10 // appetite.row)
        self.tokens = min(_GPU_TOKENS if on_gpu else _CPU_TOKENS, free * 3 // 10 // appetite.token)
        self.slots = max(1, free * 4 // 10 // appetite.slot)
        self._row_length = 0.0
        self._case_seconds = 0.0
        self._image_bytes = 0.0
        self._said = False

    def fits(self, n_rows: int, computed: int, held: int, beside: int = 0) -> bool:
        """May a call take `n_rows` rows?

        computed: tokens of each that it computes; held: slots that each occupies; beside: slots occupied by others.
        """
        if self._asked is not None:
            return n_rows <= self.rows
        return n_rows <= self.rows and n_rows * computed <= self.tokens and n_rows * held + beside <= self.slots

    def shrink(self, n_rows: int, computed: int, held: int) -> None:
        """A call of n_rows rows was too much (arguments as in `fits`): from now on at most half of it."""
        if self._asked is not None:
            self.rows = min(self.rows, max(1, n_rows // 2))
        self.tokens = min(self.tokens, max(1, n_rows * computed // 2))
        self.slots = min(self.slots, max(1, n_rows * held // 2))
        self.say_halved(f"{n_rows} rows")

    def say_halved(self, what: str) -> None:
        """Out of memory with so much in a batch. Said once."""
        if any(device.type == "cuda" for device in self._devices):
            torch.cuda.empty_cache()
        if not self._said:
            self._said = True
            # Where warnings are errors, this one must not lose what the rest of the batch is going to bring.
            with contextlib.suppress(UserWarning):
                warnings.warn(f"out of memory with {what} in a batch: going on with half", stacklevel=2)

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
        images = free_memory(self._devices) / 20 / max(self._image_bytes, 1.0)
        return int(min(max(cases, 64), _MAX_WINDOW[0])), int(min(max(images, 1), _MAX_WINDOW[1]))

    def halving(
        self,
        items: list[Item],
        call: Callable[[list[Item]], list[Result]],
        what: str,
        size: Callable[[list[Item]], tuple[int, int]],
    ) -> list[Result | CaseFailed]:
        """`halving`, which also makes later batches smaller where memory ran out, and names what failed.

        size: what each of the items computes and holds, as in `fits`.
        """
        return halving(items, call, f"the model failed on {what}", lambda part: self.shrink(len(part), *size(part)))


def halving(
    items: list[Item],
    call: Callable[[list[Item]], list[Result]],
    failed: str | None = None,
    on_no_memory: Callable[[list[Item]], None] = lambda _items: None,
) -> list[Result | CaseFailed]:
    """One result per item of `call(items)`; a call that fails is repeated with halves, down to the bad item.

    failed: what to say of it. on_no_memory: called with several items for which memory ran out.
    """
    if not items:
        return []
    try:
        return list(call(items))
    except Exception as error:  # noqa: BLE001  Whatever the model raises on one item is that item's result.
        no_memory = is_out_of_memory(error)
        if len(items) == 1:
            return [CaseFailed.because(error, "out of memory with this case alone in a batch" if no_memory else failed)]
    # Outside of the handler: the exception's traceback holds on to the tensors of the failed call.
    if no_memory:
        on_no_memory(items)
    half = len(items) // 2
    return halving(items[:half], call, failed, on_no_memory) + halving(items[half:], call, failed, on_no_memory)


def is_out_of_memory(error: Exception) -> bool:
    """Does `error` say that memory ran out, on a GPU or in the CPU's allocator?"""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    signs = ("not enough memory", "can't allocate", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in signs)
