"""Merging compressors make what the original authors' code makes; see tests/goldens/README.md."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pytest_vtc.compression import (
    ClassToken,
    Compressor,
    EncoderAttention,
    Kept,
    attention_of_class_token,
    bipartite_matching,
    merge_weighted,
    n_outliers,
)
from pytest_vtc.compressors.prumerge import PruMerge
from pytest_vtc.compressors.prumerge_plus import PruMergePlus
from pytest_vtc.compressors.prunesid import spread
from pytest_vtc.compressors.visionzip import VisionZip
from tests.compressors.goldens import files, load, of_the_shipped_files, tensor

Recorder = Callable[[str, object], None]


@dataclass(frozen=True)
class Golden:
    """One parameter set of a file. adversarial: its ties have several right answers. borderline: rounding decides."""

    method: str
    file: str
    key: str
    parameters: tuple[int, ...] = ()
    adversarial: bool = False
    borderline: bool = False

    def __str__(self) -> str:
        return f"{self.method}-{Path(self.file).stem}-{self.key}"

    def __getitem__(self, key: str) -> Tensor:
        return tensor(self.file, key)


def goldens() -> Iterator[Golden]:
    for file in files("visionzip"):
        meta = load(file)["meta"]
        for key in load(file):
            if found := re.fullmatch(r"out_d(\d+)_c(\d+)", key):
                dominant, contextual = map(int, found.groups())
                stable = meta["f64_same"][f"{dominant},{contextual}"] == 1
                yield Golden("visionzip", file, key, (dominant, contextual), meta["adversarial"], not stable)
    for file in files("prumerge"):
        for key in load(file):
            if key.startswith("prumerge_") and key.endswith("out"):
                yield Golden("prumerge_plus" if "plus" in key else "prumerge", file, key)
    for file in files("prunesid"):
        yield Golden("prunesid", file, "indices", borderline=load(file)["meta"]["perturb_same"] != 1)
    for file in files("tome"):
        meta = load(file)["meta"]
        for key in load(file):
            if found := re.fullmatch(r"group_r(\d+)_cls([01])", key):
                r, class_token = map(int, found.groups())
                stable = meta["perturb_same"][f"{r},{class_token}"] == 1
                yield Golden("tome", file, key, (r, class_token), meta["adversarial"], not stable)


GOLDENS = list(goldens())
ADVERSARIAL = [golden for golden in GOLDENS if golden.adversarial]


def stable(method: str) -> Any:
    cases = [g for g in GOLDENS if g.method == method and not g.adversarial and not g.borderline]
    return pytest.mark.parametrize("golden", cases, ids=str)


@of_the_shipped_files
def test_the_number_of_compared_sets_is_known() -> None:
    compared = Counter(golden.method for golden in GOLDENS if not golden.adversarial and not golden.borderline)
    assert compared == {"visionzip": 3, "prumerge": 2, "prumerge_plus": 1, "prunesid": 3, "tome": 16}
    assert Counter(golden.method for golden in ADVERSARIAL) == {"visionzip": 2, "tome": 10}


def encoder_context(golden: Golden, compressor: Compressor) -> dict[str, Any]:
    """What an encoder with the arrays of a golden file, the class row first, would give; its projector does nothing."""
    layer = -1 if golden.method.startswith("prumerge") else -2
    arrays, hidden = load(golden.file), golden["hidden"]
    width = hidden.shape[1]
    keys = golden["keys" if "keys" in arrays else "metric" if "metric" in arrays else "hidden"]
    queries = golden["queries"] if "queries" in arrays else torch.zeros(len(hidden), width)
    given = golden["cls_attention"] if "cls_attention" in arrays else torch.zeros(1, len(hidden) - 1)
    every = {
        "hidden": hidden[1:],
        "keys": {layer: keys[None, 1:]},
        "attention": {layer: EncoderAttention(received=torch.zeros_like(given), cls=given)},
        "class_token": ClassToken(hidden[:1], {layer: queries[None, :1]}, {layer: keys[None, :1]}),
        "project": lambda rows: rows,
    }
    named = compressor.needs | compressor.substitutes.keys()
    return {name: value for name, value in every.items() if name in named} | {"layers": (layer,)}


def visionzip(golden: Golden) -> Kept:
    dominant, contextual = golden.parameters
    compressor = VisionZip(contextual=contextual / (dominant + 1 + contextual))
    kept = compressor.compress(golden["hidden"][1:], dominant + 1 + contextual, **encoder_context(golden, compressor))
    assert isinstance(kept, Kept)
    return kept


@stable("visionzip")
def test_visionzip_keeps_and_merges_the_tokens_of_the_original(golden: Golden, record_property: Recorder) -> None:
    kept, (dominant, _) = visionzip(golden), golden.parameters
    torch.testing.assert_close(kept.features, golden[golden.key], atol=1e-4, rtol=1e-4)
    assert kept.positions is not None
    kept_patches = sorted(golden[golden.key.replace("out", "idx")].tolist())[1:]
    assert [1 + place for place in kept.positions[1 : dominant + 1].tolist()] == kept_patches
    record_property("golden", golden.method)


@stable("prumerge")
def test_prumerge_makes_the_tokens_of_the_original(golden: Golden, record_property: Recorder) -> None:
    made, n_tokens = golden[golden.key], len(golden["hidden"]) - 1
    adaptive = "fixed" not in golden.key
    compressor = PruMerge(adaptive=adaptive)
    kept = compressor.compress(
        golden["hidden"][1:], n_tokens if adaptive else len(made), **encoder_context(golden, compressor)
    )
    torch.testing.assert_close(kept.features, made, atol=1e-4, rtol=1e-4)
    record_property("golden", golden.method)


@stable("prumerge_plus")
def test_prumerge_plus_makes_the_tokens_of_the_original(golden: Golden, record_property: Recorder) -> None:
    compressor = PruMergePlus(adaptive=True)
    features = golden["hidden"][1:]
    kept = compressor.compress(features, len(features), **encoder_context(golden, compressor))
    torch.testing.assert_close(kept.features, golden[golden.key], atol=1e-4, rtol=1e-4)
    record_property("golden", golden.method)


@pytest.mark.parametrize("file", files("prumerge"))
def test_prumerge_finds_the_attention_and_the_outliers_of_the_original(file: str) -> None:
    keys, queries = tensor(file, "keys")[None], tensor(file, "queries")[None]
    given = attention_of_class_token(queries[:, :1], keys[:, :1], keys[:, 1:])
    torch.testing.assert_close(given, tensor(file, "cls_attn"), atol=1e-6, rtol=1e-4)
    assert n_outliers(given) == int(load(file)["n_topk"])
    assert n_outliers(given) / len(given) == pytest.approx(float(load(file)["outlier_ratio"]))


@stable("prunesid")
def test_prunesid_spreads_over_given_groups_as_the_original(golden: Golden, record_property: Recorder) -> None:
    chosen, n_asked = golden["indices"].tolist(), load(golden.file)["meta"]["need"]
    given = golden["cls_attention"].sum(dim=0)
    found = spread(golden["hidden"][1:], given, golden["group_id"].long(), n_asked, n_asked - 1)
    assert [0, *(1 + found).tolist()] == chosen
    record_property("golden", golden.method)


@stable("tome")
def test_tome_matches_and_merges_as_the_original(golden: Golden, record_property: Recorder) -> None:
    (r, class_token), metric = golden.parameters, golden["metric"]
    merge = bipartite_matching(metric, r, bool(class_token))
    assert merge.group.tolist() == golden[golden.key].tolist()
    arrays, key = load(golden.file), golden.key.removeprefix("group")
    rows, sizes = merge_weighted(golden["x"] if "x" in arrays else metric, torch.ones(len(metric)), merge)
    assert sizes.tolist() == golden["size" + key].tolist()
    if "out" + key in arrays:
        made = golden["out" + key]
        torch.testing.assert_close(rows[:, : made.shape[1]], made, atol=1e-4, rtol=1e-4)
    record_property("golden", golden.method)


@pytest.mark.parametrize("golden", ADVERSARIAL, ids=str)
def test_of_ties_and_zero_rows_exactly_as_many_tokens_are_made(golden: Golden) -> None:
    if golden.method == "visionzip":
        rows = visionzip(golden).features
        assert len(rows) == len(golden[golden.key])
    else:
        r, class_token = golden.parameters
        merge = bipartite_matching(golden["metric"], r, bool(class_token))
        assert sorted(set(merge.group.tolist())) == list(range(merge.n_rows))
        rows, _ = merge_weighted(golden["metric"], torch.ones(len(golden["metric"])), merge)
        assert len(rows) == len(golden["size" + golden.key.removeprefix("group")])
    assert rows.isfinite().all()
