"""One picture with a scene of every category: `python -m pytest_vtc.datasets.detail_scenes.contact_sheet OUTPUT.png`.

Tasks from top to bottom, sizes of the detail from left to right; `--large` for those of details_large.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image

from pytest_vtc.datasets.detail_scenes.planning import DETAILS, DETAILS_LARGE, make_scene
from pytest_vtc.datasets.detail_scenes.rendering import render
from pytest_vtc.datasets.detail_scenes.scenes import SIDES_PX, Layout

_SIDE_PX, _GAP_PX = 192, 4


def contact_sheet(layout: Layout, first: int = 0) -> Image.Image:
    """One scene of each category, from the test scene number `first` on; dark where there is no such category."""
    tasks, sizes = list(dict.fromkeys(task for task, _ in layout.categories)), list(SIDES_PX)
    step = _SIDE_PX + _GAP_PX
    sheet = Image.new("RGB", (len(sizes) * step - _GAP_PX, len(tasks) * step - _GAP_PX), (90, 90, 90))
    for index in range(first, first + len(layout.categories)):
        scene = make_scene(layout, "test", index)
        tile = Image.fromarray(render(scene)).resize((_SIDE_PX, _SIDE_PX), Image.Resampling.BOX)
        sheet.paste(tile, (sizes.index(scene.size) * step, tasks.index(scene.task) * step))
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--first", type=int, default=0, help="number of the first scene")
    options = parser.parse_args()
    sheet = contact_sheet(DETAILS_LARGE if options.large else DETAILS, options.first)
    sheet.save(options.output, optimize=True)


if __name__ == "__main__":
    main()
