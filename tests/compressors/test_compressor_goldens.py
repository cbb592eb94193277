"""The shipped compressors choose what the original authors' code chooses; see tests/goldens/README.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pytest_vtc.compressed import run_compressor
from pytest_vtc.compression import Kept, budget
from tests.compressors.goldens import compressor_of, files, load, of_the_shipped_files

VTBENCH = {
    "divprune": "divprune(start='farthest_pair')",
    "hybrid00": "divprune_hybrid(alpha=0.0)",
    "hybrid05": "divprune_hybrid",
    "hybrid10": "divprune_hybrid(alpha=1.0)",
    "fps": "fps",
    "identity": "identity",
}


@dataclass(frozen=True)
class Golden:
    """One stored selection. method: folder and variant. stable: the original's answer is the only right one."""

    method: str
    spec: str
    file: str
    key: str
    stable: bool

    def __str__(self) -> str:
        return f"{self.method}-{Path(self.file).stem}-{self.key}"

    @property
    def features(self) -> Tensor:
        return torch.from_numpy(load(self.file)["features"])

    @property
    def selection(self) -> list[int]:
        return load(self.file)[self.key].tolist()


def selections() -> Iterator[Golden]:
    for file in files("divprune"):
        meta = load(file)["meta"]
        for k in meta.get("keep", ()):
            stable = not meta["adversarial"] and meta["f64_same"][str(k)] == 1
            yield Golden("divprune", "divprune", file, f"sel_k{k}", stable)
    for file in files("vtbench"):
        meta = load(file)["meta"]
        for variant, spec in VTBENCH.items():
            for k in meta["keep"]:
                stable = not meta["adversarial"] and meta["perturb_same"][f"{variant},{k}"] == 1
                yield Golden(f"vtbench_{variant}", spec, file, f"{variant}_k{k}", stable)
    for file in files("uniprune_pre"):
        meta = load(file)["meta"]
        for ratio in meta.get("ratios", ()):
            stable = not meta["adversarial"] and meta["f64_same"][str(ratio)] == 1
            yield Golden("uniprune_divprune", "divprune", file, f"divprune_sel_r{ratio}", stable)


SELECTIONS = list(selections())
STABLE = [golden for golden in SELECTIONS if golden.stable]
ADVERSARIAL = [golden for golden in SELECTIONS if load(golden.file)["meta"]["adversarial"]]
POOLED = [
    (file, key, side)
    for file in files("uniprune_pre")
    if "pool_2tiles" in file
    for key, side in (("avg_4", 2), ("avg_16", 4), ("avg_25", 5))
]
DRAWN = [(file, key) for file in files("uniprune_pre") if "random" in file for key in load(file) if "keep" in key]


@of_the_shipped_files
def test_the_number_of_compared_sets_is_known() -> None:
    assert Counter(golden.method for golden in STABLE) == {
        "divprune": 14,
        "vtbench_divprune": 21,
        "vtbench_hybrid00": 21,
        "vtbench_hybrid05": 21,
        "vtbench_hybrid10": 21,
        "vtbench_fps": 21,
        "vtbench_identity": 21,
        "uniprune_divprune": 21,
    }
    assert len(ADVERSARIAL) == 4 + 6 * 7 + 9
    assert len(STABLE) + len(ADVERSARIAL) == len(SELECTIONS), "no other set is borderline"
    assert len(POOLED) == 3
    assert len(DRAWN) == 12


@pytest.mark.parametrize("golden", STABLE, ids=str)
def test_the_same_tokens_in_the_same_order_as_the_original(
    golden: Golden, record_property: Callable[[str, object], None]
) -> None:
    chosen = compressor_of(golden.spec).compress(golden.features, len(golden.selection))
    assert isinstance(chosen, Tensor)
    assert chosen.tolist() == golden.selection
    record_property("golden", golden.method)


@pytest.mark.parametrize("golden", ADVERSARIAL, ids=str)
def test_repeated_equal_and_zero_tokens_are_chosen_once_each(golden: Golden) -> None:
    compressed = run_compressor(compressor_of(golden.spec), golden.features, len(golden.selection), {})
    assert compressed.indices is not None
    assert len(set(compressed.indices.tolist())) == len(golden.selection)


@pytest.mark.parametrize(("file", "key", "side"), POOLED)
def test_pooled_tokens_are_those_of_uniprunebench(file: str, key: str, side: int) -> None:
    for tile, pooled in zip(load(file)["tokens"], load(file)[key], strict=True):
        kept = compressor_of("pool").compress(torch.from_numpy(tile), side * side, grid=(16, 16))
        assert isinstance(kept, Kept)
        torch.testing.assert_close(kept.features, torch.from_numpy(pooled), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("file", "key"), DRAWN)
def test_a_generator_of_the_same_seed_draws_the_tokens_of_uniprunebench(file: str, key: str) -> None:
    golden = load(file)
    generator = torch.Generator().manual_seed(golden["meta"]["torch_manual_seed"])
    features = torch.zeros(len(golden["pre_selected_mask_r0.5"]), 1)
    drawn = compressor_of("random").compress(features, len(golden[key]), generator=generator)
    assert isinstance(drawn, Tensor)
    assert sorted(drawn.tolist()) == sorted(golden[key].tolist())


def test_the_authors_count_exceeds_ours_by_at_most_one() -> None:
    golden = load("divprune/ratio_rounding.npz")
    differences = [
        int(count) - budget(64, float(ratio)) for ratio, count in zip(golden["ratios"], golden["counts"], strict=True)
    ]
    assert set(differences) <= {0, 1}
