"""Fetches datasets of the Hub from parquet files of their published schema, whose rows and images the tests make."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from published_rows import Rows

from pytest_vtc.datasets.base import Draw, Sample
from pytest_vtc.datasets.hub_dataset import HubDataset
from pytest_vtc.datasets.registry import open_samples


@dataclass(frozen=True)
class Table:
    """A dataset, and how its file on the Hub is typed and named. features: a `datasets.Features`."""

    dataset: HubDataset
    features: Any
    file: str

    def publish(self, source: Path, rows: Rows) -> None:
        """Write the file that holds the rows into a folder like the repository."""
        path = source / self.file
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows, schema=self.features.arrow_schema), path)

    def fetched(self, home: Path, rows: Rows, style: str | None = None, draw: Draw | None = None) -> list[Sample]:
        """The samples that the dataset makes of rows, or of a draw of them, its prompts in the style."""
        self.publish(home / "source", rows)
        self.dataset.fetch(home, home / "source", lambda _: None, draw)
        return list(self.dataset.load(home, style))


def contents(sample: Sample) -> list[bytes]:
    """What the files of its images hold."""
    return [Path(str(image)).read_bytes() for image in sample.images]


def cut_groups(name: str, home: Path, n: int) -> list[str]:
    """Groups of a fetched dataset of which a draw of `n` takes some samples and leaves others."""
    whole = Counter(sample.group for sample in open_samples(name, home, None, seed=0).samples)
    cut: set[str] = set()
    for seed in range(5):
        drawn = Counter(sample.group for sample in open_samples(name, home, n, seed).samples)
        assert 0 < sum(drawn.values()) <= n
        cut |= {group for group in drawn if drawn[group] != whole[group]}
    return sorted(cut)
