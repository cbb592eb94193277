"""What a compressor is, and the budget it gets. The one module a compressor file imports.

A compressor turns the vision tokens of one image, [N, D], into at most `n_target` of them: a subset (selection) or new
rows (merging). Everything else (batching, prompts, positions, dtype) is the engine's business.
"""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, final

from torch import Tensor

from pytest_vtc.array_calls import Array as Array
from pytest_vtc.attention_merging import absorb_nearest as absorb_nearest
from pytest_vtc.attention_merging import attention_given as attention_given
from pytest_vtc.attention_merging import attention_of_class_token as attention_of_class_token
from pytest_vtc.attention_merging import n_outliers as n_outliers
from pytest_vtc.coverage_selection import best_covering as best_covering
from pytest_vtc.encoder_reduction import EncoderReducer as EncoderReducer
from pytest_vtc.encoder_reduction import EncoderStep as EncoderStep
from pytest_vtc.encoder_reduction import Reduction as Reduction
from pytest_vtc.greedy_selection import GreedyRule as GreedyRule
from pytest_vtc.greedy_selection import choose_greedily as choose_greedily
from pytest_vtc.greedy_selection import conditionally_diverse as conditionally_diverse
from pytest_vtc.greedy_selection import farthest_first as farthest_first
from pytest_vtc.scored_selection import best as best
from pytest_vtc.scored_selection import distinct as distinct
from pytest_vtc.scored_selection import rank_in_group as rank_in_group
from pytest_vtc.token_merging import Merge as Merge
from pytest_vtc.token_merging import all_but as all_but
from pytest_vtc.token_merging import bipartite_matching as bipartite_matching
from pytest_vtc.token_merging import linear as linear
from pytest_vtc.token_merging import matching_rounds as matching_rounds
from pytest_vtc.token_merging import membership as membership
from pytest_vtc.token_merging import merge_weighted as merge_weighted
from pytest_vtc.token_merging import most_similar as most_similar
from pytest_vtc.token_similarity import cosine_distances as cosine_distances
from pytest_vtc.token_similarity import cosine_similarities as cosine_similarities
from pytest_vtc.token_similarity import each_image as each_image
from pytest_vtc.token_similarity import nearest_neighbour_distances as nearest_neighbour_distances
from pytest_vtc.token_similarity import norms as norms
from pytest_vtc.token_similarity import unit_rows as unit_rows

Stage = Literal["encoder", "pre_llm", "llm"]

CONTEXT_NAMES = frozenset(
    {"hidden", "attention", "keys", "class_token", "project", "inside", "joint", "text", "image", "encode"}
)
"""What a compressor may name in `needs`; see `Compressor.compress` for shapes."""

SUBSTITUTED_NAMES = CONTEXT_NAMES | {"cls"}
"""What it may name in `substitutes`; `cls` is the attention of the class row, which some encoders do not have."""

Tiles = Literal["together", "apart"]


class CompressionError(ValueError):
    """A compressor broke its contract; the message names the compressor and what it returned."""


@dataclass(frozen=True)
class Kept:
    """The rows a compressor hands back, with where they come from.

    features: [M, D], the rows for the language model, in the order they are to be read; of an image of several tiles
        those of each tile (by `positions`; without, all go to the last one).
    positions: [M] long, the raster index of the source token of each row (of a cluster: its centre), or None where a
        row has no place of its own; such rows can only be given renumbered (compact) positions.
    merge: does to any other rows [N, E] of the same tokens what was done to the features, giving [M, E]. A model that
        adds rows to its vision tokens in deeper layers (Qwen3-VL) needs it; without it, it gets those of `positions`.
    """

    features: Tensor
    positions: Tensor | None = None
    merge: Callable[[Tensor], Tensor] | None = None


@dataclass(frozen=True, eq=False)
class EncoderAttention:
    """Attention in one layer of the vision encoder, per head and vision token; of several patches in a token the mean.

    An image that the encoder sees in crops is as many images to it: no row of one looks at a row of another.

    received: [H, N] float32, what a token gets, mean over all rows of its image or crop (a class row included).
    cls: [H, N] float32, what the class row of its image or crop gives it; None where there is none.
    """

    received: Tensor
    cls: Tensor | None = None

    @property
    def saliency(self) -> Tensor:
        """[H, N]: what the class row gives, the measure of most papers; received where there is no class row."""
        return self.received if self.cls is None else self.cls


@dataclass(frozen=True, eq=False)
class ClassToken:
    """The class tokens of an image, or of one tile of it, that the encoder has seen as T crops, one of each.

    LLaVA-NeXT's finer grid, one tile to compressors, is several crops to the encoder.

    hidden: [T, C] float32, what the projector would be given of them, had the model not left them out.
    queries, keys: by encoder layer, [H, T, d] float32.
    """

    hidden: Tensor
    queries: Mapping[int, Tensor]
    keys: Mapping[int, Tensor]


