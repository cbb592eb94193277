"""Opening datasets by what a person asks for, and drawing samples from them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pytest_vtc.datasets import registry
from pytest_vtc.datasets.base import DatasetError, Sample, SampleSet
from pytest_vtc.datasets.registry import data_home, in_random_order, known_datasets, open_samples


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """30 questions on 10 images."""
    folder = tmp_path / "pets"
    folder.mkdir()
    for k in range(10):
        (folder / f"{k}.png").touch()
    rows = [{"id": i, "image": f"{i // 3}.png", "prompt": "?", "answer": "x"} for i in range(30)]
    path = folder / "manifest.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def ids(samples: Sequence[Sample]) -> list[int]:
    return [int(sample.id) for sample in samples]


def test_known_names() -> None:
    built_in = ["probes", "easyvqa", "details", "details_large"]
    assert list(known_datasets()) == [*built_in, "mmmu_pro", "mmmu_pro_10", "mmmu_pro_vision", "gqa"]


def test_looking_up_datasets_imports_nothing_heavy() -> None:
    heavy = "('torch', 'numpy', 'sklearn', 'easy_vqa', 'datasets', 'pyarrow', 'huggingface_hub', 'tqdm')"
    code = (
        "import sys; from pytest_vtc.datasets.registry import known_datasets; known_datasets(); "
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_known_name_opens_the_dataset_with_its_rule(tmp_path: Path) -> None:
    data = open_samples("easyvqa", tmp_path, 5, seed=0)
    assert (data.name, data.scoring, data.max_new_tokens, data.size, len(data.samples)) == (
        "easyvqa",
        "exact",
        8,
        9_673,
        5,
    )


def test_known_name_wins_over_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "probes").mkdir()
    monkeypatch.chdir(tmp_path)
    assert open_samples("probes", tmp_path, 3, seed=0).scoring == "exact"


def test_manifest_is_opened_by_path_and_named_after_its_folder(manifest: Path) -> None:
    data = open_samples(str(manifest), manifest.parent, None, seed=0)
    assert (data.name, data.scoring, data.max_new_tokens, data.size) == ("pets", "auto", 32, 30)
    assert ids(data.samples) == list(range(30))


def test_manifest_of_another_name_is_named_after_itself(manifest: Path) -> None:
    path = manifest.rename(manifest.with_name("my pets.jsonl"))
    assert open_samples(str(path), path, None, seed=0).name == "my_pets"


def test_folder_is_described_and_not_scored(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", ".hidden.png"):
        Image.new("RGB", (3, 3)).save(tmp_path / name)
    (tmp_path / "notes.txt").touch()
    (tmp_path / "more.png").mkdir()
    data = open_samples(str(tmp_path), tmp_path, None, seed=0)
    assert [(s.id, s.prompt, s.answers) for s in data.samples] == [
        ("a.png", "Describe this image.", ()),
        ("b.JPG", "Describe this image.", ()),
    ]
    assert (data.scoring, data.max_new_tokens) == ("none", 128)


def test_folder_without_images_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no images in this folder"):
        open_samples(str(tmp_path), tmp_path, None, seed=0)


def test_folder_with_only_a_manifest_points_to_it(manifest: Path) -> None:
    for image in manifest.parent.glob("*.png"):
        image.unlink()
    with pytest.raises(DatasetError, match=r"ask for .*manifest\.jsonl"):
        open_samples(str(manifest.parent), manifest, None, seed=0)


def test_unknown_name_gives_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"unknown dataset 'mmu_pro': did you mean mmmu_pro"):
        open_samples("mmu_pro", tmp_path, None, seed=0)


@pytest.mark.parametrize("spec", ["gone/questions.jsonl", "questions.jsonl", "./gone", "~/gone-for-ever"])
def test_path_that_is_not_there_is_said_so(tmp_path: Path, spec: str) -> None:
    with pytest.raises(DatasetError, match="no such file or folder"):
        open_samples(spec, tmp_path, None, seed=0)


def test_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data.csv").touch()
    with pytest.raises(DatasetError, match=r"data\.csv: neither a manifest"):
        open_samples(str(tmp_path / "data.csv"), tmp_path, None, seed=0)


def test_dataset_that_is_not_fetched_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="python -m pytest_vtc fetch gqa"):
        open_samples("gqa", tmp_path, None, seed=0)


def test_more_samples_than_there_are_is_an_error_with_the_size(manifest: Path) -> None:
    with pytest.raises(DatasetError, match="asked for 31 samples, but it has 30; ask for at most"):
        open_samples(str(manifest), manifest, 31, seed=0)


@pytest.mark.parametrize("n", [0, -3])
def test_no_samples_is_an_error(manifest: Path, n: int) -> None:
    with pytest.raises(DatasetError, match="at least 1"):
        open_samples(str(manifest), manifest, n, seed=0)


def test_repeated_ids_are_an_error_in_any_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    twice = [Sample("same", (), "?"), Sample("same", (), "?")]
    monkeypatch.setattr(registry.EasyVqa, "load", lambda *_: twice)
    with pytest.raises(DatasetError, match="two samples have the id 'same'"):
        open_samples("easyvqa", tmp_path, None, seed=0)


def test_draw_takes_whole_groups_and_cuts_only_the_last(manifest: Path) -> None:
    drawn = ids(open_samples(str(manifest), manifest, 10, seed=3).samples)
    per_group = sorted(len([i for i in drawn if i // 3 == group]) for group in range(10))
    assert len(drawn) == 10
    assert [n for n in per_group if n] == [1, 3, 3, 3]


def test_draw_is_not_the_head_and_keeps_the_order(manifest: Path) -> None:
    draws = [ids(open_samples(str(manifest), manifest, 9, seed=seed).samples) for seed in range(5)]
    assert all(draw == sorted(draw) for draw in draws)
    assert list(range(9)) not in draws
    assert len(set(map(tuple, draws))) == 5


def test_samples_without_a_group_are_drawn_one_by_one() -> None:
    drawn = registry._draw([Sample(f"s{i}", (), "?") for i in range(40)], 12, 42)
    assert [sample.id for sample in drawn] != [f"s{i}" for i in range(12)]


def test_same_seed_draws_the_same(manifest: Path) -> None:
    once, again = (open_samples(str(manifest), manifest, 7, seed=42).samples for _ in range(2))
    assert ids(once) == ids(again)


@settings(max_examples=60, deadline=None)
@given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=12), seed=st.integers(0, 2**32), data=st.data())
def test_smaller_draw_is_part_of_a_larger_one(sizes: list[int], seed: int, data: st.DataObject) -> None:
    samples = [Sample(f"{g}-{i}", (), "?", group=str(g)) for g, size in enumerate(sizes) for i in range(size)]
    large = data.draw(st.integers(1, len(samples)))
    small = data.draw(st.integers(1, large))
    draws = [registry._draw(samples, n, seed) for n in (small, large)]
    assert [len(draw) for draw in draws] == [small, large]
    assert {s.id for s in draws[0]} <= {s.id for s in draws[1]}


@given(st.lists(st.sampled_from(["", "a", "b", "c", "d"]), min_size=1, max_size=20).map(sorted), st.integers(0, 9))
def test_a_random_order_keeps_images_together_and_is_the_seeds(groups: list[str], seed: int) -> None:
    samples = [Sample(f"s{i}", (), "?", group=group) for i, group in enumerate(groups)]
    data = SampleSet("mine", samples, "exact", 8, len(samples))
    shuffled = in_random_order(data, seed)
    assert sorted(sample.id for sample in shuffled.samples) == sorted(sample.id for sample in samples)
    for group in {*groups} - {""}:
        places = [place for place, sample in enumerate(shuffled.samples) if sample.group == group]
        assert places == list(range(places[0], places[0] + len(places)))
        own = [sample.id for sample in samples if sample.group == group]
        assert [shuffled.samples[place].id for place in places] == own
    assert shuffled.fingerprint() == data.fingerprint()
    assert in_random_order(data, seed).samples == shuffled.samples


def test_random_orders_of_two_seeds_differ() -> None:
    data = SampleSet("mine", [Sample(f"s{i}", (), "?") for i in range(30)], "exact", 8, 30)
    orders = {tuple(sample.id for sample in in_random_order(data, seed).samples) for seed in range(5)}
    assert len(orders) == 5


def test_home_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VTC_HOME", str(tmp_path))
    assert data_home() == tmp_path


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="caches lie elsewhere there")
def test_home_is_in_the_cache_folder_by_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("VTC_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert data_home() == tmp_path / "pytest-vtc"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert data_home() == Path.home() / ".cache" / "pytest-vtc"
