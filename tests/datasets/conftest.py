"""Writes small files of exactly the schemas in which datasets are published, and serves them as the Hub would."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_hub import FakeHub, served
from made_up_shapes import Shapes, put, rows
from published_rows import FetchRows, Publish, Rows

from pytest_vtc.datasets import registry
from pytest_vtc.datasets.base import Sample
from pytest_vtc.datasets.hub_dataset import HubDataset


def _write(path: Path, rows: Rows, features: Any) -> None:
    """Write rows as a parquet file of the types that `features` states."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=features.arrow_schema), path)


@pytest.fixture
def publish() -> Callable[[Path, Rows, Any], None]:
    """Writes rows as one parquet file with the published `datasets.Features`: `publish(path, rows, features)`."""
    return _write


@pytest.fixture
def fetch_rows(tmp_path: Path, publish: Callable[[Path, Rows, Any], None], said: list[str]) -> FetchRows:
    """Publishes rows as the one parquet file of a dataset's split, fetches them, and gives back the samples."""

    def fetch(dataset: HubDataset, rows: Rows, features: Any, style: str | None = None) -> list[Sample]:
        folder = "data" if dataset.configs[0] == "default" else dataset.configs[0]
        publish(tmp_path / "source" / folder / f"{dataset.split}-00000-of-00001.parquet", rows, features)
        dataset.fetch(tmp_path / "home", tmp_path / "source", said.append)
        return list(dataset.load(tmp_path / "home", style))

    return fetch


@pytest.fixture
def publish_mmmu() -> Publish:
    """Writes rows as a parquet file of a standard configuration, or of `vision` if they have its columns."""
    from datasets import Features, Image, Value

    text = Value("string")
    images = {f"image_{k}": Image() for k in range(1, 8)}
    standard = Features(
        id=text, question=text, options=text, explanation=text, **images, img_type=text, answer=text,
        topic_difficulty=text, subject=text,
    )  # fmt: skip
    vision = Features(id=text, image=Image(), options=text, answer=text, subject=text)
    return lambda path, rows: _write(path, rows, vision if "image" in rows[0] else standard)


@pytest.fixture
def publish_gqa() -> Callable[[Path, Rows, Rows], None]:
    """Writes questions and images as the parquet files of the Hub's copy, in their two folders."""
    from datasets import Features, Image, List, Value

    text = Value("string")
    questions = Features(
        id=text, imageId=text, question=text, answer=text, fullAnswer=text, isBalanced=Value("bool"),
        groups={"global": text, "local": text}, entailed=text, equivalent=text,
        types={"structural": text, "semantic": text, "detailed": text},
        annotations={"question": List({"objectId": text, "value": text})},
        semantic=List({"operation": text, "argument": text, "dependencies": List(Value("int32"))}), semanticStr=text,
    )  # fmt: skip

    def publish(folder: Path, question_rows: Rows, image_rows: Rows) -> None:
        _write(folder / "testdev_balanced_instructions" / "testdev-00000-of-00001.parquet", question_rows, questions)
        images = Features(id=text, image=Image())
        _write(folder / "testdev_balanced_images" / "testdev-00000-of-00001.parquet", image_rows, images)

    return publish


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A Hub on this machine, without any repository yet; the client keeps what it fetches under tmp_path."""
    with served(tmp_path / "hub", monkeypatch, tmp_path / "cache") as hub:
        yield hub


@pytest.fixture
def said() -> list[str]:
    """Lines of progress; hand over its `append`."""
    return []


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The made-up table in a folder."""
    return put(tmp_path / "source", rows())


@pytest.fixture
def on_hub(hub: FakeHub) -> FakeHub:
    """The made-up table on the Hub."""
    put(hub.folder("owner/shapes") / "data", rows())
    return hub


@pytest.fixture
def shapes_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """The made-up table is the only dataset that has a name."""
    monkeypatch.setattr(registry, "known_datasets", lambda: {"shapes": Shapes()})
