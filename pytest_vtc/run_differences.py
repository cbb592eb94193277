"""How two runs were set up differently: what makes their answers incomparable, and what is worth knowing beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pytest_vtc.manifest_fields import Manifest
from pytest_vtc.report.columns import clipped

_OF_A_MODEL = ("revision", "dtype", "quantization", "attention", "positions", "random_weights")
_OF_A_DATASET = {
    "scoring": "scoring",
    "literal": "blank answers scored as the rule does",
    "prompt_style": "prompt style",
    "max_new_tokens": "max_new_tokens",
    "size": "size",
}
_GRID = {"ratios", "n", "random_seeds"}
"""Settings that say which cells and samples there are: what both runs have is compared."""

_OF_EACH_MODEL_OR_DATASET = {"dtype", "quantization", "attention", "positions", "max_new_tokens"}
"""Settings that stand with each model or dataset as they were in force."""


@dataclass(frozen=True)
class Difference:
    """One thing that differs. what: `model tiny-gemma4: dtype`.

    forbids: it changes what every answer is worth, so that a comparison would say nothing of the compressors.
    """

    what: str
    before: str
    after: str
    forbids: bool

    def __str__(self) -> str:
        return f"{self.what}: {self.before} -> {self.after}"


def differences(
    before: Manifest, after: Manifest, models: Sequence[tuple[str, str]], datasets: Sequence[str]
) -> list[Difference]:
    """What differs between two runs, as far as it bears on the cells compared; what forbids comes first.

    models: pairs of labels, before and after; of two that are called differently everything may differ.
    datasets: names.

    Forbidden are differences of the models (revision, number format, quantisation, attention kernel, positions), of
    the datasets (content, scoring, judge, longest answer), of the seed and of the way answers are come by. Versions,
    machine, commit, batch size and the compressors' source are told and allowed: to see what they change is what runs
    are compared for. Samples of which one run has more than the other are not told here.
    """
    found = [*_seed_and_answers(before, after)]
    for one, other in models:
        found += _of("model", one, other, before["models"][one], after["models"][other])
    for name in datasets:
        found += _of_dataset(name, before["datasets"][name], after["datasets"][name])
    found += _told(before, after)
    return sorted(found, key=lambda difference: not difference.forbids)


def _seed_and_answers(before: Manifest, after: Manifest) -> Iterator[Difference]:
    if before["seed"] != after["seed"]:
        yield Difference("seed", str(before["seed"]), str(after["seed"]), True)
    one, other = (manifest["settings"].get("answers") for manifest in (before, after))
    if one != other:
        yield Difference("answers", _shown(one), _shown(other), True)


def _of(kind: str, one: str, other: str, before: Any, after: Any) -> Iterator[Difference]:
    if one != other:
        yield Difference(kind, one, other, False)
    for field in (*_OF_A_MODEL, "source", "device"):
        if before.get(field) != after.get(field):
            forbids = field in _OF_A_MODEL and one == other
            yield Difference(f"{kind} {other}: {field}", _shown(before.get(field)), _shown(after.get(field)), forbids)


def _of_dataset(name: str, before: Any, after: Any) -> Iterator[Difference]:
    for field, what in _OF_A_DATASET.items():
        if before.get(field) != after.get(field):
            yield Difference(f"dataset {name}: {what}", _shown(before.get(field)), _shown(after.get(field)), True)
    for field in ("model", "prompt"):
        one, other = ((about.get("judge") or {}).get(field) for about in (before, after))
        if one != other:
            yield Difference(f"dataset {name}: the judge's {field}", _shown(one), _shown(other), True)
    # The fingerprint is of the samples that were drawn: of fewer it is another.
    if before["n"] == after["n"] and before["fingerprint"] != after["fingerprint"]:
        what = f"dataset {name}: samples, prompts or expected answers"
        yield Difference(what, before["fingerprint"], after["fingerprint"], True)


def _told(before: Manifest, after: Manifest) -> Iterator[Difference]:
    """What may change results and is no reason against comparing them."""
    for spec in (spec for spec in before["compressors"] if spec in after["compressors"]):
        for field in ("source_hash", "parameters"):
            one, other = (cast("Any", manifest["compressors"][spec])[field] for manifest in (before, after))
            if one != other:
                yield Difference(f"compressor {spec}: {field}", _shown(one), _shown(other), False)
    if before["pytest_vtc"] != after["pytest_vtc"]:
        yield Difference("pytest_vtc", before["pytest_vtc"], after["pytest_vtc"], False)
    told = _GRID | _OF_EACH_MODEL_OR_DATASET | {"answers"}
    settings = [{k: v for k, v in manifest["settings"].items() if k not in told} for manifest in (before, after)]
    yield from _entries("", *settings)
    for key in ("versions", "hardware", "git"):
        one, other = (cast("Mapping[str, Any]", manifest[key] or {}) for manifest in (before, after))
        yield from _entries(f"{key}: ", one, other)


def _entries(prefix: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Difference]:
    for path, one, other in unequal(before, after):
        yield Difference(f"{prefix}{path}", _shown(one), _shown(other), False)


def unequal(before: Any, after: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Where two documents differ, as `settings.ratios`, with what is there; None where one of them has nothing."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        left, right = cast("Mapping[str, Any]", before), cast("Mapping[str, Any]", after)
        for key in dict.fromkeys([*left, *right]):
            yield from unequal(left.get(key), right.get(key), f"{path}.{key}" if path else key)
    elif before != after:
        yield path, before, after


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    return clipped(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), 60)
