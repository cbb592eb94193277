"""The mean share of stock over the datasets of a model, with the shares that it is the mean of."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_vtc.report.columns import Column, broken, chunks, tabulated, total_width
from pytest_vtc.report.figures import percent, with_intervals
from pytest_vtc.report.rows import Row
from pytest_vtc.standings import MeanShare

_HEADING = 12  # longer names of datasets break
_NAME = 24


def share_table(shares: Sequence[MeanShare], rows: Sequence[Row], width: int) -> list[str]:
    """The lines of the table, in as many parts as the width asks for; nothing if there are no shares.

    shares: of one model. rows: of all its datasets.
    """
    if not shares:
        return []
    by_dataset: dict[str, dict[tuple[str, float], Row]] = {}
    for row in rows:
        if row.compressor is not None and row.ratio is not None and row.figures.scored:
            by_dataset.setdefault(row.figures.cell.dataset, {})[row.compressor, row.ratio] = row

    order = {key: rank for rank, key in enumerate(dict.fromkeys(key for own in by_dataset.values() for key in own))}
    ordered = sorted(shares, key=lambda share: (-share.ratio, order[share.compressor, share.ratio]))

    def name(share: MeanShare) -> str:
        return next(own[key].name for own in by_dataset.values() if (key := (share.compressor, share.ratio)) in own)

    means = [share.share.scaled(100) for share in ordered]
    fixed = [
        Column("Compressor", [broken(name(share), _NAME) for share in ordered]),
        Column("Ratio", [f"{share.ratio:g}" for share in ordered]),
        Column("Mean", with_intervals([percent(share.share.estimate) for share in ordered], means)),
    ]
    if any(share.missing for share in ordered):
        counts = [f"{len(share.datasets)} of {len(share.datasets) + len(share.missing)}" for share in ordered]
        fixed.append(Column("Over", counts))
    columns = [
        Column(broken(dataset, _HEADING), [_share(own.get((share.compressor, share.ratio))) for share in ordered])
        for dataset, own in by_dataset.items()
    ]
    lines = [
        f"{ordered[0].model}: mean share of stock's accuracy, each of {len(by_dataset)} datasets counting alike",
        "",
    ]
    for chunk in chunks(columns, width - total_width(fixed)):
        lines += [*tabulated([*fixed[:2], *chunk, *fixed[2:]]), ""]
    return lines


def _share(row: Row | None) -> str:
    versus = None if row is None else row.figures.versus
    return percent(None if versus is None or versus.share is None else versus.share.estimate)
