"""Every shipped compressor on every family: it runs, and keeps what it was asked to, or says why it cannot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_vtc.cells import CaseFailed
from pytest_vtc.discovery import resolve, shipped_names
from pytest_vtc.engine import Engine, Job
from pytest_vtc.image_compression import unsupported
from pytest_vtc.models.families import BACKENDS
from tests.families.checkpoints import VARIANTS, Parts
from tests.families.runs import samples
from tests.models.test_clip_text import write_clip

RATIOS = (0.6, 0.25, 0.01)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_compressor_answers_or_says_why_not(parts: Callable[[str], Parts], tmp_path: Path, variant: str) -> None:
    loaded = parts(variant)
    backend = BACKENDS[loaded.model.config.model_type](loaded.model, loaded.tokenizer, loaded.image_processor)
    lacks = backend.lacked_by_all()
    specs = dict.fromkeys(shipped_names())
    if "joint" not in lacks:
        del specs["cdpruner"]
        clip = write_clip(tmp_path / "clip", backend.model.config.vision_config.hidden_size)
        specs[f"cdpruner(clip={clip!r})"] = None
    compressors = [c for c in resolve([*specs]) if unsupported(c, lacks) is None]
    # One image wide, and two of them.
    asked = samples(tmp_path)[::4]
    # Newlines are asked for with the tokens, and leave with their lines.
    exact = not any(tile.n_newlines for tile in backend.tiles(asked[0].images[0].open()))
    jobs = [Job(sample, compressor, ratio) for sample in asked for compressor in compressors for ratio in RATIOS]
    wrong: list[str] = []
    for job, result in zip(jobs, Engine(backend).run(jobs, 2), strict=True):
        assert job.compressor is not None
        what = f"{job.compressor.spec}@{job.ratio} on {job.sample.id}"
        if isinstance(result, CaseFailed):
            wrong.append(f"{what}: {result}")
        elif not 0 < result.n_kept <= result.n_asked or (
            exact and job.compressor.exact and result.n_kept < result.n_asked
        ):
            wrong.append(f"{what}: {result.n_kept} kept of {result.n_tokens}, asked for {result.n_asked}")
    assert not wrong, "\n".join(wrong)
