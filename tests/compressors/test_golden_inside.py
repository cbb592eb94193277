"""FlowCut and MustDrop do within the encoder what their authors' code does; see tests/goldens/README.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from math import isqrt
from pathlib import Path
from typing import Any

import pytest
import torch

from pytest_vtc.compression import EncoderReducer, EncoderStep, Kept, Merge
from pytest_vtc.compressors.flowcut import Flow, adaptive_cut
from pytest_vtc.models.inside import EncoderRows
from tests.compressors.goldens import compressor_of, files, load, of_the_shipped_files, tensor

CHAINS = [file for file in files("flowcut") if "target" in load(file)["meta"]]
RATIOS = [(file, i) for file in files("flowcut") if file not in CHAINS for i in range(len(load(file)["prune"]))]
SPATIAL = [file for file in files("mustdrop") if Path(file).stem.startswith("spatial")]
STABLE = [file for file in SPATIAL if not load(file)["meta"]["adversarial"]]
ADVERSARIAL = [file for file in SPATIAL if load(file)["meta"]["adversarial"]]


@of_the_shipped_files
def test_the_number_of_compared_sets_is_known() -> None:
    compared = Counter(flowcut=len(CHAINS), flowcut_ratio=len(RATIOS), mustdrop=len(STABLE))
    assert compared == {"flowcut": 2, "flowcut_ratio": 4, "mustdrop": 4}
    assert len(ADVERSARIAL) == 1


@pytest.mark.parametrize("file", CHAINS)
def test_the_same_patches_are_left_after_every_layer(file: str, record_property: Callable[[str, object], None]) -> None:
    golden = load(file)
    # The golden chain is of a whole tower, whose last layer is not used.
    n_layers, ids = golden["meta"]["layers"] - 1, torch.arange(golden["meta"]["N"])

    def inside(reducer: EncoderReducer) -> Kept:
        assert isinstance(reducer, Flow)
        left = ids
        for layer in range(n_layers + 1):
            attention, likeness, values = (
                torch.from_numpy(golden[name][layer]) for name in ("cls_attention", "semantic_attention", "value")
            )
            kept = reducer.cut(n_layers - 2 - layer, attention[left], likeness[1:][left], values[1:][left])
            left = left if kept is None else left[kept]
            assert left.tolist() == golden[f"keep_after_layer{layer}"].tolist(), layer
        return Kept(torch.zeros(len(left), 1), left)

    n_target = golden["meta"]["target"] - 1  # the authors' count the class token
    kept = compressor_of("flowcut").compress(torch.zeros(len(ids), 1), n_target, inside=inside)
    assert isinstance(kept, Kept)
    assert len(kept.features) == n_target
    record_property("golden", "flowcut")


@pytest.mark.parametrize(("file", "row"), RATIOS)
def test_the_same_number_is_cut(file: str, row: int, record_property: Callable[[str, object], None]) -> None:
    golden = load(file)
    cut = adaptive_cut(tensor(file, "attn")[row], int(golden["rpl"][row]), int(golden["target"][row]))
    assert cut == golden["prune"][row]
    record_property("golden", "flowcut_ratio")


def merged(file: str) -> tuple[Merge, EncoderRows, Kept]:
    """What MustDrop does after the first layer of an encoder whose rows are those of the file."""
    meta, rows = load(file)["meta"], tensor(file, "x")
    side = isqrt(meta["N"])
    seen: list[tuple[Merge, EncoderRows]] = []

    def heads(_which: str) -> Any:
        raise AssertionError("it reads no attention")

    def inside(reducer: EncoderReducer) -> Kept:
        before = EncoderRows.of_patches(rows, has_cls=True)
        step = EncoderStep(0, 2, (side, side), True, before.rows, before.sizes, before.sources, heads)
        assert reducer.after_attention(step) is None
        merge = reducer.after_block(step)
        assert isinstance(merge, Merge)
        after = before.reduced(merge)
        seen.append((merge, after))
        return Kept(after.rows[1:], after.sources[1:])

    compressor = compressor_of(f"mustdrop(window={meta['window']}, threshold={meta['threshold']})")
    kept = compressor.compress(rows[1:], meta["N"], grid=(side, side), inside=inside)
    assert isinstance(kept, Kept)
    return (*seen[0], kept)


@pytest.mark.parametrize("file", STABLE)
def test_the_same_windows_become_one(file: str, record_property: Callable[[str, object], None]) -> None:
    merge, after, _ = merged(file)
    assert merge.group.tolist() == load(file)["group"].tolist()
    assert after.sizes.tolist() == load(file)["size"].tolist()
    torch.testing.assert_close(after.rows, tensor(file, "out"), atol=1e-4, rtol=1e-4)
    record_property("golden", "mustdrop")


@pytest.mark.parametrize("file", ADVERSARIAL)
def test_windows_that_are_all_alike_become_one_each(file: str) -> None:
    _, after, kept = merged(file)
    assert sorted(after.sizes.tolist()) == sorted(load(file)["size"].tolist())
    assert kept.positions is not None
    assert len(set(kept.positions.tolist())) == len(kept.features) == len(load(file)["out"]) - 1
    assert torch.isfinite(kept.features).all()
