"""Brings a dataset's parquet files from the Hugging Face Hub, and reads their rows without decoding any image."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_vtc.datasets.base import DatasetError, Progress


class NotInRepositoryError(DatasetError):
    """The repository, as far as this machine can see it, does not have the files that were asked for."""


@dataclass(frozen=True)
class HubFiles:
    """A local copy of some folders of one dataset repository. revision: the commit they are of."""

    repository: str
    revision: str
    folder: Path


def download(name: str, repositories: Sequence[str], folders: Sequence[str], progress: Progress) -> HubFiles:
    """Download the parquet files in `folders` of the first of `repositories` that there is.

    The Hub's own cache keeps whole files and parts of files, so a download that was cut off goes on where it stopped,
    and files that are there already are used without a network. `name` is the dataset as a person asks for it.
    Raises DatasetError saying what to do where there is no network; NotInRepositoryError if a folder has no files.
    """
    from huggingface_hub import snapshot_download  # slow to import: only when something is fetched
    from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError

    failures: list[str] = []
    for repository in repositories:
        progress(f"{name}: downloading {', '.join(folders)} of {repository}")
        by_hand = _by_hand(name, repository, folders)
        try:
            patterns = [f"{folder}/*.parquet" for folder in folders]
            snapshot = Path(snapshot_download(repository, repo_type="dataset", allow_patterns=patterns))
        except RepositoryNotFoundError:
            failures.append(f"{name}: there is no {repository} on the Hub (any more); {by_hand}")
        except LocalEntryNotFoundError as error:
            failures.append(f"{name}: cannot download {repository}: {_unreachable(error)}, or {by_hand}")
        except Exception as error:
            # The network is an edge: which exceptions its layers raise differs between versions of the client.
            why = f"{type(error).__name__}: {_first_line(error)}"
            raise DatasetError(
                f"{name}: the download of {repository} was cut off ({why}); run the same command again to go on, or "
                f"{by_hand}"
            ) from error
        else:
            if empty := [folder for folder in folders if not any((snapshot / folder).glob("*.parquet"))]:
                raise NotInRepositoryError(
                    f"{name}: no parquet files in {', '.join(empty)} of {repository}: either this machine is offline "
                    f"and has only other parts of it, or it has been rearranged; {by_hand}"
                )
            return HubFiles(repository, snapshot.name, snapshot)
    raise DatasetError(failures[0])


def rows(files: Sequence[Path], columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The rows of parquet files in order, with `columns` alone; an image is {"bytes", "path"} as it was published.

    Raises DatasetError if a file cannot be read or a column is not there.
    """
    import datasets  # slow to import: only when something is fetched

    try:
        # Without a folder of its own the library would leave lock files in the user's cache.
        with tempfile.TemporaryDirectory() as cache:
            data = datasets.load_dataset(
                "parquet",
                data_files={"all": [str(file) for file in files]},
                split="all",
                streaming=True,
                cache_dir=cache,
            )
            have = list(data.features or {})
            if missing := [column for column in columns if column not in have]:
                raise DatasetError(
                    f"{files[0]}: no column {', '.join(missing)} (it has {', '.join(have)}); is it another dataset?"
                )
            yield from data.select_columns(list(columns)).decode(False)
    except (OSError, ValueError) as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(
            f"cannot read {', '.join(file.name for file in files)} in {files[0].parent}: {error}"
        ) from error


def _unreachable(error: Exception) -> str:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set, and the Hub's cache on this machine does not hold the files; unset it"
    return f"there is no network, and the Hub's cache does not hold the files ({_first_line(error)}); connect"


def _first_line(error: Exception) -> str:
    return (str(error).strip() or "no message").splitlines()[0]


def _by_hand(name: str, repository: str, folders: Sequence[str]) -> str:
    wanted = " and ".join(f'"{folder}"' for folder in folders)
    return (
        f"bring {wanted} of https://huggingface.co/datasets/{repository}/tree/main to this machine and run: "
        f"python -m pytest_vtc fetch {name} --source DIR"
    )
