"""MMMU-Pro: 1,730 multiple-choice questions from college subjects, in its three configurations.

Prompts are worded as in lmms-eval's task, with the official post-prompt; `<image k>` stays in the text, and the images
stand before it in the order in which question and options mention them. https://huggingface.co/datasets/MMMU/MMMU_Pro
"""

# ruff: noqa: ARG002  # signatures are the contract's, whether or not an implementation needs all of it

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, cast

from pytest_vtc.datasets.base import DatasetError, Progress
from pytest_vtc.datasets.fetched import FetchedDataset, check_source, counted
from pytest_vtc.datasets.hub import NotInRepositoryError, download, rows
from pytest_vtc.datasets.originals import image_bytes, write_original

REPOSITORIES = ("MMMU/MMMU_Pro",)
SIZE = 1_730
POST_PROMPT = "Answer with the option letter from the given choices directly."
MAX_OPTIONS = 12
_LETTERS = "ABCDEFGHIJKL"
_IMAGE_COLUMNS = tuple(f"image_{k}" for k in range(1, 8))
_MENTION = re.compile(r"<image (\d+)>")


class MmmuPro(FetchedDataset):
    """The standard configuration with four options, which the seed project vtbench reports on."""

    name: ClassVar[str] = "mmmu_pro"
    description: ClassVar[str] = "MMMU-Pro, standard, 4 options: college subjects, multiple choice"
    licence: ClassVar[str] = "Apache-2.0"
    scoring: ClassVar[str] = "mmmu_pro_official"
    max_new_tokens: ClassVar[int] = 256
    about_mb: ClassVar[int] = 678
    folders: ClassVar[tuple[str, ...]] = ("standard (4 options)",)
    """Where the configuration's files lie in the repository; later names are those of older revisions."""
    columns: ClassVar[tuple[str, ...]] = ("id", "question", "options", "answer", "subject", *_IMAGE_COLUMNS)

    def fetch(self, home: Path, source: Path | None, progress: Progress) -> Path:
        self.announce(progress, source)
        files, facts = self._from_hub(progress) if source is None else self._from_folder(source)
        images = self.images_folder(home)
        written: list[dict[str, Any]] = []
        n_bytes = 0
        for number, row in enumerate(counted(rows(files, self.columns), SIZE, "question"), 1):
            where = f"{self.name}, row {number} ({row['id']})"
            paths = [write_original(images, f"{row['id']}_{k}", data, where) for k, data in self.images_of(row, where)]
            n_bytes += sum(path.stat().st_size for path in paths)
            written.append(self._manifest_row(row, [f"images/{path.name}" for path in paths], where))
        ids = [row["id"] for row in written]
        if len(set(ids)) < len(ids):
            raise DatasetError(f"{self.name}: {len(ids) - len(set(ids))} rows have an id that another has")
        if source is None and len(written) != SIZE:
            raise DatasetError(
                f"{self.name}: {len(written):,} questions came from the Hub where {SIZE:,} were expected; if the "
                "download was cut off, run the same command again"
            )
        path = self.write(home, written, **facts, samples=len(written), image_bytes=n_bytes)
        progress(f"{self.name}: {len(written):,} questions, {n_bytes / 1e6:,.0f} MB of images in {path.parent}")
        return path

    def _from_hub(self, progress: Progress) -> tuple[list[Path], dict[str, Any]]:
        absent: list[NotInRepositoryError] = []
        for folder in self.folders:
            try:
                found = download(self.name, REPOSITORIES, [folder], progress)
            except NotInRepositoryError as error:
                absent.append(error)
                continue
            files = sorted((found.folder / folder).glob("*.parquet"))
            return files, {"source": found.repository, "config": folder, "revision": found.revision}
        raise absent[0]

    def _from_folder(self, source: Path) -> tuple[list[Path], dict[str, Any]]:
        check_source(source)
        for folder in (*(source / name for name in self.folders), source):
            if files := sorted(folder.glob("*.parquet")):
                return files, {"source": str(source.resolve())}
        raise DatasetError(
            f"--source {source}: no *.parquet files in it or in a folder {self.folders[0]!r} of it; expected the files "
            f"of https://huggingface.co/datasets/{REPOSITORIES[0]}/tree/main"
        )

    def prompt(self, row: Mapping[str, Any], options: Sequence[str]) -> str:
        lines = "\n".join(f"{letter}. {option}" for letter, option in zip(_LETTERS, options, strict=False))
        return f"{row['question']}\n{lines}\n\n{POST_PROMPT}"

    def images_of(self, row: Mapping[str, Any], where: str) -> Iterator[tuple[int, bytes]]:
        """The row's images with their numbers: as question and options mention them, then those never mentioned."""
        text = "\n".join([str(row["question"]), *_options(row, where)])
        mentioned = dict.fromkeys(int(k) for k in _MENTION.findall(text))
        found = {k: data for k in range(1, len(_IMAGE_COLUMNS) + 1) if (data := image_bytes(row[f"image_{k}"]))}
        if absent := [k for k in mentioned if k not in found]:
            raise DatasetError(f"{where}: the text mentions <image {absent[0]}>, but image_{absent[0]} is null")
        if not found:
            raise DatasetError(f"{where}: it has no image")
        return ((k, found[k]) for k in dict.fromkeys([*mentioned, *found]))

    def _manifest_row(self, row: Mapping[str, Any], images: list[str], where: str) -> dict[str, Any]:
        options, answer = _options(row, where), str(row["answer"]).strip()
        if len(answer) != 1 or answer not in _LETTERS:
            raise DatasetError(f"{where}: the answer is {answer!r}, not a letter from A to {_LETTERS[-1]}")
        return {
            "id": str(row["id"]),
            "images": images,
            "prompt": self.prompt(row, options),
            "answer": answer,
            "options": options,
            "category": str(row["subject"] or ""),
        }


