"""The figures of a dataset's own metric, below its accuracy: a row for each configuration, a column for each figure."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from pytest_vtc.manifest_fields import Manifest
from pytest_vtc.report.columns import Column, broken, chunks, tabulated, total_width
from pytest_vtc.report.figures import NOTHING, cut_groups, rounded
from pytest_vtc.report.rows import Row
from pytest_vtc.scoring.published import metric

_NAME = 24
_HEADING = 14


def published_table(manifest: Manifest, dataset: str, rows: Sequence[Row], width: int) -> list[str]:
    """Its heading, and the lines of the table, in as many parts as the width asks for; nothing if there is no metric.

    rows: of one model and dataset. Those without a figure are shown, as they are in the table of the accuracy.
    """
    name = manifest["datasets"][dataset]["published"]
    by_row = [{} if (own := row.figures.published) is None else {f.name: f for f in own.figures} for row in rows]
    if name is None or not any(by_row):
        return []
    published = metric(name)
    headings = [heading for heading in published.headings if any(heading in own for own in by_row)]
    places = published.decimals

    def column(heading: str) -> Column:
        figures = [own.get(heading) for own in by_row]
        values = [NOTHING if figure is None else rounded(figure.value, places) for figure in figures]
        differences = [
            "" if figure is None or figure.difference is None else rounded(figure.difference, places, signed=True)
            for figure in figures
        ]
        if pad := max(map(len, differences)):
            values = [
                f"{value} ({difference.rjust(pad)})" if difference else value + " " * (pad + 3)
                for value, difference in zip(values, differences, strict=True)
            ]
        return Column(broken(heading, _HEADING), values)

    columns = [column(heading) for heading in headings]
    if any(row.figures.n_missing for row in rows):
        columns.append(Column("Missing", [f"{row.figures.n_missing:,}" for row in rows]))
    fixed = [
        Column("Compressor", [broken(row.name, _NAME) for row in rows]),
        Column("Ratio", ["1" if row.ratio is None else f"{row.ratio:g}" for row in rows]),
    ]
    cut = [(row.full_name, own.n_cut) for row in rows if (own := row.figures.published) is not None and own.n_cut]
    note = textwrap.wrap(cut_groups(cut, manifest["datasets"][dataset]["whole_groups"]), width) if cut else []
    return [
        f"Published metrics: {rows[0].figures.cell.model} on {dataset}, by {published.description}",
        "",
        *(line for c in chunks(columns, width - total_width(fixed)) for line in (*tabulated([*fixed, *c]), "")),
        *([*note, ""] if note else []),
    ]
