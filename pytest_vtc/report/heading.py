"""The heading of a table: which samples, and how they were asked and scored."""

from __future__ import annotations

from pytest_vtc.datasets.base import OWN_STYLE
from pytest_vtc.manifest_fields import Manifest


def about_samples(manifest: Manifest, dataset: str, n: int) -> str:
    """`200 of 500 samples, drawn from 7,260, seed 42, scored by exact`. n: samples of the run in a cell."""
    about = manifest["datasets"][dataset]
    said = [f"{n:,} of {about['size']:,} samples"]
    if about["drawn_from"] is not None:
        said.append(f"drawn from {about['drawn_from']:,}")
    said.append(f"seed {manifest['seed']}")
    if about["scoring"] == "none":
        said.append("not scored")
    else:
        said.append(f"scored by {about['scoring']}{' to the letter, empty answers too' if about['literal'] else ''}")
    if about["prompt_style"] != OWN_STYLE:
        said.append(f"{about['prompt_style']} prompts")
    if manifest["settings"].get("answers") == "letters":
        said.append("answered by letter probabilities")
    return ", ".join(said)
