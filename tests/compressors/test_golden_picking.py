"""The methods that score tokens and pick the best keep what their authors' code keeps; see tests/goldens/README.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pytest_vtc.compressed import Compressed, run_compressor
from pytest_vtc.compression import EncoderAttention
from tests.compressors.goldens import compressor_of, files, load, of_the_shipped_files, tensor

Record = Callable[[str, object], None]


@dataclass(frozen=True)
class Golden:
    """One choice of the original. key: its array; None if the original raised.

    stable: the original's answer is the only right one. whole: it kept as many tokens as it was asked for.
    """

    spec: str
    file: str
    key: str | None
    n_target: int
    stable: bool
    whole: bool = True

    def __str__(self) -> str:
        return f"{Path(self.file).stem}-{self.spec}-{self.n_target}"

    @property
    def method(self) -> str:
        return self.spec.partition("(")[0]

    @property
    def inputs(self) -> tuple[Tensor, dict[str, Any]]:
        """The features and the context that the compressor is given."""
        return INPUTS[self.method](self.file)

    @property
    def original(self) -> list[int]:
        """The tokens that the original keeps; of HoloV's rows of zeros none."""
        assert self.key is not None
        return sorted(index for index in load(self.file)[self.key].tolist() if index >= 0)

    def kept(self) -> Compressed:
        """What is kept here; checked to be n distinct tokens."""
        features, context = self.inputs
        return run_compressor(compressor_of(self.spec), features, self.n_target, context)


def given_attention(*of_layers: Tensor) -> dict[str, Any]:
    """Attention [H, N] of some layers, whether one reads that of the class row or that received."""
    layers = tuple(range(len(of_layers)))
    return {
        "attention": {i: EncoderAttention(of_layer, of_layer) for i, of_layer in enumerate(of_layers)},
        "layers": layers,
    }


def vispruner_inputs(file: str) -> tuple[Tensor, dict[str, Any]]:
    features = tensor(file, "features")
    return features, {"hidden": features} | given_attention(tensor(file, "cls_attention"))


def hiprune_inputs(file: str) -> tuple[Tensor, dict[str, Any]]:
    meta, attention = load(file)["meta"], [tensor(file, f"{name}_attention")[None] for name in ("object", "deep")]
    grid = (meta["h"], meta["w"]) if "w" in meta else (24, 24)
    return torch.ones(attention[0].shape[1], 1), {"grid": grid} | given_attention(*attention)


def holov_inputs(file: str) -> tuple[Tensor, dict[str, Any]]:
    return tensor(file, "features"), given_attention(tensor(file, "attention")[None])


def vscan_inputs(file: str) -> tuple[Tensor, dict[str, Any]]:
    attention = [tensor(file, f"{name}_attention")[None] for name in ("shallow", "deep")]
    return tensor(file, "features"), {"grid": (24, 24)} | given_attention(*attention)


INPUTS = {
    "vispruner": vispruner_inputs,
    "hiprune": hiprune_inputs,
    "holov": holov_inputs,
    "vscan": vscan_inputs,
}


def goldens() -> Iterator[Golden]:
    for file in files("vispruner"):
        meta = load(file)["meta"]
        for parameters, same in meta["f64_same"].items():
            n_target, ratio = parameters.split(",")
            key = f"keep_k{n_target}_r{ratio}" if same in (0, 1) else None
            stable = key is not None and not meta["adversarial"] and same == 1
            yield Golden(f"vispruner(important_ratio={ratio})", file, key, int(n_target), stable)
    for file in files("hiprune"):
        arrays = load(file)
        n_tokens = len(arrays["deep_attention"])
        for key in arrays:
            if key.startswith("keep_"):
                budget, alpha = key.removeprefix("keep_").split("_a")
                n_target = int(budget[1:]) if budget[0] == "k" else round(n_tokens * float(budget[1:]))
                stable = not arrays["meta"].get("adversarial", False)
                whole = len(arrays[key]) == n_target
                yield Golden(f"hiprune(alpha={alpha})", file, key, n_target, stable, whole)
    for file in files("holov"):
        arrays = load(file)
        for crops, n_target in arrays["meta"]["configs"]:
            of = f"p{crops}_k{n_target}"
            stable, whole = not arrays["meta"]["adversarial"], int(arrays[f"nzero_{of}"]) == 0
            yield Golden(f"holov(crops={crops})", file, f"qwen_pos_{of}", n_target, stable, whole)
    for file in files("vscan"):
        for n_target in load(file)["meta"]["keep"]:
            yield Golden("vscan", file, f"keep_k{n_target}", n_target, True)


GOLDENS = list(goldens())
EQUAL = [golden for golden in GOLDENS if golden.stable and golden.whole]
TOO_FEW = [golden for golden in GOLDENS if golden.stable and not golden.whole]
UNDECIDED = [golden for golden in GOLDENS if not golden.stable]


@of_the_shipped_files
def test_the_number_of_compared_sets_is_known() -> None:
    assert Counter(golden.method for golden in EQUAL) == {"vispruner": 22, "hiprune": 27, "holov": 7, "vscan": 4}
    assert Counter(golden.method for golden in TOO_FEW) == {"hiprune": 7, "holov": 2}
    assert Counter(golden.method for golden in UNDECIDED) == {"vispruner": 30, "hiprune": 6, "holov": 1}


@pytest.mark.parametrize("golden", EQUAL, ids=str)
def test_the_same_tokens_as_the_original(golden: Golden, record_property: Record) -> None:
    kept = golden.kept().positions
    assert kept is not None
    assert kept.tolist() == golden.original
    record_property("golden", golden.method)


@pytest.mark.parametrize("golden", TOO_FEW, ids=str)
def test_where_the_original_keeps_too_few_all_of_them_are_kept(golden: Golden, record_property: Record) -> None:
    kept = golden.kept()
    assert kept.positions is not None
    assert kept.n_kept == golden.n_target
    assert set(golden.original) < set(kept.positions.tolist())
    record_property("golden", golden.method)


@pytest.mark.parametrize("golden", UNDECIDED, ids=str)
def test_ties_and_what_the_original_cannot_do_give_as_many_distinct_tokens(golden: Golden) -> None:
    kept = golden.kept().positions
    assert kept is not None
    assert len(set(kept.tolist())) == golden.n_target


@pytest.mark.parametrize("golden", [golden for golden in GOLDENS if golden.method == "vscan"], ids=str)
def test_the_same_merged_rows_as_the_original(golden: Golden) -> None:
    rows = golden.kept().rows
    assert rows is not None
    merged = tensor(golden.file, f"out_k{golden.n_target}")
    torch.testing.assert_close(rows, merged, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("golden", [golden for golden in EQUAL if golden.method == "holov"], ids=str)
def test_the_same_rows_as_holovs_llava_code_in_raster_order(golden: Golden) -> None:
    assert golden.key is not None
    features, _ = golden.inputs
    rows = tensor(golden.file, golden.key.replace("qwen_pos", "llava_out"))
    in_raster_order = tensor(golden.file, golden.key).argsort()
    assert torch.equal(golden.kept().gather(features), rows[in_raster_order])
