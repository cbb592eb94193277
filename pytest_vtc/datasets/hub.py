"""Where tables come from: a folder on this machine, or the Hugging Face Hub, of which only what is needed is taken."""

from __future__ import annotations

import functools
import glob
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pytest_vtc.datasets.base import DatasetError, Progress
from pytest_vtc.datasets.table_files import SUFFIXES, Found, NotInRepositoryError, find
from pytest_vtc.datasets.tables import ParquetTable, Part, Table, local_table

CARD = "README.md"
_WORKERS = 8
"""Parts of files that are requested from the Hub at once."""


class Repository(ABC):
    """Files with a card that may say what they are.

    place: how a message names it. facts: what a manifest notes of it, `source` and maybe `revision`. files: their paths
    in it, with slashes.
    """

    place: str
    facts: Mapping[str, str]
    files: Sequence[str]

    @functools.cached_property
    def known(self) -> frozenset[str]:
        """The files, to look one up in."""
        return frozenset(self.files)

    @abstractmethod
    def local(self, files: Sequence[str]) -> list[Path]:
        """The files on this machine; downloads them if need be. Raises DatasetError."""

    def table(self, found: Found, whole: bool) -> Table:  # noqa: ARG002
        """The table in these files. whole: most of it will be read, so that they may as well be downloaded."""
        return local_table(self.local(found.files))

    def card(self) -> Mapping[str, Any]:
        """What the card says to machines; empty if there is none. Raises DatasetError if that cannot be read."""
        if CARD not in self.files:
            return {}
        from huggingface_hub import DatasetCard  # slow to import: only when something is fetched

        (path,) = self.local([CARD])
        try:
            return DatasetCard.load(path, ignore_metadata_errors=True).data.to_dict()
        except Exception as error:
            # YAML and dates written by people, read by a library that is not ours.
            raise DatasetError(f"{path}: cannot read the card ({_first_line(error)})") from error


class Folder(Repository):
    """A clone of a repository, or just some of its files."""

    def __init__(self, path: Path, facts: Mapping[str, str] | None = None) -> None:
        self.path = path
        self.facts = facts if facts is not None else {"source": str(path.resolve())}
        self.place = self.facts["source"]
        found: list[str] = []
        for folder, folders, names in os.walk(path):
            folders[:] = sorted(name for name in folders if not name.startswith((".", "__")))
            found += [Path(folder, name).relative_to(path).as_posix() for name in sorted(names)]
        self.files = found

    def local(self, files: Sequence[str]) -> list[Path]:
        return [self.path / file for file in files]


class HubRepository(Repository):
    """A dataset repository of the Hub at one commit. sizes: bytes of its files, as far as they are known."""

    def __init__(self, repository: str, revision: str, sizes: Mapping[str, int | None], blame: _Blame) -> None:
        self.place = repository
        self.facts = {"source": repository, "revision": revision}
        self.files = list(sizes)
        self._sizes, self._blame = sizes, blame

    def local(self, files: Sequence[str]) -> list[Path]:
        from huggingface_hub import hf_hub_download, snapshot_download

        try:
            # Not by commit: the client would not note which commit `main` is, and find nothing of it without a network.
            if len(files) == 1 and files[0] in self.files and not files[0].endswith(SUFFIXES):
                return [Path(hf_hub_download(self.place, files[0], repo_type="dataset"))]
            patterns = [glob.escape(file) for file in files]
            folder = Path(snapshot_download(self.place, repo_type="dataset", allow_patterns=patterns))
        except Exception as error:
            # The network is an edge: which exceptions its layers raise differs between versions of the client.
            raise self._blame(error) from error
        self.facts = {**self.facts, "revision": folder.name}
        return [folder / file for file in files]

    def table(self, found: Found, whole: bool) -> Table:
        if whole or not all(file.endswith(".parquet") for file in found.files):
            return super().table(found, whole)
        from huggingface_hub import HfFileSystem

        system = HfFileSystem()
        return ParquetTable([self._part(system, file) for file in found.files], _WORKERS)

    def _part(self, system: Any, file: str) -> Part:
        revision = self.facts["revision"]
        if (kept := _cached(self.place, file, revision)) is not None:
            return Part(str(kept), partial(str, kept), self._blame)
        # Parquet says itself which bytes it needs; a file that reads ahead would transfer many times as much.
        opened = partial(
            system.open,
            f"datasets/{self.place}@{revision}/{file}",
            "rb",
            cache_type="none",
            size=self._sizes[file],
        )
        return Part(f"{self.place}/{file}", opened, self._blame)


