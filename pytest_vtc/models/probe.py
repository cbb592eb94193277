"""What single attention layers of a vision encoder did: attention received, attention of the class row, keys, and the
query and key of the class row itself.

Only the watched layers compute anything extra, and no layer computes its output any other way than without the probe:
a watched layer is led, by a configuration of its own, to an attention function that reads queries and keys and then
calls the implementation the layer would have called. So image features are the same to the bit, whatever that is
(eager, sdpa, a flash attention).
"""

from __future__ import annotations

import copy
import inspect
import itertools
from collections.abc import Callable, Collection, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from pytest_vtc.compression import EncoderAttention

SCORE_BYTES = 256 * 2**20
"""What scores and weights of one image, [H, queries, P] float32 each, may take together; beyond, the queries are cut
into chunks. The whole matrices of 10080 patches and 16 heads would take 13 GB."""

_NAME, _FLASH_NAME = "vtc_probe", "vtc_probe_flash"
"""Some layers hand all windows over at once if the name of the implementation has `flash` in it, else one by one."""


class ProbeError(RuntimeError):
    """A layer cannot be watched, or did not do what was to be seen; the message says which and why."""


@dataclass(frozen=True)
class Encoder:
    """Where a family's vision encoder has its attention layers.

    tower: path below `model.model`, such as "vision_tower".
    layers: path below the tower to the list of layers, such as "encoder.layers" or "blocks".
    attention: the attribute of a layer that is its attention: "self_attn", "attn" or "attention".
    has_cls: row 0 of each image (or tile) is a class token.
    windows: in some layers, rows see only those of their own window of the image.
    """

    tower: str
    layers: str = "encoder.layers"
    attention: str = "self_attn"
    has_cls: bool = False
    windows: bool = False


class Probe:
    """What the watched layers did while `watch` was open, by layer as it was asked for; readable afterwards too.

    R counts all rows of the encoder in its order: the calls one after another, in each the images (tiles, windows) of
    the batch one after another. Padded rows are among them, class rows are not. Every method raises `ProbeError` if
    the layer was not watched for that or has not run.
    """

    def __init__(self, attention: dict[int, _Layer], keys: dict[int, _Layer], class_rows: dict[int, _Layer]) -> None:
        self._attention, self._keys, self._class_rows = attention, keys, class_rows

    def attention(self, layer: int) -> EncoderAttention:
        """[H, R] each, float32, on the layer's device.

        Queries are all rows of the same image that are not padding. Where a layer attends within windows (most of
        Qwen2.5-VL's), the mean is over the queries of the row's own window.
        """
        seen = self._seen(self._attention, "attention", layer)
        received = torch.cat(seen.received, dim=1)
        return EncoderAttention(received, torch.cat(seen.cls, dim=1) if seen.cls else None)

    def keys(self, layer: int) -> Tensor:
        """[H, R, d] float32: the key projection, after the key norm if there is one, before rotation.

        H is the number of key heads, which may be smaller than that of query heads.
        """
        seen = self._seen(self._keys, "keys", layer)
        rows = torch.cat([out.reshape(-1, *seen.key_shape) for out in seen.projected])
        images = [n + int(seen.has_cls) for n in seen.counts]
        if len(rows) != sum(images):
            raise ProbeError(
                f"{seen.name} attended to {sum(images)} rows, but its key projection gave {len(rows)}: "
                "its keys are made some other way"
            )
        if seen.has_cls:
            rows = torch.cat([image[1:] for image in rows.split(images)])
        return rows.transpose(0, 1)

    def class_rows(self, layer: int) -> tuple[Tensor, Tensor]:
        """Query and key of the class row of each image or tile, in order: [H, T, d] float32 each, as they attended."""
        seen = self._seen(self._class_rows, "class rows", layer)
        return torch.stack(seen.class_queries, dim=1), torch.stack(seen.class_keys, dim=1)

    def counts(self, layer: int) -> tuple[int, ...]:
        """Rows of each image (tile; window where the layer has windows), in order; their sum is R."""
        return tuple(self._seen(self._attention | self._keys, "attention or keys", layer).counts)

    @staticmethod
    def _seen(watched: dict[int, _Layer], what: str, layer: int) -> _Layer:
        if layer not in watched:
            known = ", ".join(map(str, watched)) or "none"
            raise ProbeError(f"encoder layer {layer} was not watched for {what} (watched: {known})")
        if not watched[layer].counts:
            raise ProbeError(
                f"{watched[layer].name} did not run while it was watched, or does not go through transformers' "
                "AttentionInterface: nothing was recorded"
            )
        return watched[layer]


