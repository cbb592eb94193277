"""Datasets of the Hub whose rows are questions: each has a file that reads its rows; here they become a manifest."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from pytest_vtc.datasets.base import DatasetError, Progress
from pytest_vtc.datasets.fetched import FetchedDataset, check_source, counted
from pytest_vtc.datasets.hub import NotInRepositoryError, download, rows
from pytest_vtc.datasets.originals import image_bytes, write_original
from pytest_vtc.scoring.base import NO_FACTS

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Question:
    """What one row of a table asks.

    prompts: by style, that of the dataset's `prompt_style` among them. answers: every accepted one.
    group: what may be drawn together only, such as the rotations of one question; None for all questions on one image.
    """

    id: str
    prompts: Mapping[str, str]
    answers: Sequence[str]
    options: Sequence[str] = ()
    category: str = ""
    group: str | None = None
    facts: Mapping[str, str] = field(default_factory=lambda: NO_FACTS)


class HubDataset(FetchedDataset):
    """One table on the Hub, a question a row.

    repositories: candidate ids, the one that is kept up first. configs: names of the configuration, later ones those of
    older revisions; "default" for a repository without. split: the one that has answers. size: questions in it.
    columns, image_columns: what is read; images stay as they are published.
    """

    repositories: ClassVar[tuple[str, ...]]
    configs: ClassVar[tuple[str, ...]] = ("default",)
    split: ClassVar[str]
    columns: ClassVar[tuple[str, ...]]
    image_columns: ClassVar[tuple[str, ...]] = ("image",)
    size: ClassVar[int | None] = None

    @abstractmethod
    def question(self, row: Row, where: str) -> Question | None:
        """Read one row, which has `columns`; None for a row that is not part of the benchmark.

        Raises DatasetError beginning with `where`, which names the row, if something in it is not as published.
        """

    def pictures(self, row: Row, question: Question, where: str) -> Iterator[tuple[str | None, bytes]]:  # noqa: ARG002
        """The images of a row, which has `image_columns` too, in the order in which the model is to see them.

        Each with the name of its file (without ending), or None for one that follows its content, so that an image
        that several rows hold is kept once. All columns, lists of images among them; null ones are left out.
        """
        for column in self.image_columns:
            cell = row[column]
            for one in cell if isinstance(cell, list) else [cell]:
                if (data := image_bytes(one)) is not None:
                    yield None, data

    def fetch(self, home: Path, source: Path | None, progress: Progress) -> Path:
        self.announce(progress, source)
        files, facts = self._from_hub(progress) if source is None else self._from_folder(source)
        written: list[dict[str, Any]] = []
        sizes: dict[str, int] = {}
        for number, row in enumerate(counted(rows(files, [*self.columns, *self.image_columns]), self.size or 0, "row")):
            where = f"{self.name}, row {number + 1}"
            if (question := self.question(row, where)) is not None:
                where = f"{where} ({question.id})"
                written.append(self._manifest_row(home, row, question, where, sizes))
        self._check(written, source)
        path = self.write(home, written, **facts, samples=len(written), image_bytes=sum(sizes.values()))
        progress(
            f"{self.name}: {len(written):,} questions, {sum(sizes.values()) / 1e6:,.0f} MB of images in {path.parent}"
        )
        return path

    def _manifest_row(
        self, home: Path, row: Row, question: Question, where: str, sizes: dict[str, int]
    ) -> dict[str, Any]:
        names: list[str] = []
        for stem, data in self.pictures(row, question, where):
            stem = stem or hashlib.sha256(data).hexdigest()[:24]
            path = write_original(self.images_folder(home), stem, data, where)
            names.append(f"images/{path.name}")
            sizes[path.name] = len(data)
        if not names:
            raise DatasetError(f"{where}: it has no image")
        prompts = dict(question.prompts)
        return {
            "id": question.id,
            "images": names,
            "prompt": prompts.pop(self.prompt_style),
            **({"prompts": prompts} if prompts else {}),
            "answer": list(question.answers),
            **({"options": list(question.options)} if question.options else {}),
            **({"category": question.category} if question.category else {}),
            **({"group": question.group} if question.group is not None else {}),
            **({"facts": dict(question.facts)} if question.facts else {}),
        }

    def _check(self, written: Sequence[Mapping[str, Any]], source: Path | None) -> None:
        ids = [row["id"] for row in written]
        if len(set(ids)) < len(ids):
            raise DatasetError(f"{self.name}: {len(ids) - len(set(ids))} rows have an id that another has")
        if source is None and self.size is not None and len(written) != self.size:
            raise DatasetError(
                f"{self.name}: {len(written):,} questions came from the Hub where {self.size:,} were expected; if the "
                "download was cut off, run the same command again"
            )

    def folders(self) -> Iterable[str]:
        """Where the files of each of `configs` lie in the repository."""
        return ["data" if config == "default" else config for config in self.configs]

    def _from_hub(self, progress: Progress) -> tuple[list[Path], dict[str, Any]]:
        absent: list[NotInRepositoryError] = []
        for config, folder in zip(self.configs, self.folders(), strict=True):
            try:
                found = download(self.name, self.repositories, [folder], progress)
            except NotInRepositoryError as error:
                absent.append(error)
                continue
            files = sorted((found.folder / folder).glob(f"{self.split}*.parquet"))
            facts = {"config": config, "split": self.split, "revision": found.revision}
            return files, {"source": found.repository, **facts}
        raise absent[0]

    def _from_folder(self, source: Path) -> tuple[list[Path], dict[str, Any]]:
        check_source(source)
        for folder in (*(source / name for name in self.folders()), source):
            if files := sorted(folder.glob(f"{self.split}*.parquet")):
                return files, {"source": str(source.resolve()), "split": self.split}
        raise DatasetError(
            f"--source {source}: no {self.split}*.parquet in it or in a folder {next(iter(self.folders()))!r} of it; "
            f"expected the files of https://huggingface.co/datasets/{self.repositories[0]}/tree/main"
        )


def lettered(options: Sequence[str]) -> str:
    """The options of a multiple-choice question as lines: `A. first`, `B. second` and so on."""
    return "\n".join(f"{chr(ord('A') + place)}. {option}" for place, option in enumerate(options))