_Blame = Callable[[Exception], DatasetError]


def locate(
    name: str, repositories: Sequence[str], configs: Sequence[str], split: str | None, progress: Progress
) -> tuple[Repository, Found]:
    """The first of `repositories` that has the split, at the commit of today; or what this machine has kept of it.

    name: the dataset, as a person asks for it. Raises DatasetError saying what is missing and what to do.
    """
    failures: list[DatasetError] = []
    for address in repositories:
        by_hand = _by_hand(name, address, configs)
        try:
            repository = _connect(name, address, by_hand, progress)
            return repository, find(repository.files, repository.card(), configs, split)
        except NotInRepositoryError as error:
            failures.insert(0, DatasetError(_not_there(name, address, error, by_hand)))
        except _NotReachedError as error:
            failures.append(error)
    raise failures[0]


def within(folder: Path, called: str, configs: Sequence[str], split: str | None, expected: str) -> tuple[Folder, Found]:
    """The split in a folder on this machine. called: how the person named it. expected: what should have been there.

    Raises DatasetError.
    """
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise DatasetError(f"{called}: {what}; give the folder that holds the downloaded files")
    repository = Folder(folder)
    try:
        return repository, find(repository.files, repository.card(), configs, split)
    except NotInRepositoryError as error:
        raise DatasetError(f"{called}: {error}; expected {expected}") from error


class _NotReachedError(DatasetError):
    """A repository that cannot be had from here; another one may be."""


def _connect(name: str, address: str, by_hand: str, progress: Progress) -> Repository:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        about = HfApi().dataset_info(address, files_metadata=True)
    except GatedRepoError as error:
        raise _NotReachedError(_gated(name, address)) from error
    except RepositoryNotFoundError as error:
        raise _NotReachedError(f"{name}: there is no {address} on the Hub (any more); {by_hand}") from error
    except Exception as error:
        # As above: offline, no network, a proxy, the Hub's own failures.
        if (kept := _snapshot(address)) is None:
            raise _NotReachedError(f"{name}: cannot download {address}: {_unreachable(error)}, or {by_hand}") from error
        progress(f"{name}: no connection to the Hub; from what this machine has kept of {address}, {kept.name[:10]}")
        return Folder(kept, {"source": address, "revision": kept.name})
    sizes = {file.rfilename: file.size for file in about.siblings or ()}
    progress(f"{name}: {address} at {str(about.sha)[:10]}")
    return HubRepository(address, str(about.sha), sizes, partial(_cut_off, name, address, by_hand))


def _snapshot(address: str) -> Path | None:
    """What the Hub's client keeps of a repository here, which may be parts of it."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        # No patterns: none of the files is asked for, so that none can be missing.
        return Path(snapshot_download(address, repo_type="dataset", allow_patterns=[], local_files_only=True))
    except LocalEntryNotFoundError:
        return None


def _cached(address: str, file: str, revision: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    kept = try_to_load_from_cache(address, file, revision=revision, repo_type="dataset")
    return Path(kept) if isinstance(kept, str) else None


def _unreachable(error: Exception) -> str:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set, and the Hub's cache on this machine does not hold the files; unset it"
    return f"there is no network, and the Hub's cache does not hold the files ({_first_line(error)}); connect"


def _cut_off(name: str, address: str, by_hand: str, error: Exception) -> DatasetError:
    from huggingface_hub.errors import GatedRepoError

    if isinstance(error, GatedRepoError):
        return DatasetError(_gated(name, address))
    why = f"{type(error).__name__}: {_first_line(error)}"
    return DatasetError(
        f"{name}: the download of {address} was cut off ({why}); run the same command again to go on, or {by_hand}"
    )


def _gated(name: str, address: str) -> str:
    return (
        f"{name}: {address} is only for those who have accepted its terms at "
        f"https://huggingface.co/datasets/{address}; do so, and log in on this machine by `hf auth login`"
    )


def _not_there(name: str, address: str, error: NotInRepositoryError, by_hand: str) -> str:
    return (
        f"{name}: {address}: {error}; either this machine is offline and has only other parts of it, or it has been "
        f"rearranged; {by_hand}"
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or "no message").splitlines()[0]


def _by_hand(name: str, address: str, configs: Sequence[str]) -> str:
    parts = " or ".join(f'"{config}"' for config in configs if config != "default") or "the files"
    return (
        f"bring {parts} of https://huggingface.co/datasets/{address}/tree/main to this machine and run: "
        f"python -m pytest_vtc fetch {name} --source DIR"
    )