@contextmanager
def watch(
    model: Any,
    encoder: Encoder | None,
    attention: Collection[int] = (),
    keys: Collection[int] = (),
    class_rows: Collection[int] = (),
) -> Generator[Probe]:
    """Watch layers of the vision encoder of `model` in the calls made inside the context, usually one forward pass.

    attention, keys, class_rows: the layers of which to record that; negative numbers count from the end. If all are
    empty, the model is not touched and may have no encoder.

    Raises:
        ProbeError: the model has no encoder, not so many layers, no class row that is asked for, or a layer is being
            watched already.
    """
    if class_rows and (encoder is None or not encoder.has_cls):
        raise ProbeError(f"the vision encoder of {type(model).__name__} has no class row")
    layers: dict[int, _Layer] = {}
    by_index = {index: _find(model, encoder, index, layers) for index in {*attention, *keys, *class_rows}}
    probe = Probe(*({index: by_index[index] for index in indices} for indices in (attention, keys, class_rows)))
    for index in attention:
        by_index[index].wants_attention = True
    for index in keys:
        by_index[index].wants_keys = True
    for index in class_rows:
        by_index[index].wants_class_row = True
    from transformers import AttentionInterface

    AttentionInterface.register(_NAME, _attend)
    AttentionInterface.register(_FLASH_NAME, _attend)
    with ExitStack() as stack:
        for layer in layers.values():
            stack.enter_context(layer.led_here())
        yield probe


def check_layers(model: Any, encoder: Encoder | None, layers: Collection[int]) -> None:
    """Raises ProbeError if the model has no encoder, or not so many layers."""
    for index in layers:
        _layer(model, encoder, index)


def n_layers(model: Any, encoder: Encoder) -> int:
    """How many attention layers the vision encoder has."""
    return len(encoder_layers(model, encoder))


def encoder_layers(model: Any, encoder: Encoder) -> nn.ModuleList:
    """The layers of the vision encoder. Raises ProbeError if they are not where `encoder` says."""
    return _layers(model, encoder)[0]


def _layers(model: Any, encoder: Encoder | None) -> tuple[nn.ModuleList, str]:
    """The encoder's layers and their path."""
    if encoder is None:
        raise ProbeError(f"{type(model).__name__} has no vision encoder whose attention could be watched")
    path = f"model.{encoder.tower}.{encoder.layers}"
    try:
        return cast(nn.ModuleList, model.get_submodule(path)), path
    except AttributeError as error:
        raise ProbeError(f"{type(model).__name__} has no vision encoder at {path}: {error}") from error


def _layer(model: Any, encoder: Encoder | None, index: int) -> tuple[nn.ModuleList, str, int]:
    """The encoder's layers, their path, and the place of `index` among them, counted from the first."""
    layers, path = _layers(model, encoder)
    n = len(layers)
    if not -n <= index < n:
        raise ProbeError(
            f"there is no encoder layer {index}: {path} of {type(model).__name__} has {n} layers, "
            f"0 to {n - 1}, or -{n} to -1 counted from the end"
        )
    return layers, path, index % n


def _find(model: Any, encoder: Encoder | None, index: int, found: dict[int, _Layer]) -> _Layer:
    """The layer `index`, one object however it is counted; `found` holds those of before, by position."""
    layers, path, position = _layer(model, encoder, index)
    assert encoder is not None  # it would have been refused
    if position not in found:
        module = getattr(layers[position], encoder.attention, None)
        if not isinstance(module, nn.Module) or not hasattr(module, "config"):
            raise ProbeError(
                f"layer {position} of {path} has no attention of transformers' kind named {encoder.attention}"
            )
        if module in _watched:
            raise ProbeError(f"{_watched[module].name} is being watched already")
        found[position] = _Layer(module, f"layer {position} of {path}", encoder.has_cls)
    return found[position]


