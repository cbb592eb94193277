"""GQA, balanced: questions about real photographs, answered with a word or two.

From the Hub: test-dev, 12,578 questions on 398 images. From files as https://cs.stanford.edu/people/dorarad/gqa
publishes them: test-dev or validation (132,062 questions on 10,234 images), whichever the folder holds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

from pytest_vtc.datasets.base import DatasetError, Progress
from pytest_vtc.datasets.fetched import FetchedDataset, check_source, counted
from pytest_vtc.datasets.hub import download, rows
from pytest_vtc.datasets.originals import image_bytes, write_original

REPOSITORIES = ("lmms-lab-encoder/GQA", "lmms-lab/GQA")
"""The first is the new owner's copy, the second the address it had before."""

SIZE, N_IMAGES = 12_578, 398
POST_PROMPT = "Answer the question using a single word or phrase."
_QUESTIONS, _IMAGES = "testdev_balanced_instructions", "testdev_balanced_images"
_PUBLISHED = ("testdev_balanced_questions.json", "val_balanced_questions.json")


@dataclass(frozen=True)
class _Question:
    """One question of either form: the Hub's rows and the published file have the same keys."""

    id: str
    image_id: str
    text: str
    answer: str
    category: str

    @classmethod
    def read(cls, question_id: str, row: Mapping[str, Any]) -> _Question:
        """Raises KeyError for a key that is not there."""
        types = cast("Mapping[str, Any]", row.get("types") or {})
        kinds = [str(types[key]) for key in ("semantic", "structural") if types.get(key)]
        return cls(question_id, str(row["imageId"]), str(row["question"]), str(row["answer"]), "/".join(kinds))

    def manifest_row(self, image: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "image": image,
            "prompt": f"{self.text}\n{POST_PROMPT}",
            "answer": self.answer,
            "category": self.category,
            "group": self.image_id,
        }


class Gqa(FetchedDataset):
    """Hudson and Manning, "GQA: A New Dataset for Real-World Visual Reasoning", CVPR 2019."""

    name: ClassVar[str] = "gqa"
    description: ClassVar[str] = "GQA, balanced: photographs, answers of a word or two"
    licence: ClassVar[str] = "CC BY 4.0 (questions); Visual Genome and COCO terms (images)"
    scoring: ClassVar[str] = "gqa_official"
    max_new_tokens: ClassVar[int] = 16
    about_mb: ClassVar[int] = 68

    def fetch(self, home: Path, source: Path | None, progress: Progress) -> Path:
        self.announce(progress, source)
        if source is None:
            found = download(self.name, REPOSITORIES, [_QUESTIONS, _IMAGES], progress)
            facts = {"source": found.repository, "revision": found.revision, "split": "testdev"}
            return self._from_parquet(home, found.folder, facts, progress, expected=SIZE)
        check_source(source)
        if (source / _QUESTIONS).is_dir():
            facts = {"source": str(source.resolve()), "split": "testdev"}
            return self._from_parquet(home, source, facts, progress, expected=None)
        return self._from_published(home, source, progress)

    def _from_parquet(
        self, home: Path, folder: Path, facts: dict[str, Any], progress: Progress, expected: int | None
    ) -> Path:
        images: dict[str, Path] = {}
        cells = rows(_parquet(folder / _IMAGES), ["id", "image"])
        for row in counted(cells, N_IMAGES, "image"):
            image_id, where = str(row["id"]), f"{self.name}, image {row['id']}"
            if (data := image_bytes(row["image"])) is None:
                raise DatasetError(f"{where}: it is null")
            images[image_id] = write_original(self.images_folder(home), image_id, data, where)
        questions = [
            _Question.read(str(row["id"]), row)
            for row in rows(_parquet(folder / _QUESTIONS), ["id", "imageId", "question", "answer", "types"])
        ]
        if absent := sorted({q.image_id for q in questions} - images.keys()):
            raise DatasetError(f"{folder / _IMAGES}: {_count_missing(absent)}")
        if expected is not None and len(questions) != expected:
            raise DatasetError(
                f"{self.name}: {len(questions):,} questions came from the Hub where {expected:,} were expected; if the "
                "download was cut off, run the same command again"
            )
        names = {image_id: f"images/{path.name}" for image_id, path in images.items()}
        n_bytes = sum(path.stat().st_size for path in images.values())
        return self._write(home, questions, names, n_bytes, facts, progress)

    def _from_published(self, home: Path, source: Path, progress: Progress) -> Path:
        found = [source / name for name in _PUBLISHED if (source / name).is_file()]
        if not found:
            raise DatasetError(
                f"--source {source}: neither {_PUBLISHED[0]} nor {_PUBLISHED[1]} is in it; expected that file and a "
                "folder images/ with the *.jpg, as https://cs.stanford.edu/people/dorarad/gqa/download.html has them"
            )
        questions = _read_published(found[0])
        folder = source.resolve() / "images"
        paths = {image_id: folder / f"{image_id}.jpg" for image_id in dict.fromkeys(q.image_id for q in questions)}
        progress(f"{found[0].name}: {len(questions):,} questions; looking for {len(paths):,} images in {folder}")
        sizes = {path.stem: path.stat().st_size for path in folder.glob("*.jpg")} if folder.is_dir() else {}
        if absent := sorted(paths.keys() - sizes.keys()):
            raise DatasetError(f"{folder}: {_count_missing(absent)}")
        facts = {"source": str(source.resolve()), "split": found[0].name.partition("_")[0]}
        n_bytes = sum(sizes[image_id] for image_id in paths)
        return self._write(home, questions, {k: str(path) for k, path in paths.items()}, n_bytes, facts, progress)

    def _write(
        self,
        home: Path,
        questions: list[_Question],
        images: Mapping[str, str],
        n_bytes: int,
        facts: Mapping[str, Any],
        progress: Progress,
    ) -> Path:
        manifest = (q.manifest_row(images[q.image_id]) for q in questions)
        path = self.write(home, manifest, **facts, samples=len(questions), image_bytes=n_bytes)
        progress(f"{self.name}: {len(questions):,} questions on {len(images):,} images, manifest {path}")
        return path


def _parquet(folder: Path) -> list[Path]:
    if files := sorted(folder.glob("*.parquet")):
        return files
    raise DatasetError(f"{folder}: no *.parquet files in it")


def _read_published(path: Path) -> list[_Question]:
    try:
        published = json.loads(path.read_bytes())
    except json.JSONDecodeError as error:
        raise DatasetError(f"{path}:{error.lineno}: broken JSON: {error.msg}; was its download cut off?") from error
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: cannot read the questions ({error})") from error
    if not isinstance(published, dict) or not published:
        raise DatasetError(f"{path}: expected an object of questions by their id")
    questions: list[_Question] = []
    for question_id, row in cast("dict[str, Any]", published).items():
        try:
            questions.append(_Question.read(question_id, row))
        except KeyError as error:
            raise DatasetError(f"{path}: question {question_id} has no {error}") from error
        except (TypeError, AttributeError) as error:
            raise DatasetError(f"{path}: question {question_id} is not an object: {row!r}") from error
    return questions


def _count_missing(image_ids: Sequence[str]) -> str:
    more = ", ..." if len(image_ids) > 3 else ""
    return f"{len(image_ids):,} of the images are missing: {', '.join(image_ids[:3])}{more}"
