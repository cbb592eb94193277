"""The greedy compressors and G-Prune choose what the original authors' code chooses; see tests/goldens/README.md."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pytest_vtc.compressed import run_compressor
from pytest_vtc.compression import EncoderAttention, conditionally_diverse, cosine_similarities
from pytest_vtc.compressors.cdpruner import scaled, unlikeness_to_segments
from tests.compressors.goldens import compressor_of, files, load, of_the_shipped_files, tensor

Record = Callable[[str, object], None]


@dataclass(frozen=True)
class Golden:
    """One stored selection. stable: the original's answer is the only right one. ordered: stored in order of choice."""

    method: str
    spec: str
    file: str
    key: str
    stable: bool
    ordered: bool = False

    def __str__(self) -> str:
        return f"{self.method}-{Path(self.file).stem}-{self.key}"

    @property
    def selection(self) -> Tensor:
        return tensor(self.file, self.key).long()


def matching(file: str, pattern: str) -> Iterator[tuple[str, re.Match[str]]]:
    """The keys of a file that match `pattern` as a whole."""
    for key in load(file):
        if match := re.fullmatch(pattern, key):
            yield key, match


def of_scope() -> Iterator[Golden]:
    for file in files("scope"):
        meta = load(file)["meta"]
        for key, match in matching(file, r"sel_k(\d+)_a([\d.]+)_(multi|add)"):
            k, alpha, mode = match.groups()
            stable = not meta["adversarial"] and meta["f64_same"][f"{k},{alpha},{mode}"] == 1
            yield Golden("scope", f"scope(alpha={alpha}, mode={mode!r})", file, key, stable, ordered=True)


def of_cdpruner() -> Iterator[Golden]:
    for file in files("cdpruner"):
        meta = load(file)["meta"]
        for key, match in matching(file, r"keep_k(\d+)"):
            stable = not meta["adversarial"] and meta["perturb_same"][match[1]] == 1
            yield Golden("cdpruner", "cdpruner", file, key, stable)


def of_gprune() -> Iterator[Golden]:
    for file in files("gprune"):
        for key, match in matching(file, r"keep_(kr[\d.]+_s([\d.]+))_t([\d.]+)_i(\d+)"):
            _, similarity, temperature, iterations = match.groups()
            spec = f"g_prune(similarity={similarity}, temperature={temperature}, iterations={iterations})"
            stable = not load(file)["meta"]["adversarial"] and int(load(file)[f"same_{match[1]}"]) == 1
            yield Golden("gprune", spec, file, key, stable)


def of_uniprunebench() -> Iterator[Golden]:
    for file in files("uniprune_pre"):
        meta = load(file)["meta"]
        for key, match in matching(file, r"gprune_desc_r([\d.]+)"):
            stable = not meta["adversarial"] and meta["f64_same"][f"g{match[1]}"] == 1
            # Two neighbours in the order of one of them are equal but for the rounding of float32.
            ordered = not ("smooth_n576" in file and match[1] == "0.5")
            yield Golden("uniprune_gprune", "g_prune", file, key, stable, ordered)


SCOPE, CDPRUNER, GPRUNE, UNIPRUNE = (list(of()) for of in (of_scope, of_cdpruner, of_gprune, of_uniprunebench))


