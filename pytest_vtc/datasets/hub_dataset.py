"""Datasets of the Hub whose rows are questions: each has a file that reads its rows; here they become a manifest."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from pytest_vtc.datasets.base import DatasetError, Draw, Progress
from pytest_vtc.datasets.fetched import FetchedDataset, counted, drawn_fact
from pytest_vtc.datasets.hub import Repository, locate, within
from pytest_vtc.datasets.kept_images import KeptImages
from pytest_vtc.datasets.originals import image_bytes
from pytest_vtc.datasets.table_files import Found
from pytest_vtc.datasets.tables import Table
from pytest_vtc.scoring.base import NO_FACTS

Row = Mapping[str, Any]

NEARLY_ALL = 0.8
"""Share of a table from which on it is fetched as a whole."""


@dataclass(frozen=True)
class Question:
    """What one row of a table asks.

    id: unique in the table; "" for the row's number. prompts: by style, that of the dataset's `prompt_style` among
    them. answers: every accepted one.
    group: what may be drawn together only, such as the rotations of one question; None for all questions on one image.
    Whoever can tell the image from a column should name it here: where the group is None, a part that is fetched is
    drawn row by row, since nobody knows yet which rows share an image.
    """

    id: str
    prompts: Mapping[str, str]
    answers: Sequence[str]
    options: Sequence[str] = ()
    category: str = ""
    group: str | None = None
    facts: Mapping[str, str] = field(default_factory=lambda: NO_FACTS)

    def manifest_row(self, images: Sequence[str], prompt_style: str) -> dict[str, Any]:
        """As a line of a manifest. images: paths relative to it. prompt_style: whose wording is `prompt`."""
        prompts = dict(self.prompts)
        return {
            "id": self.id,
            "images": list(images),
            "prompt": prompts.pop(prompt_style),
            **({"prompts": prompts} if prompts else {}),
            **({"answer": list(self.answers)} if self.answers else {}),
            **({"options": list(self.options)} if self.options else {}),
            **({"category": self.category} if self.category else {}),
            **({"group": self.group} if self.group is not None else {}),
            **({"facts": dict(self.facts)} if self.facts else {}),
        }


@dataclass(frozen=True)
class Opened:
    """A table, and where it was found."""

    repository: Repository
    found: Found
    table: Table


class HubDataset(FetchedDataset):
    """One table on the Hub, a question a row.

    repositories: candidate ids, the one that is kept up first. configs: names of the configuration, later ones those of
    older revisions; "default" for a repository without. split: the one that has answers. size, n_groups: questions and
    groups in it, if known; a copy from the Hub with others is refused.
    columns, image_columns: what is read; images stay as they are published.
    sparse: most of its rows are no part of the benchmark (`question` gives None), so that files are read in part.
    """

    repositories: ClassVar[tuple[str, ...]]
    configs: ClassVar[tuple[str, ...]] = ("default",)
    split: ClassVar[str]
    columns: ClassVar[tuple[str, ...]]
    image_columns: ClassVar[tuple[str, ...]] = ("image",)
    size: ClassVar[int | None] = None
    n_groups: ClassVar[int | None] = None
    sparse: ClassVar[bool] = False
    asked: ClassVar[Mapping[str, str]] = NO_FACTS
    """Columns by role, as far as a person said: of tables of their own."""

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

    def reads(self, opened: Opened, progress: Progress) -> tuple[Sequence[str], Sequence[str]]:  # noqa: ARG002
        """The columns that are read for questions, and for images. Raises DatasetError if one is not there."""
        opened.table.check([*self.columns, *self.image_columns])
        return self.columns, self.image_columns

    def facts(self) -> dict[str, Any]:
        """What else the manifest's header is to say, once the table is opened."""
        return {}

    def _bring(self, home: Path, source: Path | None, progress: Progress, draw: Draw | None) -> Path:
        repository, found = self._find(source, progress)
        table = repository.table(found, whole=draw is None and not self.sparse)
        opened = Opened(repository, found, table)
        columns, image_columns = self.reads(opened, progress)
        facts: dict[str, Any] = {**repository.facts, "config": found.config, "split": found.split}
        if self.asked:
            facts["asked"] = ",".join(f"{role}={names}" for role, names in self.asked.items())
        places: list[int] | None = None
        drawn: dict[str, Any] = {}
        if draw is not None or self.sparse:
            places, groups = self._survey(table, columns, source, progress)
            if draw is not None:
                of, places = len(places), [places[place] for place in self.chosen(groups, draw)]
                drawn = drawn_fact(draw, len(places), of)
                progress(f"{self.name}: {len(places):,} of {of:,} questions are drawn")
        with KeptImages(self.folder(home), facts) as images:
            written = self._write_images(opened, columns, image_columns, places, images, progress)
            if places is None:
                named = {place: str(row["id"]) for place, row in written.items()}
                self._check(named, [row.get("group") for row in written.values()], source, progress)
            facts |= {**self.facts(), **drawn, "samples": len(written), "image_bytes": images.n_bytes}
            path = self.write(home, written.values(), **facts)
        images.finished()
        progress(
            f"{self.name}: {len(written):,} questions, {images.n_bytes / 1e6:,.0f} MB of images in {self.folder(home)}"
        )
        return path

    def _find(self, source: Path | None, progress: Progress) -> tuple[Repository, Found]:
        if source is None:
            return locate(self.name, self.repositories, self.configs, self.split, progress)
        expected = f"the files of https://huggingface.co/datasets/{self.repositories[0]}/tree/main"
        return within(source, f"--source {source}", self.configs, self.split, expected)

    def _survey(
        self, table: Table, columns: Sequence[str], source: Path | None, progress: Progress
    ) -> tuple[list[int], list[str]]:
        """The places of all rows that are questions, and their groups: everything but images is read once."""
        ids: dict[int, str] = {}
        groups: list[str | None] = []
        for place, row in table.rows(columns):
            if (question := self._question(place, row)) is not None:
                ids[place] = question.id
                groups.append(question.group)
        self._check(ids, groups, source, progress)
        return list(ids), [group or key for group, key in zip(groups, ids.values(), strict=True)]

    def _write_images(
        self,
        opened: Opened,
        columns: Sequence[str],
        image_columns: Sequence[str],
        places: Sequence[int] | None,
        images: KeptImages,
        progress: Progress,
    ) -> dict[int, dict[str, Any]]:
        """The manifest's rows by their place in the table, in order; their images are written."""
        table = opened.table
        rows: dict[int, dict[str, Any]] = {}
        if places is not None and images.any_known:
            # First what an earlier fetch has left, without reading its images again.
            for place, row in table.rows(columns, places):
                if (question := self._question(place, row)) is None:
                    continue
                if (names := images.names(question.id)) is not None:
                    rows[place] = question.manifest_row(names, self.prompt_style)
        left = None if places is None else [place for place in places if place not in rows]
        total = self.size or 0 if left is None else len(left)
        if left is not None and (cost := table.cost([*columns, *image_columns], left)) is not None:
            read, everything = (n_bytes / 1e6 for n_bytes in cost)
            progress(f"{self.name}: reading {len(left):,} rows with images, {read:,.0f} MB of {everything:,.0f} MB")
            if read > NEARLY_ALL * everything:
                # Whole files then, which the Hub's client keeps: a larger part will need nothing more.
                table = opened.repository.table(opened.found, whole=True)
        for place, row in counted(table.rows([*columns, *image_columns], left), total, "row"):
            if (question := self._question(place, row)) is None:
                continue
            where = f"{self._where(place)} ({question.id})"
            names = [images.write(stem, data, where) for stem, data in self.pictures(row, question, where)]
            if not names:
                raise DatasetError(f"{where}: it has no image")
            images.done(question.id, names)
            rows[place] = question.manifest_row(names, self.prompt_style)
        return {place: rows[place] for place in sorted(rows)}

    def _question(self, place: int, row: Row) -> Question | None:
        question = self.question(row, self._where(place))
        return replace(question, id=str(place + 1)) if question is not None and not question.id else question

    def _where(self, place: int) -> str:
        return f"{self.name}, row {place + 1}"

    def _check(
        self, ids: Mapping[int, str], groups: Sequence[str | None], source: Path | None, progress: Progress
    ) -> None:
        """Raise DatasetError if ids, here by the row's place, repeat, or if there are not as many as are published."""
        firsts: dict[str, int] = {}
        repeats = [place for place, key in ids.items() if firsts.setdefault(key, place) != place]
        if repeats:
            key = ids[repeats[0]]
            more = len(repeats) - 1
            also = (
                f", and {more:,} more {'row has' if more == 1 else 'rows have'} an id that another has" if more else ""
            )
            other = f"; are the files in {source} those of another dataset?" if source is not None else ""
            raise DatasetError(
                f"{self.name}: rows {firsts[key] + 1:,} and {repeats[0] + 1:,} have the same id {key!r}{also}; ids "
                f"must be unique{other}"
            )
        n_groups = len({group for group in groups if group is not None})
        for what, there, expected in (("questions", len(ids), self.size), ("groups", n_groups, self.n_groups)):
            if expected is None or there == expected:
                continue
            if source is not None:
                progress(
                    f"{self.name}: --source has {there:,} {what}, of {expected:,} that are published: scores on it are "
                    "not to be compared with published ones"
                )
                return
            raise DatasetError(
                f"{self.name}: {there:,} {what} came from the Hub where {expected:,} were expected; if the "
                "download was cut off, run the same command again; if the repository has changed, --source DIR "
                "takes whatever a folder has"
            )
