"""GQA, balanced: questions about real photographs, answered with a word or two.

From the Hub: test-dev, 12,578 questions on 398 images, in two tables. From files as
https://cs.stanford.edu/people/dorarad/gqa publishes them: test-dev or validation (132,062 questions on 10,234 images),
whichever the folder holds. Styles: `lmms`, which LLaVA and VLMEvalKit word alike, and `vtbench`, as the seed project.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, cast

from pytest_vtc.datasets.base import DatasetError, Draw, Progress
from pytest_vtc.datasets.fetched import FetchedDataset, counted, drawn_fact
from pytest_vtc.datasets.hub import Repository, locate, within
from pytest_vtc.datasets.hub_dataset import Question
from pytest_vtc.datasets.kept_images import KeptImages
from pytest_vtc.datasets.originals import image_bytes
from pytest_vtc.datasets.table_files import NotInRepositoryError, find
from pytest_vtc.datasets.tables import Table

REPOSITORIES = ("lmms-lab-encoder/GQA", "lmms-lab/GQA")
"""The first is the new owner's copy, the second the address it had before."""

SIZE = 12_578
POST_PROMPT = "Answer the question using a single word or phrase."
VTBENCH_PROMPT = "Answer with a single word or short phrase."
_QUESTIONS, _IMAGES, _SPLIT = "testdev_balanced_instructions", "testdev_balanced_images", "testdev"
_PUBLISHED = ("testdev_balanced_questions.json", "val_balanced_questions.json")
_FIELDS = ("imageId", "question", "answer", "types")


class Gqa(FetchedDataset):
    """Hudson and Manning, "GQA: A New Dataset for Real-World Visual Reasoning", CVPR 2019."""

    name: ClassVar[str] = "gqa"
    description: ClassVar[str] = "GQA, balanced: photographs, answers of a word or two"
    licence: ClassVar[str] = "CC BY 4.0 (questions); Visual Genome and COCO terms (images)"
    scoring: ClassVar[str] = "gqa_official"
    scorings: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"official": "gqa_official", "lmms": "gqa_lmms", "vlmevalkit": "gqa_vlmevalkit"}
    )
    prompt_style: ClassVar[str] = "lmms"
    prompt_styles: ClassVar[tuple[str, ...]] = ("vtbench",)
    max_new_tokens: ClassVar[int] = 16
    about_mb: ClassVar[int] = 68

    def _bring(self, home: Path, source: Path | None, progress: Progress, draw: Draw | None) -> Path:
        if source is not None:
            for name in _PUBLISHED:
                if (source / name).is_file():
                    return self._from_published(home, source / name, progress, draw)
        return self._from_tables(home, source, progress, draw)

    def _from_tables(self, home: Path, source: Path | None, progress: Progress, draw: Draw | None) -> Path:
        if source is None:
            repository, found = locate(self.name, REPOSITORIES, [_QUESTIONS], _SPLIT, progress)
        else:
            expected = (
                f"{_PUBLISHED[0]} or {_PUBLISHED[1]} and a folder images/ with the *.jpg, as "
                "https://cs.stanford.edu/people/dorarad/gqa/download.html has them, or the files of "
                f"https://huggingface.co/datasets/{REPOSITORIES[0]}/tree/main"
            )
            repository, found = within(source, f"--source {source}", [_QUESTIONS], _SPLIT, expected)
        # The table of questions has two megabytes.
        table = repository.table(found, whole=True)
        columns = ["id", *_FIELDS]
        questions = [_question(str(row["id"]), row) for _, row in table.rows(columns)]
        if source is None and len(questions) != SIZE:
            raise DatasetError(
                f"{self.name}: {len(questions):,} questions came from the Hub where {SIZE:,} were expected; if the "
                "download was cut off, run the same command again"
            )
        taken, drawn = self._taken(questions, draw)
        facts = {**repository.facts, "config": found.config, "split": found.split}
        with KeptImages(self.folder(home), facts, key="group") as images:
            names = self._write_images(repository, _image_ids(taken), images, progress, whole=draw is None)
            path = self._write(home, taken, names, images.n_bytes, {**facts, **drawn}, progress)
        images.finished()
        return path

    def _write_images(
        self, repository: Repository, image_ids: Sequence[str], images: KeptImages, progress: Progress, whole: bool
    ) -> dict[str, str]:
        """The names of the images by their id; they are written, unless they are here already."""
        try:
            found = find(repository.files, repository.card(), [_IMAGES], _SPLIT)
        except NotInRepositoryError as error:
            raise DatasetError(f"{self.name}: {repository.place} has the questions, but {error}") from error
        table: Table = repository.table(found, whole)
        names = {image_id: kept[0] for image_id in image_ids if (kept := images.names(image_id))}
        wanted = set(image_ids) - names.keys()
        places = [place for place, row in table.rows(["id"]) if str(row["id"]) in wanted]
        columns = ["id", "image"]
        if not whole and (cost := table.cost(columns, places)) is not None:
            read, everything = (n_bytes / 1e6 for n_bytes in cost)
            progress(f"{self.name}: reading {len(places):,} images, {read:,.0f} MB of {everything:,.0f} MB")
        for _, row in counted(table.rows(columns, places), len(places), "image"):
            image_id, where = str(row["id"]), f"{self.name}, image {row['id']}"
            if (data := image_bytes(row["image"])) is None:
                raise DatasetError(f"{where}: it is null")
            names[image_id] = images.write(image_id, data, where)
            images.done(image_id, [names[image_id]])
        if absent := sorted(wanted - names.keys()):
            raise DatasetError(f"{table.label}: {_count_missing(absent)}")
        return names

    def _from_published(self, home: Path, file: Path, progress: Progress, draw: Draw | None) -> Path:
        taken, drawn = self._taken(_read_published(file), draw)
        folder = file.parent.resolve() / "images"
        image_ids = _image_ids(taken)
        progress(f"{file.name}: {len(taken):,} questions; looking for {len(image_ids):,} images in {folder}")
        sizes = {path.stem: path.stat().st_size for path in folder.glob("*.jpg")} if folder.is_dir() else {}
        if absent := sorted(set(image_ids) - sizes.keys()):
            raise DatasetError(f"{folder}: {_count_missing(absent)}")
        facts = {"source": str(file.parent.resolve()), "split": file.name.partition("_")[0], **drawn}
        names = {image_id: str(folder / f"{image_id}.jpg") for image_id in image_ids}
        return self._write(home, taken, names, sum(sizes[each] for each in image_ids), facts, progress)

    def _taken(self, questions: Sequence[Question], draw: Draw | None) -> tuple[Sequence[Question], dict[str, Any]]:
        """The questions of a draw, or all; and what the header says of it."""
        if draw is None:
            return questions, {}
        chosen = self.chosen([question.group or question.id for question in questions], draw)
        return [questions[place] for place in chosen], drawn_fact(draw, len(chosen), len(questions))

    def _write(
        self,
        home: Path,
        questions: Sequence[Question],
        images: Mapping[str, str],
        n_bytes: int,
        facts: Mapping[str, Any],
        progress: Progress,
    ) -> Path:
        rows = (question.manifest_row([images[str(question.group)]], self.prompt_style) for question in questions)
        path = self.write(home, rows, **facts, samples=len(questions), image_bytes=n_bytes)
        progress(f"{self.name}: {len(questions):,} questions on {len(images):,} images, manifest {path}")
        return path


