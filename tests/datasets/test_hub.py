"""Files from the Hub: what is on the machine already is used, and what cannot be had is explained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fake_hub import COMMIT, FakeHub
from published_rows import Publish, mmmu_row

from pytest_vtc.datasets.base import DatasetError, Draw
from pytest_vtc.datasets.gqa import Gqa
from pytest_vtc.datasets.hub import locate, within
from pytest_vtc.datasets.mmmu_pro import MmmuPro

REVISION = "a" * 40
CARD = "---\nconfigs:\n- config_name: part\n  data_files:\n  - split: test\n    path: somewhere/questions*\n---\n"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the Hub's client, which is told to stay offline."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return tmp_path


def _keep(cache: Path, repository: str, *files: str) -> None:
    """Put files where the client keeps what it has downloaded."""
    folder = cache / f"datasets--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(REVISION)
    _touch(folder / "snapshots" / REVISION, *files)


def _touch(folder: Path, *files: str) -> None:
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()


def test_offline_says_what_is_missing_and_how_to_get_it(cache: Path, said: list[str]) -> None:
    with pytest.raises(DatasetError) as failure:
        MmmuPro().fetch(cache / "home", None, said.append)
    message = str(failure.value)
    assert "HF_HUB_OFFLINE is set" in message
    assert 'bring "standard (4 options)" of https://huggingface.co/datasets/MMMU/MMMU_Pro/tree/main' in message
    assert "python -m pytest_vtc fetch mmmu_pro --source DIR" in message


def test_licence_and_size_are_said_before_anything_is_tried(cache: Path, said: list[str]) -> None:
    with pytest.raises(DatasetError):
        Gqa().fetch(cache / "home", None, said.append)
    assert "about 68 MB" in said[0]
    assert "CC BY 4.0" in said[0]


def test_no_network_is_said_so(cache: Path, said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: Any, **__: Any) -> None:
        raise ConnectionError("Name or service not known\nand more")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", unreachable)
    with pytest.raises(DatasetError, match=r"there is no network, .* \(Name or service not known\); connect, or bring"):
        Gqa().fetch(cache / "home", None, said.append)


def test_files_in_the_cache_need_no_network(cache: Path, said: list[str]) -> None:
    _keep(cache, "owner/data", "some (4) part/test-00000-of-00001.parquet")
    repository, found = locate("data", ["owner/data"], ["some (4) part"], "test", said.append)
    assert repository.facts == {"source": "owner/data", "revision": REVISION}
    assert [path.is_file() for path in repository.local(found.files)] == [True]
    assert said == [f"data: no connection to the Hub; from what this machine has kept of owner/data, {REVISION[:10]}"]


def test_configuration_that_is_not_there_is_told_apart(cache: Path, said: list[str]) -> None:
    _keep(cache, "owner/data", "here/test-00000-of-00001.parquet")
    with pytest.raises(
        DatasetError, match=r"owner/data: no files for split 'test' of configuration 'there'; .*other p"
    ):
        locate("data", ["owner/data"], ["there"], "test", said.append)


def test_part_of_a_numbered_set_is_told_apart(cache: Path, said: list[str]) -> None:
    _keep(cache, "owner/data", "data/test-00001-of-00003.parquet")
    with pytest.raises(DatasetError, match=r"2 of 3 files are missing, the first is data/test-00000-of-00003; either"):
        locate("data", ["owner/data"], ["default"], "test", said.append)


def test_second_address_is_tried_if_the_first_is_not_in_the_cache(cache: Path, said: list[str]) -> None:
    _keep(cache, "old/data", "part/test-00000-of-00001.parquet")
    repository, _ = locate("data", ["new/data", "old/data"], ["part"], "test", said.append)
    assert repository.place == "old/data"


def test_second_address_is_tried_if_the_first_is_gone_from_the_hub(hub: FakeHub, said: list[str]) -> None:
    _touch(hub.folder("old/data"), "part/test-00000-of-00001.parquet")
    repository, _ = locate("data", ["new/data", "old/data"], ["part"], "test", said.append)
    assert repository.facts == {"source": "old/data", "revision": COMMIT}
    with pytest.raises(DatasetError, match="there is no new/data on the Hub"):
        locate("data", ["new/data"], ["part"], "test", said.append)


def test_old_address_leads_to_where_the_repository_has_moved(hub: FakeHub, said: list[str]) -> None:
    _touch(hub.folder("new/data"), "part/test-00000-of-00001.parquet")
    hub.moved["old/data"] = "new/data"
    repository, found = locate("data", ["old/data"], ["part"], "test", said.append)
    assert [path.name for path in repository.local(found.files)] == ["test-00000-of-00001.parquet"]


def test_card_of_the_repository_names_its_files(hub: FakeHub, said: list[str]) -> None:
    _touch(hub.folder("owner/data"), "somewhere/questions.parquet", "part/test-00000-of-00001.parquet")
    (hub.folder("owner/data") / "README.md").write_text(CARD)
    _, found = locate("data", ["owner/data"], ["part"], "test", said.append)
    assert found.files == ("somewhere/questions.parquet",)


def test_card_of_a_clone_names_its_files(tmp_path: Path) -> None:
    _touch(tmp_path, "somewhere/questions.parquet", "part/test-00000-of-00001.parquet")
    (tmp_path / "README.md").write_text(CARD)
    _, found = within(tmp_path, "here", ["part"], "test", "")
    assert found.files == ("somewhere/questions.parquet",)


def test_card_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    _touch(tmp_path, "test.parquet")
    (tmp_path / "README.md").write_text("---\nconfigs: [\n---\n")
    with pytest.raises(DatasetError, match=r"README\.md: cannot read the card"):
        within(tmp_path, "here", ["default"], "test", "")


def test_terms_that_are_not_accepted_are_said(hub: FakeHub, said: list[str]) -> None:
    _touch(hub.folder("owner/data"), "data/test-00000-of-00001.parquet")
    hub.gated.add("owner/data")
    repository, found = locate("data", ["owner/data"], ["default"], "test", said.append)
    with pytest.raises(DatasetError, match=r"accepted its terms at https://huggingface\.co/datasets/owner/data; do so"):
        repository.local(found.files)


def test_download_that_breaks_off_goes_on_where_it_was(
    hub: FakeHub, tmp_path: Path, publish_mmmu: Publish, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MmmuPro, "size", 40)
    monkeypatch.setattr("time.sleep", lambda _: None)  # the client's patience before it tries again
    folder = hub.folder("MMMU/MMMU_Pro") / "standard (4 options)"
    for part in range(2):
        publish_mmmu(folder / f"test-0000{part}-of-00002.parquet", [mmmu_row(20 * part + n) for n in range(20)])
    files = sorted(folder.iterdir())
    hub.broken_after = files[0].stat().st_size + 100
    with pytest.raises(DatasetError, match=r"was cut off \(\w+: .*\); run the same command again to go on"):
        MmmuPro().fetch(tmp_path, None, said.append)
    hub.forget()
    MmmuPro().fetch(tmp_path, None, said.append)
    assert hub.n_bytes <= max(file.stat().st_size for file in files)
    assert len(MmmuPro().load(tmp_path)) == 40


def test_a_part_of_what_is_in_the_cache_needs_no_network(
    hub: FakeHub, tmp_path: Path, publish_mmmu: Publish, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MmmuPro, "size", 9)
    folder = hub.folder("MMMU/MMMU_Pro") / "standard (4 options)"
    publish_mmmu(folder / "test-00000-of-00001.parquet", [mmmu_row(n) for n in range(9)])
    MmmuPro().fetch(tmp_path / "all", None, said.append)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    MmmuPro().fetch(tmp_path / "part", None, said.append, Draw(4, 1))
    assert MmmuPro().state(tmp_path / "part") == "fetched, 4 of 9 samples, 0 MB"