class _Layer:
    """One watched attention module, and what it did so far."""

    def __init__(self, module: nn.Module, name: str, has_cls: bool) -> None:
        self.module, self.name, self.has_cls = module, name, has_cls
        self.wants_attention = self.wants_keys = self.wants_class_row = False
        self.counts: list[int] = []  # rows of each image, without class rows
        self.received: list[Tensor] = []  # of each image [H, rows]
        self.cls: list[Tensor] = []
        self.projected: list[Tensor] = []  # of each call, rows x key heads x d in that order, in any shape
        self.class_queries: list[Tensor] = []  # of each image [H, d]
        self.class_keys: list[Tensor] = []
        self.key_shape = (0, 0)  # key heads, d
        self._config: Any = module.config
        self._eager = inspect.unwrap(type(module).forward).__globals__.get("eager_attention_forward")

    @contextmanager
    def led_here(self) -> Generator[None]:
        """The module calls `_attend`, and its keys are recorded if they are wanted."""
        implementation = self._config._attn_implementation or ""
        # The configuration is shared by all layers of the tower, which makes its masks by it: leave it as it is.
        led = copy.deepcopy(self._config)
        led._attn_implementation = _FLASH_NAME if "flash" in implementation else _NAME
        hook = self._hook_on_keys() if self.wants_keys else None
        _watched[self.module] = self
        self.module.config = led
        try:
            yield
        finally:
            self.module.config = self._config
            del _watched[self.module]
            if hook is not None:
                hook.remove()

    def _hook_on_keys(self) -> torch.utils.hooks.RemovableHandle:
        """Records what the module gives that is the last to work on the keys before they are rotated."""
        fused = hasattr(self.module, "qkv")
        names = ("qkv",) if fused else ("k_norm", "k_proj")
        source = next((m for m in (getattr(self.module, name, None) for name in names) if m is not None), None)
        if source is None:
            raise ProbeError(f"{self.name} has neither qkv nor k_norm nor k_proj: its keys cannot be recorded")

        def record(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            keys = output.chunk(3, dim=-1)[1] if fused else output
            # A copy: a view of the fused output would hold queries and values too.
            self.projected.append(keys.detach().to(torch.float32, copy=True))

        return source.register_forward_hook(record)

    @torch.no_grad()
    def see(self, query: Tensor, key: Tensor, mask: Any, scaling: float | None, bounds: Tensor | None) -> None:
        """One call of the attention.

        query: [B, H, P, d]. key: [B, Hk, P, d]. mask: [1 or B, 1 or H, P, P], [B, P] or None. bounds: [windows + 1],
        where windows begin and end that are packed into one row of the batch, or None.
        """
        self.key_shape = (key.shape[1], key.shape[3])
        if mask is not None and not isinstance(mask, Tensor):
            raise ProbeError(
                f"{self.name} is given a mask of type {type(mask).__name__}, which cannot be read here: "
                "load the model with attn_implementation='sdpa'"
            )
        for image, (q, k) in enumerate(zip(query, key, strict=True)):
            if self.wants_class_row:
                # Copies: views would hold those of all rows.
                self.class_queries.append(q[:, 0].detach().to(torch.float32, copy=True))
                self.class_keys.append(k[:, 0].detach().to(torch.float32, copy=True))
            of_image = None if mask is None else mask[image if len(mask) > 1 else 0]
            ends: list[int] = [0, k.shape[1]] if bounds is None else bounds.tolist()
            windows = [slice(*window) for window in itertools.pairwise(ends)]
            for window in windows:
                first = int(self.has_cls)
                self.counts.append(q[:, window].shape[1] - first)
                if self.wants_attention:
                    received, cls = reduce_attention(
                        q[:, window], k[:, window], scaling, of_image, class_row=self.has_cls
                    )
                    self.received.append(received[:, first:])
                    if cls is not None:
                        self.cls.append(cls[:, first:])

    def delegate(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor | None]:
        """What the module would have called; it finds the module as it is without the probe."""
        from transformers import AttentionInterface

        led, self.module.config = self.module.config, self._config
        try:
            name = self._config._attn_implementation
            return AttentionInterface().get_interface(name, cast(Callable[..., Any], self._eager))(*args, **kwargs)
        finally:
            self.module.config = led


_watched: dict[nn.Module, _Layer] = {}
"""The attention function is registered by name, for all models of the process; this tells it whose call it is."""


def _attend(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any
) -> tuple[Tensor, Tensor | None]:
    """The attention function of watched layers. Families differ in whether the mask, the next argument, has a name."""
    layer = _watched[module]
    mask = args[0] if args else kwargs.get("attention_mask")
    layer.see(query, key, mask, kwargs.get("scaling"), kwargs.get("cu_seq_lens_q"))
    return layer.delegate(module, query, key, value, *args, **kwargs)


def reduce_attention(
    query: Tensor,
    key: Tensor,
    scaling: float | None = None,
    mask: Tensor | None = None,
    *,
    class_row: bool = False,
    score_bytes: int = SCORE_BYTES,
) -> tuple[Tensor, Tensor | None]:
    """The attention of one image: softmax(scaling * query key^T + mask), reduced, without ever holding all of it.

    Rows that may not attend to themselves are padding: they are left out as queries and receive nothing, and what the
    others get does not depend on how many there are.

    Args:
        query: [H, P, d]. key: [Hk, P, d], Hk a divisor of H: each key head serves H / Hk query heads in a row.
        scaling: 1 / sqrt(d) if None.
        mask: what may be attended to: [1 or H, P, P] bool, or float to be added; or [P] bool, the rows that are not
            padding.
        class_row: give what row 0 pays, too.
        score_bytes: bound of the memory that scores and weights take.

    Returns:
        received [H, P] float32, mean over the queries, and cls [H, P], what row 0 pays to each row, or None.
    """
    n_heads, n_rows, width = query.shape
    valid = torch.arange(n_rows, device=query.device) if mask is None else _valid_rows(mask).to(query.device)
    n_valid = len(valid)
    received = query.new_zeros(n_heads, n_rows, dtype=torch.float32)
    cls = torch.zeros_like(received) if class_row else None
    if n_valid == 0:
        return received, cls
    scale: float = width**-0.5 if scaling is None else scaling
    # [Hk, H / Hk, V, d] and [Hk, d, V], V valid rows
    q = query[:, valid].float().reshape(len(key), -1, n_valid, width)
    k = key[:, valid].float().transpose(1, 2).contiguous()
    mask = None if mask is None or mask.ndim == 1 else mask.to(query.device)
    total = received.new_zeros(n_heads, n_valid)
    chunk = max(1, score_bytes // (2 * 4 * n_heads * n_valid))
    for start in range(0, n_valid, chunk):
        part = slice(start, start + chunk)
        scores = torch.bmm(q[:, :, part].flatten(1, 2), k).mul_(scale).view(n_heads, -1, n_valid)
        if mask is not None:
            allowed = mask[:, valid[part]][:, :, valid]
            if allowed.dtype == torch.bool:
                scores.masked_fill_(~allowed, -torch.inf)
            else:
                scores.add_(allowed)
        weights = scores.softmax(dim=-1)
        total += weights.sum(dim=1)
        if cls is not None and start == 0:
            cls[:, valid] = weights[:, 0]
    received[:, valid] = total / n_valid
    return received, cls


def _valid_rows(mask: Tensor) -> Tensor:
    """Rows that may attend to themselves, [V] long."""
    if mask.ndim == 1:
        return mask.bool().nonzero()[:, 0]
    own = mask[0].diagonal()
    return (own if own.dtype == torch.bool else own > torch.finfo(own.dtype).min / 2).nonzero()[:, 0]