class MmmuPro10(MmmuPro):
    """The standard configuration with up to ten options (twelve in fact), which the leaderboard reports on."""

    name: ClassVar[str] = "mmmu_pro_10"
    description: ClassVar[str] = "MMMU-Pro, standard, 10 options: as mmmu_pro, guessing pays less"
    folders: ClassVar[tuple[str, ...]] = ("standard (10 options)", "standard")


class MmmuProVision(MmmuPro):
    """The vision configuration: question and options are part of the picture."""

    name: ClassVar[str] = "mmmu_pro_vision"
    description: ClassVar[str] = "MMMU-Pro, vision: the question itself stands in the picture"
    about_mb: ClassVar[int] = 1_630
    folders: ClassVar[tuple[str, ...]] = ("vision",)
    columns: ClassVar[tuple[str, ...]] = ("id", "image", "options", "answer", "subject")

    def prompt(self, row: Mapping[str, Any], options: Sequence[str]) -> str:
        return POST_PROMPT

    def images_of(self, row: Mapping[str, Any], where: str) -> Iterator[tuple[int, bytes]]:
        data = image_bytes(row["image"])
        if data is None:
            raise DatasetError(f"{where}: it has no image")
        return iter([(1, data)])


def _options(row: Mapping[str, Any], where: str) -> list[str]:
    """The option texts. Published as the literal of a Python list, which JSON cannot read: quotes are single."""
    value = row["options"]
    try:
        options = ast.literal_eval(value) if isinstance(value, str) else value
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise DatasetError(f"{where}: the options are no Python literal: {value!r}") from error
    if not isinstance(options, (list, tuple)) or not 1 <= len(cast("list[Any]", options)) <= MAX_OPTIONS:
        raise DatasetError(f"{where}: expected a list of 1 to {MAX_OPTIONS} options, found {value!r}")
    return [str(option) for option in cast("list[Any]", options)]
