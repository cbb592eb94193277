"""Downloading from the Hub: what is on the machine already is used, and what cannot be had is explained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_vtc.datasets.base import DatasetError
from pytest_vtc.datasets.gqa import Gqa
from pytest_vtc.datasets.hub import NotInRepositoryError, download
from pytest_vtc.datasets.mmmu_pro import MmmuPro

REVISION = "a" * 40


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the Hub's client, which is told to stay offline."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return tmp_path


def _keep(cache: Path, repository: str, file: str) -> None:
    """Put a file where the client keeps what it has downloaded."""
    folder = cache / f"datasets--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(REVISION)
    path = folder / "snapshots" / REVISION / file
    path.parent.mkdir(parents=True)
    path.touch()


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
    from huggingface_hub.errors import LocalEntryNotFoundError

    def unreachable(*_: Any, **__: Any) -> str:
        raise LocalEntryNotFoundError("Name or service not known\nand more")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.snapshot_download", unreachable)
    with pytest.raises(DatasetError, match=r"there is no network, .* \(Name or service not known\); connect, or bring"):
        Gqa().fetch(cache / "home", None, said.append)


def test_download_that_breaks_off_says_how_to_go_on(
    cache: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> str:
        raise TimeoutError("read timed out")

    monkeypatch.setattr("huggingface_hub.snapshot_download", broken)
    with pytest.raises(DatasetError, match=r"cut off \(TimeoutError: read timed out\); run the same command again"):
        Gqa().fetch(cache / "home", None, said.append)


def test_files_in_the_cache_need_no_network(cache: Path, said: list[str]) -> None:
    _keep(cache, "owner/data", "some (4) part/test-0.parquet")
    found = download("data", ["owner/data"], ["some (4) part"], said.append)
    assert (found.repository, found.revision) == ("owner/data", REVISION)
    assert (found.folder / "some (4) part" / "test-0.parquet").exists()


def test_folder_that_is_not_there_is_told_apart(cache: Path, said: list[str]) -> None:
    _keep(cache, "owner/data", "here/test-0.parquet")
    with pytest.raises(NotInRepositoryError, match="no parquet files in there of owner/data"):
        download("data", ["owner/data"], ["here", "there"], said.append)


def test_second_address_is_tried_if_the_first_is_not_in_the_cache(cache: Path, said: list[str]) -> None:
    _keep(cache, "old/data", "part/test-0.parquet")
    assert download("data", ["new/data", "old/data"], ["part"], said.append).repository == "old/data"


def test_second_address_is_tried_if_the_first_is_gone_from_the_hub(
    cache: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub.errors import RepositoryNotFoundError

    class GoneError(RepositoryNotFoundError):
        def __init__(self) -> None:
            """Without the response that the original wants."""

    def snapshot(repository: str, **_: Any) -> str:
        if repository == "new/data":
            raise GoneError
        return str(cache / REVISION)

    (cache / REVISION / "part").mkdir(parents=True)
    (cache / REVISION / "part" / "test-0.parquet").touch()
    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    assert download("data", ["new/data", "old/data"], ["part"], said.append).repository == "old/data"
    with pytest.raises(DatasetError, match="there is no new/data on the Hub"):
        download("data", ["new/data"], ["part"], said.append)
