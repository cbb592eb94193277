"""The vision side of a model: from pixels to the tokens of each image, and what compressors may want to see of the way.

Part of `Backend`; the class variables and the methods that begin with _ are what a family's file states.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import torch
from PIL import Image
from torch import Tensor

from pytest_vtc.compression import CompressionError, EncoderAttention, EncoderReducer, Kept, Tower
from pytest_vtc.models.class_tokens import class_states, class_tokens
from pytest_vtc.models.clip_text import JointSpaces
from pytest_vtc.models.inside import device_of
from pytest_vtc.models.probe import Encoder, Probe, check_layers, encoder_layers, n_layers, watch
from pytest_vtc.models.rows_of_tokens import per_token, seen_from_its_window
from pytest_vtc.models.sequences import Tile, VisionTokens

VISION_BATCH = 4
"""Images per call of the vision side, where they can share one."""

_Shape = tuple[tuple[int, ...], ...]


_NO_CLASS_TOKEN = "its vision encoder has no class token"

NOT_CLIP = "its vision encoder is not CLIP's, so that CLIP's text encoder does not go with it"

RARE: Mapping[str, str] = {
    "class_token": "its vision encoder has no class token, or the projector takes no single row of it",
    "project": "its projector does not take the rows of the encoder one by one",
    "inside": "the grid of its patches is needed after its vision encoder, so that none can be dropped within it",
    "joint": NOT_CLIP,
}
"""Parts of a compressor's context that most families cannot give, and why."""


@dataclass(frozen=True)
class Wants:
    """What is looked at while images are encoded: the projector's input, and layers of the encoder.

    class_token: the class tokens, with their queries and keys in these layers; None: they are not.
    """

    hidden: bool = False
    attention: frozenset[int] = frozenset()
    keys: frozenset[int] = frozenset()
    class_token: frozenset[int] | None = None


NOTHING = Wants()


