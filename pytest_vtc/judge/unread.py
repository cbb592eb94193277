"""Which answers were left without a reply of the judge that could be read."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_vtc.cells import Measurement
from pytest_vtc.manifest_fields import Manifest


def unread_replies(manifest: Manifest, measurements: Iterable[Measurement]) -> dict[str, int]:
    """How many there are, by judged dataset. Blank answers, which the judge is not asked about, are none of them."""
    judged = {name: about for name, about in manifest["datasets"].items() if about["judge"] is not None}
    counts = dict.fromkeys(judged, 0)
    for m in measurements:
        about = judged.get(m.cell.dataset)
        if about is not None and m.unparsed and (about["literal"] or not m.empty):
            counts[m.cell.dataset] += 1
    return counts
