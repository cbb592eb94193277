"""Opening datasets by what a person asks for."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from pytest_vtc.datasets import registry
from pytest_vtc.datasets.base import DatasetError, Sample
from pytest_vtc.datasets.registry import data_home, known_datasets, name_of, open_samples


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
    assert list(known_datasets()) == [
        *("probes", "easyvqa", "details", "details_large", "mmmu_pro", "mmmu_pro_10", "mmmu_pro_vision", "gqa"),
        *("mmmu", "mmbench_en", "mmbench_cn", "mme", "pope", "hallusionbench", "scienceqa"),
        *("seedbench", "seedbench2_plus", "ai2d", "mmstar", "realworldqa"),
        *("vqav2", "textvqa", "vizwiz", "ocrbench", "chartqa", "docvqa"),
        *("mathvista", "mathvision", "mathvision_test"),
        *("mm_vet", "llava_bench", "mia_bench"),
    ]


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


def test_name_is_known_before_anything_is_opened(manifest: Path, tmp_path: Path) -> None:
    other = manifest.rename(manifest.with_name("my pets.jsonl"))
    named = tmp_path / "named.jsonl"
    named.write_text(
        '{"manifest": 1, "name": "cats"}\n' + json.dumps({"id": 1, "image": "pets/0.png", "prompt": "?", "answer": "x"})
    )
    (tmp_path / "plain pets").mkdir()
    Image.new("RGB", (3, 3)).save(tmp_path / "plain pets" / "a.png")
    for spec in (str(other), str(named), str(tmp_path / "plain pets"), "probes"):
        assert name_of(spec, tmp_path) == open_samples(spec, tmp_path, None, seed=0).name


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
    (tmp_path / "data.xml").touch()
    with pytest.raises(DatasetError, match=r"data\.xml: neither a manifest \(\*\.jsonl\), nor a \*\.csv, nor a folder"):
        open_samples(str(tmp_path / "data.xml"), tmp_path, None, seed=0)


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


@pytest.mark.parametrize(("scoring", "published"), [(None, "pope"), ("official", "pope"), ("lmms", "pope_lmms")])
def test_whose_rule_is_asked_for_has_its_bookkeeping_too(tmp_path: Path, scoring: str | None, published: str) -> None:
    path = tmp_path / "pope.jsonl"
    header = {"manifest": 1, "scoring": "pope_official", "published": "pope",
              "scorings": {"official": "pope_official", "lmms": "pope_lmms"}}  # fmt: skip
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    row = {"id": "1", "image": "a.png", "prompt": "Is it?", "answer": "yes"}
    path.write_text("\n".join(map(json.dumps, (header, row))))
    assert open_samples(str(path), tmp_path, None, 0, scoring).published == published


def test_misspelt_harness_is_among_what_could_have_been_meant(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="did you mean official"):
        open_samples("probes", tmp_path, 3, 0, "oficial")


def in_pairs(folder: Path) -> Path:
    """Two images with two questions each, which count only together."""
    header = {"manifest": 1, "scoring": "mme_yesno_official", "published": "mme", "whole_groups": True}
    header["scorings"] = {"lmms": "mme_yesno_lmms"}
    (folder / "a.png").touch()
    rows = [{"id": i, "image": "a.png", "prompt": "?", "answer": "yes", "group": f"g{i // 2}"} for i in range(4)]
    path = folder / "pairs.jsonl"
    path.write_text("\n".join(map(json.dumps, [header, *rows])))
    return path


def test_sample_of_a_group_that_counts_as_a_whole_knows_its_size(tmp_path: Path, manifest: Path) -> None:
    drawn = open_samples(str(in_pairs(tmp_path)), tmp_path, 2, seed=1).samples
    assert [sample.facts for sample in drawn] == [{"group_size": "2"}] * 2
    assert not any(sample.facts for sample in open_samples(str(manifest), tmp_path, None, seed=1).samples)


@pytest.mark.parametrize(
    ("scoring", "published"), [(None, "mme"), ("lmms", "mme"), ("mme_yesno_lmms", "mme"), ("exact", None)]
)
def test_metric_goes_with_rules_of_its_dataset_only(tmp_path: Path, scoring: str | None, published: str | None) -> None:
    assert open_samples(str(in_pairs(tmp_path)), tmp_path, None, 0, scoring).published == published