class VisionSide(ABC):
    """A loaded model and its image processor."""

    pixel_keys: ClassVar[tuple[str, ...]] = ("pixel_values",)
    """What of the image processor's output goes into `get_image_features`."""
    encoder: ClassVar[Encoder | None] = None
    """Where the attention layers of the vision encoder are; None: it has none."""
    projector: ClassVar[str] = "multi_modal_projector"
    """The module below `model.model` whose input is `hidden`."""
    lacks: ClassVar[Mapping[str, str]] = {}
    """What of a compressor's context the family cannot give although most can, and why."""
    offers: ClassVar[frozenset[str]] = frozenset()
    """What of it the family can give although most cannot; see `RARE`."""
    casts_pixels: ClassVar[bool] = False
    """The vision side takes float32 pixels at any precision and computes with them before it rounds them itself."""
    counts_images: ClassVar[bool] = False
    """An image is encoded differently if its prompt shows others as well."""

    model: Any
    image_processor: Any
    device: torch.device
    dtype: torch.dtype
    _exact_together: dict[tuple[_Shape, bool, Wants], bool]
    _joint_spaces: JointSpaces

    # What a family may differ in

    @abstractmethod
    def _tiles(self, processed: Any) -> tuple[Tile, ...]:
        """The tiles of one processed image, as the language model gets them."""

    def _token_of_row(self, pixels: Any) -> Tensor:
        """[R] long: for each row of the encoder (without class tokens) the token it goes into, -1 for none."""
        return torch.arange(sum(tile.n_tokens for tile in self._tiles(pixels)))

    @classmethod
    def encoder_of(cls, config: Any) -> Encoder | None:  # noqa: ARG003
        """`encoder`, where checkpoints of one family differ in it. config: of the whole model."""
        return cls.encoder

    def _encoder(self) -> Encoder | None:
        return self.encoder_of(self.model.config)

    def _tile_of_input(self, pixels: Any) -> Sequence[int]:
        """For each input of the encoder that an image is cut into the tile it is in, -1 for none."""
        return range(len(self._tiles(pixels)))

    def _features_layer(self) -> int:
        """How many layers of the encoder are run before the features are taken; of families with `class_token`."""
        raise NotImplementedError(f"{type(self).__name__} offers class tokens without saying of which layer")

    def _encode_inside(self, image: Image.Image, reducer: EncoderReducer) -> Kept:
        """See `encode_inside`; of families that offer `inside`."""
        raise NotImplementedError(f"{type(self).__name__} offers `inside` without saying how")

    def _preprocess(self, images: Sequence[Image.Image], beside: bool) -> Any:  # noqa: ARG002  see `counts_images`
        """The image processor's output for the images of one prompt."""
        return self.image_processor(images=list(images), return_tensors="pt")

    def _process_resized(self, image: Image.Image, rows: int, columns: int) -> Any:  # noqa: ARG002
        """Image processor output of `image` resized so that it yields rows x columns tokens."""
        raise CompressionError(f"an image cannot be encoded at {rows} x {columns} tokens: {self.lacks.get('encode')}")

    def _unpadded(self, processed: Any) -> Mapping[str, Tensor]:
        """What `process` gave without the padding of its patches; as it is where a processor adds none."""
        return processed

    def _projection(self, projector: Any, rows: Tensor) -> Tensor:
        """The projector for rows that its family offers to `project`."""
        return projector(rows)

    def _see(self, pixels: Mapping[str, Tensor]) -> Any:
        return self.model.model.get_image_features(**pixels, return_dict=True)

    @classmethod
    def lacked_by_all(cls) -> Mapping[str, str]:
        """What of a compressor's context no checkpoint of the family can give, and why."""
        return {**{name: why for name, why in RARE.items() if name not in cls.offers}, **cls.lacks}

    @classmethod
    def lacked_by(cls, config: Any) -> Mapping[str, str]:
        """What of a compressor's context, `cls` included, a checkpoint of this configuration cannot give, and why."""
        encoder = cls.encoder_of(config)
        has_cls = encoder is not None and encoder.has_cls
        no_cls = {} if has_cls else {"cls": _NO_CLASS_TOKEN, "class_token": _NO_CLASS_TOKEN}
        return {**cls.lacked_by_all(), **no_cls}

    @property
    def lacking(self) -> Mapping[str, str]:
        """What this checkpoint lacks; see `lacked_by`."""
        return self.lacked_by(self.model.config)

    @cached_property
    def tower(self) -> Tower:
        """The vision encoder; one without layers where there is no encoder."""
        encoder = self._encoder()
        return Tower(0, False) if encoder is None else Tower(n_layers(self.model, encoder), encoder.has_cls)

    def check_layers(self, layers: Collection[int]) -> None:
        """Raises ProbeError if the encoder does not have these layers, negative ones counted from the last."""
        check_layers(self.model, self._encoder(), layers)

    # One image

    def shown_beside(self, n_images: int) -> bool:
        """Whether an image of a prompt with so many has to be encoded as one that is beside others."""
        return self.counts_images and n_images > 1

    def process(self, image: Image.Image, beside: bool = False) -> Any:
        """Pixels of one RGB image as the vision side takes them, on the CPU. May run on any thread."""
        processed = self._preprocess([image], beside)
        if self.device.type == "cuda":
            # Only from pinned memory does the copy to the device run beside the computation.
            processed.update({key: processed[key].pin_memory() for key in self.pixel_keys})
        return processed

    def tiles(self, image: Image.Image, beside: bool = False) -> tuple[Tile, ...]:
        """How the model will see an image; computes no feature."""
        return self._tiles(self.process(image, beside))

    def encode(self, image: Image.Image, wants: Wants = NOTHING, beside: bool = False) -> VisionTokens:
        """Processor, vision tower and projector for one RGB image."""
        return self.encode_processed(self.process(image, beside), wants)

    @torch.inference_mode()
    def encode_processed(self, processed: Any, wants: Wants = NOTHING) -> VisionTokens:
        """Vision tower and projector for what `process` gave."""
        return self._encode_together([processed], [processed], wants)[0]

    @torch.inference_mode()
    def encode_resized(self, image: Image.Image, rows: int, columns: int) -> Kept:
        """The image encoded afresh at the size that yields rows x columns tokens: float32, without positions."""
        tokens = self.encode_processed(self._process_resized(image, rows, columns))
        if tokens.grid != (rows, columns):
            raise CompressionError(f"asked the vision side for {rows} x {columns} tokens, got {tokens.grid}")
        deepstack = tokens.deepstack
        return Kept(tokens.features.float(), None, None if deepstack is None else lambda _rows: deepstack.float())

    @torch.no_grad()
    def encode_inside(self, image: Image.Image, reducer: EncoderReducer) -> Kept:
        """The image encoded afresh, its rows reduced within the encoder: float32, each at the token it comes from."""
        if (why := self.lacking.get("inside")) is not None:
            raise CompressionError(f"no rows can be reduced within the vision encoder: {why}")
        return self._encode_inside(image, reducer)

    @torch.no_grad()
    def project(self, rows: Tensor) -> Tensor:
        """Rows like those of `hidden`, [M, C] of any floating dtype, through the projector: [M, D] float32.

        Computed in the model's dtype, on the projector's device; back on that of `rows`.
        """
        if (why := self.lacking.get("project")) is not None:
            raise CompressionError(f"rows cannot be projected: {why}")
        module = self.model.model.get_submodule(self.projector)
        projected = self._projection(module, rows.to(device_of(module, rows.device), self.dtype))
        return projected.to(rows.device, torch.float32)

    def joint(self, checkpoint: str, hidden: Tensor, question: str) -> tuple[Tensor, Tensor]:
        """Rows [N, C] of the vision encoder and a question, in the joint space of a CLIP checkpoint.

        The checkpoint, a Hub id or a folder, is loaded when it is first asked for.

        Returns:
            [N, E], and [S, E] of the question in segments of 77 tokens, both float32, neither of unit length.
        """
        if (why := self.lacking.get("joint")) is not None:
            raise CompressionError(f"the question cannot be compared with vision tokens: {why}")
        space = self._joint_spaces.of(checkpoint)
        return space.image(hidden), space.text(question).clone()

    # Several images

    @torch.inference_mode()
    def encode_prompt(self, images: Sequence[Image.Image]) -> list[VisionTokens]:
        """The images of one prompt in one call, as the unmodified model encodes them."""
        beside = self.shown_beside(len(images))
        processed = [self.process(image, beside) for image in images]
        pixels = self._preprocess(images, beside) if len(images) > 1 else processed[0]
        return self._encode(self._pixels(pixels), processed, processed, NOTHING)

    @torch.inference_mode()
    def encode_many(self, processed: Sequence[Any], wants: Wants = NOTHING) -> list[VisionTokens]:
        """`encode_processed` of each, in one call and without padding where that changes no bit of their features.

        Whether it does is tried once for each shape: a greedy choice among near-equal tokens would show the least
        difference, and results must not depend on which images happened to share a call.
        """
        bare = [self._unpadded(p) for p in processed]
        padded = {self._shape(p) != self._shape(b) for p, b in zip(processed, bare, strict=True)}
        for pixels, has_padding in ((bare, {False}), (processed, padded)):
            # Images with and without padding do not mix: without, attention needs no mask and may run another kernel.
            kinds = {(self._shape(p), padding, wants) for p in pixels for padding in has_padding}
            if len(processed) != VISION_BATCH or len(kinds) > 1:
                continue
            if not self._exact_together.get(kind := kinds.pop(), True):
                continue
            together = self._encode_together(pixels, processed, wants)
            if kind in self._exact_together:
                return together
            alone = [self.encode_processed(p, wants) for p in processed]
            self._exact_together[kind] = all(_equal(a, b) for a, b in zip(together, alone, strict=True))
            return alone
        return [self.encode_processed(p, wants) for p in processed]

    def _shape(self, pixels: Mapping[str, Tensor]) -> _Shape:
        return tuple(tuple(pixels[key].shape) for key in self.pixel_keys)

    def _encode_together(self, pixels: Sequence[Any], processed: Sequence[Any], wants: Wants) -> list[VisionTokens]:
        """One call for images of one shape. pixels: what the vision side is given of each of `processed`."""
        parts = [self._pixels(p) for p in pixels]
        joined = parts[0] if len(parts) == 1 else {key: torch.cat([p[key] for p in parts]) for key in parts[0]}
        return self._encode(joined, pixels, processed, wants)

    def _encode(
        self, joined: Mapping[str, Tensor], pixels: Sequence[Any], processed: Sequence[Any], wants: Wants
    ) -> list[VisionTokens]:
        with contextlib.ExitStack() as watching:
            inputs = watching.enter_context(self._projected()) if wants.hidden else []
            states = watching.enter_context(self._class_states()) if wants.class_token is not None else None
            layers = (wants.attention, wants.keys, wants.class_token or ())
            seen = watching.enter_context(watch(self.model, self._encoder(), *layers))
            output = self._see(joined)
        rows = torch.cat([item.reshape(-1, item.shape[-1]) for item in output.pooler_output])
        tiles = [self._tiles(p) for p in processed]
        # Images of one shape may differ in their tokens: shapes are those of padded patches.
        sizes = [sum(tile.n_rows for tile in of_image) for of_image in tiles]
        if sum(sizes) != len(rows):
            raise RuntimeError(
                f"{len(processed)} images of {sizes} vision tokens came out of the vision side as {len(rows)}; this "
                "version of transformers lays out images in a way that this backend does not know"
            )
        n_tokens = [sum(tile.n_tokens for tile in of_image) for of_image in tiles]
        of_layers = getattr(output, "deepstack_features", None)
        deepstack: Sequence[Tensor | None] = [None] * len(tiles)
        if of_layers:
            deepstack = torch.cat([torch.cat([*layer]) for layer in of_layers], dim=1).split(n_tokens)
        found = [
            VisionTokens(of_image, of_tiles, deep)
            for of_image, of_tiles, deep in zip(rows.split(sizes), tiles, deepstack, strict=True)
        ]
        if wants == NOTHING:
            return found
        found = self._with_context(found, pixels, inputs, seen, wants)
        if states is None or wants.class_token is None:
            return found
        classes = class_tokens(torch.cat(states), seen, wants.class_token, [*map(self._tile_of_input, pixels)])
        return [replace(tokens, class_tokens=of_image) for tokens, of_image in zip(found, classes, strict=True)]

    def _class_states(self) -> contextlib.AbstractContextManager[list[Tensor]]:
        encoder = self._encoder()
        assert encoder is not None  # it has a class token
        return class_states(encoder_layers(self.model, encoder), self._features_layer())

    def _with_context(
        self, found: list[VisionTokens], pixels: Sequence[Any], inputs: Sequence[Tensor], seen: Probe, wants: Wants
    ) -> list[VisionTokens]:
        maps = [self._token_of_row(p) for p in pixels]
        n_rows = [len(of_image) for of_image in maps]
        hidden: Sequence[Tensor | None] = [None] * len(found)
        if wants.hidden:
            rows = torch.cat([part.reshape(-1, part.shape[-1]) for part in inputs])
            # Some projectors are given the encoder's rows, others tokens that were made of them before.
            direct = len(rows) != sum(n_rows)
            hidden = [
                part if direct else per_token(part, of_image, len(tokens))
                for part, of_image, tokens in zip(
                    rows.split([*map(len, found)] if direct else n_rows), maps, found, strict=True
                )
            ]
        attention: list[dict[int, EncoderAttention]] = [{} for _ in found]
        keys: list[dict[int, Tensor]] = [{} for _ in found]
        for layer in wants.attention:
            received, cls = (seen.attention(layer).received, seen.attention(layer).cls)
            if self.encoder is not None and self.encoder.windows:
                received = received * seen_from_its_window(seen.counts(layer), n_rows).to(received.device)
            by_image = received.split(n_rows, dim=1)
            cls_by_image = [None] * len(found) if cls is None else cls.split(n_rows, dim=1)
            for i, (of_image, tokens) in enumerate(zip(maps, found, strict=True)):
                given = cls_by_image[i]
                attention[i][layer] = EncoderAttention(
                    per_token(by_image[i], of_image, len(tokens), dim=1),
                    None if given is None else per_token(given, of_image, len(tokens), dim=1),
                )
        for layer in wants.keys:
            parts = seen.keys(layer).split(n_rows, dim=1)
            for i, (part, of_image, tokens) in enumerate(zip(parts, maps, found, strict=True)):
                keys[i][layer] = per_token(part, of_image, len(tokens), dim=1)
        return [
            VisionTokens(tokens.rows, tokens.tiles, tokens.deepstack, hidden[i], attention[i], keys[i])
            for i, tokens in enumerate(found)
        ]

    @contextlib.contextmanager
    def _projected(self) -> Generator[list[Tensor]]:
        """What the projector is given while the context lasts."""
        given: list[Tensor] = []

        def keep(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            given.append(next(value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)))

        handle = self.model.model.get_submodule(self.projector).register_forward_pre_hook(keep, with_kwargs=True)
        try:
            yield given
        finally:
            handle.remove()

    def _pixels(self, processed: Any) -> dict[str, Tensor]:
        # Each from where it lies: joined first, they would no longer be in pinned memory.
        pixels = {key: processed[key].to(self.device, non_blocking=True) for key in self.pixel_keys}
        if self.casts_pixels:
            return pixels
        return {key: value.to(self.dtype) if value.is_floating_point() else value for key, value in pixels.items()}


def _equal(one: VisionTokens, other: VisionTokens) -> bool:
    pairs = [(one.rows, other.rows), (one.deepstack, other.deepstack), (one.hidden, other.hidden)]
    pairs += [(one.keys[layer], other.keys[layer]) for layer in one.keys]
    for token, counterpart in zip(one.class_tokens, other.class_tokens, strict=True):
        pairs += [(token.hidden, counterpart.hidden)]
        pairs += [(token.queries[layer], counterpart.queries[layer]) for layer in token.queries]
        pairs += [(token.keys[layer], counterpart.keys[layer]) for layer in token.keys]
    for layer in one.attention:
        pairs += [(one.attention[layer].received, other.attention[layer].received)]
        pairs += [(one.attention[layer].cls, other.attention[layer].cls)]
    return all(a is b or (a is not None and b is not None and torch.equal(a, b)) for a, b in pairs)