@dataclass(frozen=True)
class Tower:
    """The vision encoder of a model. n_layers: how many attention layers; has_cls: it has a class token."""

    n_layers: int
    has_cls: bool


class Compressor(ABC):
    """Base class of all algorithms. Subclass it in a file of its own, as a dataclass if it has parameters.

    name: how it is asked for; lower case letters, digits and underscores.
    description: one line for `list`.
    reference: paper (venue, arXiv id) or source.
    stage: where it acts; `pre_llm` sees the projected tokens.
    year: in which it was published; 0: it was not, as a baseline.
    needs: the costly parts of the context it reads; only what is named here is computed. A model that lacks one of them
        cannot run it, which skips the cell.
    substitutes: for parts of the context that it reads where the model has them and can do without, what it does then:
        a sentence that is printed and recorded whenever it applies.
    exact: True if it always keeps exactly `n_target` tokens, False if at most that many (grids, say).
    tiles: `together` is given all tokens of an image at once; `apart` works on one grid, and where a model cuts images
        into tiles it is given tile by tile, each with its share of the budget.

    A dataclass with a field `seed`, a whole number by default, says that it draws at random: a run measures it with
    several seeds, and shows their mean and how far they lie apart.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    reference: ClassVar[str] = ""
    stage: ClassVar[Stage] = "pre_llm"
    year: ClassVar[int] = 0
    needs: ClassVar[frozenset[str]] = frozenset()
    substitutes: ClassVar[Mapping[str, str]] = {}
    exact: ClassVar[bool] = True
    tiles: ClassVar[Tiles] = "together"

    def encoder_layers(self, tower: Tower) -> tuple[int, ...]:
        """Layers of the vision encoder whose `attention` and `keys` it needs; negative ones count from the last.

        By default the last that the projector's input comes from: towers with a class token are read one layer before
        their end (CLIP in LLaVA), those without at their end.
        """
        return (-2,) if tower.has_cls else (-1,)

    @abstractmethod
    def compress(self, features: Tensor, n_target: int, **ctx: Any) -> Tensor | Kept:
        """Keep or merge the vision tokens of one image.

        Args:
            features: [N, D] float32, the image's vision tokens in raster order (left to right, top to bottom), tile
                after tile. Rows that only end a line (LLaVA-NeXT's newlines) are not among them: such a row stays if
                every token of its line does, and if no larger share of these rows is left than of the tokens.
            n_target: how many to keep, 1 <= n_target <= N. (Where all N are to be kept, the engine does not call.)
            **ctx: always `grid` (rows, columns), `positions` [N, 2] long (row, column), `tiles` (the grid of each
                tile; with several, `grid` is the smallest that holds them one below the other, and `positions` lie in
                it) and `generator` (torch.Generator on the CPU, seeded by run seed and image: the only allowed source
                of randomness). If named in `needs`, or in `substitutes` and the model has it:
                `hidden` [N, C] before the projector (of several patches in a token the mean, or side by side where the
                projector takes them so);
                `attention` and `keys`, mappings from each of `encoder_layers` to EncoderAttention, and to [H, N, d]
                float32, the keys of its heads before any rotation; with either, `layers`, what `encoder_layers` gave;
                `class_token` (ClassToken); `project` (callable: rows like those of `hidden`, [M, C] -> [M, D] float32,
                through the projector); `inside` (callable: an EncoderReducer -> Kept, the image encoded afresh, with
                the rows that the reducer leaves of it between the layers of the encoder, in its order: features [M, D]
                float32, each at the position of the token it comes from, the class row left out);
                `joint` (callable: name of a CLIP checkpoint -> image_embeds [N, E] and text_embeds [S, E] of the tokens
                and of the S segments of the question in CLIP's joint space);
                `text` [T, D] embeddings of the question; `image` (PIL, RGB); `encode` (callable: (rows, columns) ->
                Kept without positions, features [rows * columns, D] float32: the image resized so that it yields that
                grid of tokens, and encoded afresh).
                Tensors lie on the device of `features`. They are copies, as are the features, so that no slip harms
                another compressor; leave them as they are all the same.

        Returns:
            A long tensor [n_target] of distinct indices into `features` (selection; any order, the engine sorts it),
            a `Kept` (merging), or the rows themselves, [n_target, D], used in the order given. Rows that say no
            positions cannot be run at original positions, the default of models with three axes of them (Qwen-VL), nor
            tile by tile.
        """

    @cached_property
    def spec(self) -> str:
        """Name and every parameter that differs from its default, as one writes it: `divprune_hybrid(alpha=0.3)`."""
        changed = {
            field.name: getattr(self, field.name)
            for field in _fields(self)
            if getattr(self, field.name) != field.default
        }
        return f"{self.name}({', '.join(f'{k}={v!r}' for k, v in changed.items())})" if changed else self.name

    @property
    def parameters(self) -> dict[str, Any]:
        """Every parameter with its value, defaults included."""
        return {field.name: getattr(self, field.name) for field in _fields(self)}


class Selection(Compressor):
    """A compressor that chooses among the tokens of many images of one size at once.

    What one image gets must not depend on the images beside it, not even where rounding decides. Matrix products and
    sums over channels of a whole batch round differently from those of one image; compute them image by image.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.compress is not Selection.compress:
            kind, method = ("Ranking", "rank") if issubclass(cls, Ranking) else ("Selection", "select")
            raise TypeError(f"{cls.__name__} is a {kind}: define `{method}`, not `compress`, or derive from Compressor")

    @abstractmethod
    def select(self, features: Tensor, n_target: int, **ctx: Any) -> Tensor:
        """Choose tokens of several images: `select(features, n)[i : i + 1]` is `select(features[i : i + 1], n)`.

        Args:
            features: [B, N, D] float32, the tokens of B images of N tokens each, in raster order.
            n_target: how many to keep of each, 1 <= n_target <= N.
            **ctx: the names of `Compressor.compress`, each a list of B values, one per image.

        Returns:
            [B, n_target] long, on any device: for each image distinct indices, in any order.
        """

    @final
    def compress(self, features: Tensor, n_target: int, **ctx: Any) -> Tensor:
        """The batch of one image: [n_target] long."""
        return self.select(features[None], n_target, **{name: [value] for name, value in ctx.items()})[0]


class Ranking(Selection):
    """A selection of the first n tokens of one order, whatever n is: greedy, by score, a random permutation.

    The engine takes every smaller budget from the beginning of the largest one. A method whose choice among n tokens is
    not the beginning of its choice among more is a plain `Selection`.
    """

    @abstractmethod
    def rank(self, features: Tensor, n_target: int, **ctx: Any) -> Tensor:
        """Order the vision tokens of several images, the best first.

        As `Selection.select`, and the beginning of an order must not depend on `n_target`, not even where rounding
        decides: `rank(features, n)[:, :m]` is `rank(features, m)` for m <= n.

        Returns:
            [B, n_target] long, on any device: for each image distinct indices, in the order of choice.
        """

    @final
    def select(self, features: Tensor, n_target: int, **ctx: Any) -> Tensor:
        """The order of choice: [B, n_target] long."""
        return self.rank(features, n_target, **ctx)


def _fields(compressor: Compressor) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(compressor) if dataclasses.is_dataclass(compressor) else ()


def budget(n_tokens: int, ratio: float) -> int:
    """Tokens a ratio leaves of `n_tokens`: rounded down, so that never more is kept than asked, and at least one."""
    if not 0 < ratio <= 1:
        raise ValueError(f"ratio {ratio} is outside (0, 1]")
    # The small term undoes binary rounding: 0.29 * 100 is 28.999999999999996.
    return max(1, math.floor(n_tokens * ratio + 1e-9))


def largest_grid(rows: int, columns: int, n_target: int) -> tuple[int, int]:
    """The largest grid of at most `n_target` tokens that keeps the shape of `rows` x `columns`.

    Each side is the ideal side (both scaled by sqrt(n_target / tokens)) rounded up or down; of the grids that fit, the
    one with the most tokens wins, then the least distorted, then the wider.
    """
    if n_target < 1:
        raise ValueError(f"a grid of at most {n_target} tokens is empty")
    scale = min(1.0, math.sqrt(n_target / (rows * columns)))
    if rows * scale < 1:
        return 1, min(columns, n_target)
    if columns * scale < 1:
        return min(rows, n_target), 1
    # Guard against 8 * sqrt(16 / 64) coming out as 3.9999999.
    tall, wide = rows * scale + 1e-9, columns * scale + 1e-9
    candidates = [
        (r, c)
        for r in (math.floor(tall), min(rows, math.ceil(tall - 2e-9)))
        for c in (math.floor(wide), min(columns, math.ceil(wide - 2e-9)))
        if r * c <= n_target
    ]

    def preference(grid: tuple[int, int]) -> tuple[int, float, int]:
        r, c = grid
        sides = (r * columns, c * rows)  # equal where the shape is kept exactly
        return r * c, -max(sides) / min(sides), c

    return max(candidates, key=preference)