def stable(goldens: Sequence[Golden]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("golden", [golden for golden in goldens if golden.stable], ids=str)


def adversarial(goldens: Sequence[Golden]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("golden", [golden for golden in goldens if not golden.stable], ids=str)


@of_the_shipped_files
def test_the_number_of_compared_sets_is_known() -> None:
    every = [*SCOPE, *CDPRUNER, *GPRUNE, *UNIPRUNE]
    compared = {"scope": 21, "cdpruner": 7, "gprune": 3, "uniprune_gprune": 21}
    assert Counter(golden.method for golden in every if golden.stable) == compared
    counted = {"scope": 12, "cdpruner": 6, "gprune": 3, "uniprune_gprune": 9}
    assert Counter(golden.method for golden in every if not golden.stable) == counted


def in_scope(golden: Golden) -> tuple[Tensor, dict[str, Any]]:
    features = tensor(golden.file, "features")
    saliency = EncoderAttention(torch.empty(0), tensor(golden.file, "cls_attention_sum")[None])
    return features, {"hidden": features.clone(), "attention": {-2: saliency}, "layers": (-2,)}


@stable(SCOPE)
def test_scope_takes_the_tokens_of_the_authors_in_their_order(golden: Golden, record_property: Record) -> None:
    features, context = in_scope(golden)
    chosen = compressor_of(golden.spec).compress(features, len(golden.selection), **context)
    assert isinstance(chosen, Tensor)
    assert chosen.tolist() == golden.selection.tolist()
    record_property("golden", golden.method)


@adversarial(SCOPE)
def test_scope_keeps_as_many_where_tokens_repeat_or_are_zero(golden: Golden) -> None:
    features, context = in_scope(golden)
    compressed = run_compressor(compressor_of(golden.spec), features, len(golden.selection), context)
    assert compressed.n_kept == len(golden.selection)


def in_cdpruner(golden: Golden, tile: int) -> tuple[Tensor, dict[str, Any]]:
    embeds = tensor(golden.file, "image_embeds")[tile], tensor(golden.file, "text_embeds")

    def joint(_clip: str) -> tuple[Tensor, Tensor]:
        return embeds

    return tensor(golden.file, "projected")[tile], {"text": torch.zeros(1, 1), "joint": joint}


@stable([golden for golden in CDPRUNER if load(golden.file)["meta"]["B"] == 1])
def test_cdpruner_keeps_the_tokens_of_the_authors(golden: Golden, record_property: Record) -> None:
    features, context = in_cdpruner(golden, 0)
    compressed = run_compressor(compressor_of(golden.spec), features, golden.selection.shape[1], context)
    assert compressed.indices is not None
    assert compressed.indices.tolist() == golden.selection[0].tolist()
    record_property("golden", golden.method)


@stable([golden for golden in CDPRUNER if load(golden.file)["meta"]["B"] > 1])
def test_cdpruner_keeps_the_tokens_of_the_authors_where_tiles_share_their_scale(
    golden: Golden, record_property: Record
) -> None:
    tiles, embeds = tensor(golden.file, "projected"), tensor(golden.file, "image_embeds")
    wanted = torch.stack([unlikeness_to_segments(tile, tensor(golden.file, "text_embeds")) for tile in embeds])
    order = conditionally_diverse(cosine_similarities(tiles), scaled(wanted), golden.selection.shape[1])
    assert order.sort(dim=1).values.tolist() == golden.selection.tolist()
    record_property("golden", golden.method)


@adversarial(CDPRUNER)
def test_cdpruner_keeps_as_many_as_asked_beyond_the_rank(golden: Golden) -> None:
    features, context = in_cdpruner(golden, 0)
    n_target = int(golden.key.removeprefix("keep_k"))
    assert run_compressor(compressor_of(golden.spec), features, n_target, context).n_kept == n_target


def pruned_in_two_parts(golden: Golden) -> list[int]:
    """As the authors prune LLaVA-NeXT's tokens: the small image and the large one, whose lines end with a newline."""
    features, meta = tensor(golden.file, "image_feature"), load(golden.file)["meta"]
    ratio = float(golden.key.split("_")[1].removeprefix("kr"))
    large = torch.arange(576, len(features)).reshape(meta["rows"], meta["cols"] + 1)
    kept = large[:, -1].tolist()
    for part in (torch.arange(576), large[:, :-1].flatten()):
        n_target = int(ratio * len(part))
        compressed = run_compressor(compressor_of(golden.spec), features[part], n_target, {})
        assert compressed.n_kept == n_target
        assert compressed.indices is not None
        kept += part[compressed.indices].tolist()
    return sorted(kept)


@stable(GPRUNE)
def test_g_prune_keeps_the_tokens_of_the_authors(golden: Golden, record_property: Record) -> None:
    assert pruned_in_two_parts(golden) == golden.selection.tolist()
    record_property("golden", golden.method)


@adversarial(GPRUNE)
def test_g_prune_keeps_as_many_where_tokens_repeat(golden: Golden) -> None:
    assert len(set(pruned_in_two_parts(golden))) == len(golden.selection)


@stable(UNIPRUNE)
def test_g_prune_ranks_as_uniprunebench_does(golden: Golden, record_property: Record) -> None:
    chosen = compressor_of(golden.spec).compress(tensor(golden.file, "features"), len(golden.selection))
    assert isinstance(chosen, Tensor)
    arranged = list if golden.ordered else sorted
    assert arranged(chosen.tolist()) == arranged(golden.selection.tolist())
    record_property("golden", golden.method)


@adversarial(UNIPRUNE)
def test_g_prune_keeps_as_many_where_uniprunebench_depends_on_ties(golden: Golden) -> None:
    compressed = run_compressor(compressor_of(golden.spec), tensor(golden.file, "features"), len(golden.selection), {})
    assert compressed.n_kept == len(golden.selection)