def _question(question_id: str, row: Mapping[str, Any]) -> Question:
    """One question of either form: the Hub's rows and the published file have the same keys. Raises KeyError."""
    types = cast("Mapping[str, Any]", row.get("types") or {})
    kinds = [str(types[key]) for key in ("semantic", "structural") if types.get(key)]
    image_id, text = str(row["imageId"]), str(row["question"])
    return Question(
        id=question_id,
        prompts={"lmms": f"{text}\n{POST_PROMPT}", "vtbench": f"{text} {VTBENCH_PROMPT}"},
        answers=[str(row["answer"])],
        category="/".join(kinds),
        group=image_id,
    )


def _image_ids(questions: Sequence[Question]) -> list[str]:
    return list(dict.fromkeys(str(question.group) for question in questions))


def _read_published(path: Path) -> list[Question]:
    try:
        published = json.loads(path.read_bytes(), object_hook=_without_what_is_not_read)
    except json.JSONDecodeError as error:
        raise DatasetError(f"{path}:{error.lineno}: broken JSON: {error.msg}; was its download cut off?") from error
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: cannot read the questions ({error})") from error
    if not isinstance(published, dict) or not published:
        raise DatasetError(f"{path}: expected an object of questions by their id")
    questions: list[Question] = []
    for question_id, row in cast("dict[str, Any]", published).items():
        try:
            questions.append(_question(question_id, row))
        except KeyError as error:
            raise DatasetError(f"{path}: question {question_id} has no {error}") from error
        except (TypeError, AttributeError) as error:
            raise DatasetError(f"{path}: question {question_id} is not an object: {row!r}") from error
    return questions


def _without_what_is_not_read(fields: dict[str, Any]) -> dict[str, Any] | None:
    """Of each object of the published file, as it is read: its programs and annotations are nine tenths of it."""
    if "imageId" in fields:
        return {name: fields[name] for name in _FIELDS if name in fields}
    return None if "operation" in fields else fields


def _count_missing(image_ids: Sequence[str]) -> str:
    more = ", ..." if len(image_ids) > 3 else ""
    return f"{len(image_ids):,} of the images are missing: {', '.join(image_ids[:3])}{more}"
