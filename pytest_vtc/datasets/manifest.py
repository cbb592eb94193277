"""Reads and writes manifests: the JSONL files in which every dataset that lies on disk is kept.

One JSON object a line, blank lines ignored, UTF-8:

    {"id": "q1", "image": "images/cat.png", "prompt": "What is this?", "answer": "cat", "category": "animals"}

    id        string or integer, unique in the file
    image     path of the image, relative to the manifest's folder; or instead
    images    list of such paths, in the order in which the model sees them
    prompt    what the model is asked, exactly
    prompts   object: the prompt in other styles, by the style's name, for --vtc-prompt-style (may be missing)
    answer    a string, a number, or a list of them: every accepted answer (1.0 is read as "1");
              may only be missing where scoring is "none"; some may be blank where it is VQA accuracy, which counts
              people, and one may have said nothing
    options   list of option texts of a multiple-choice question, A first (may be missing)
    category  what the per-category table groups by (may be missing)
    facts     object of strings: what else a scoring rule or a published metric needs to know (may be missing)
    group     samples of one group are neighbours in a run, drawn together and one cluster in its statistics;
              the first image's path if missing

Other keys of a row are left alone. The first line may be a header instead, recognised by its key "manifest":

    {"manifest": 1, "name": "my-set", "scoring": "exact", "max_new_tokens": 16}

    manifest        version of this format: 1
    name            what tables and cell ids call the dataset; the file's name if missing
    scoring         a rule of `pytest_vtc.scoring`, or "none"; "auto" if missing
    max_new_tokens  longest answer; 32 if missing
    scorings        object: the rules that --vtc-scoring calls official, lmms and vlmevalkit
    published       a metric of `pytest_vtc.scoring.published`, shown beside accuracy
    prompt_style    what the style of "prompt" is called; "own" if missing
    whole_groups    true if a draw must not cut a group: pairs, or one question in several orders of its options

`fetch` adds to the header where its files come from: source, revision, config, split, licence, samples, image_bytes;
and, if it took a part of them, "drawn": {"n": asked for, "seed": ..., "of": samples in all}.
"""

from __future__ import annotations

import difflib
import itertools
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from pytest_vtc.datasets.base import OWN_STYLE, DatasetError, Sample
from pytest_vtc.datasets.manifest_rows import (
    RowError,
    SharedValues,
    kind,
    neighbours,
    object_of_strings,
    optional_text,
    read_sample,
)
from pytest_vtc.scoring import ScoringError, any_rule
from pytest_vtc.scoring.published import metric
from pytest_vtc.whole_file import write_whole

VERSION = 1
DEFAULT_SCORING = "auto"
DEFAULT_MAX_NEW_TOKENS = 32
_HEADER_KEY = "manifest"
_KNOWN_KEYS = (
    *(_HEADER_KEY, "name", "scoring", "scorings", "max_new_tokens", "published", "prompt_style", "whole_groups"),
    *("source", "revision", "config", "split", "licence", "samples", "image_bytes"),
)
_NAME = re.compile(r"[\w.+-]+", re.ASCII)


@dataclass(frozen=True)
class Header:
    """What a manifest says about itself. `extra` holds the keys that only inform: source, revision, licence."""

    name: str | None = None
    scoring: str = DEFAULT_SCORING
    max_new_tokens: int = DEFAULT_MAX_NEW_TOKENS
    scorings: Mapping[str, str] = field(default_factory=dict[str, str])
    published: str | None = None
    prompt_style: str = OWN_STYLE
    whole_groups: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class Manifest:
    path: Path
    header: Header
    samples: tuple[Sample, ...]


def read_manifest(path: Path, prompt_style: str | None = None) -> Manifest:
    """All samples, those of one group side by side. Sees to it that the images exist, and opens none.

    prompt_style: the style whose prompts are taken; that of "prompt" if None.
    Raises DatasetError, with file and line, for anything that is not as the module's description says.
    """
    rows = iter(read_rows(path))
    header, first = Header(), next(rows, None)
    if first is not None and _HEADER_KEY in first[1]:
        header = _header_in(path, *first)
    elif first is not None:
        rows = itertools.chain([first], rows)
    samples = read_samples(path, rows, header, prompt_style)
    if not samples:
        raise DatasetError(
            f'{path}: the manifest is empty; write one object {{"id", "image", "prompt", "answer"}} a line'
        )
    return Manifest(path, header, samples)


def read_samples(
    path: Path, rows: Iterable[tuple[int, Mapping[str, Any]]], header: Header, prompt_style: str | None = None
) -> tuple[Sample, ...]:
    """The samples in rows of a manifest, or of another file that lies beside its images; as `read_manifest`."""
    samples: list[Sample] = []
    lines_of_ids: dict[str, int] = {}
    shared = SharedValues(path.parent)
    for line, row in rows:
        try:
            if _HEADER_KEY in row:
                raise RowError('the header (the object with the key "manifest") must be the first line')
            sample = read_sample(row, shared, line, header.scoring, header.prompt_style, prompt_style)
        except RowError as error:
            raise DatasetError(f"{path}:{line}: {error}") from error
        if (other := lines_of_ids.setdefault(sample.id, line)) != line:
            raise DatasetError(
                f"{path}:{line}: the id {sample.id!r} was used in line {other} already; ids must be unique"
            )
        samples.append(sample)
    shared.check(path)
    return tuple(neighbours(samples))


def read_header(path: Path) -> Header:
    """The header alone, without reading the samples; the default one if there is none."""
    first = next(iter(read_rows(path)), None)
    if first is None or _HEADER_KEY not in first[1]:
        return Header()
    return _header_in(path, *first)


def _header_in(path: Path, line: int, row: Mapping[str, Any]) -> Header:
    try:
        return _header(row)
    except RowError as error:
        raise DatasetError(f"{path}:{line}: {error}") from error


def write_manifest(path: Path, header: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write `header` and then `rows`; the file appears whole or not at all. The format's version is added.

    Raises DatasetError if it cannot be written.
    """
    every = itertools.chain([{_HEADER_KEY: VERSION, **header}], rows)
    try:
        write_whole(path, (json.dumps(row, ensure_ascii=False) + "\n" for row in every))
    except OSError as error:
        raise DatasetError(f"{path}: cannot write the manifest ({error.strerror})") from error


def read_rows(path: Path) -> Iterable[tuple[int, dict[str, Any]]]:
    """The objects of a file with their lines, not looked into. Raises DatasetError, with file and line."""
    try:
        file = path.open("rb")
    except FileNotFoundError as error:
        raise DatasetError(f"{path}: no such manifest") from error
    except OSError as error:
        raise DatasetError(f"{path}: cannot read the manifest ({error.strerror})") from error
    with file:
        for line, raw in enumerate(file, 1):
            try:
                # utf-8-sig: editors on Windows like to begin a file with a byte order mark.
                text = raw.decode("utf-8-sig" if line == 1 else "utf-8")
                if not text.strip():
                    continue
                row = json.loads(text)
            except UnicodeDecodeError as error:
                raise DatasetError(f"{path}:{line}: not UTF-8 text ({error.reason} at byte {error.start})") from error
            except json.JSONDecodeError as error:
                raise DatasetError(f"{path}:{line}: broken JSON: {error.msg} at column {error.colno}") from error
            except (ValueError, RecursionError) as error:
                raise DatasetError(f"{path}:{line}: broken JSON: {error}") from error
            if not isinstance(row, dict):
                raise DatasetError(f"{path}:{line}: expected a JSON object, found {kind(row)}")
            yield line, cast("dict[str, Any]", row)


def _header(row: Mapping[str, Any]) -> Header:
    if row[_HEADER_KEY] != VERSION or isinstance(row[_HEADER_KEY], bool):
        raise RowError(
            f'"manifest" is {row[_HEADER_KEY]!r}; this version of pytest-vtc reads manifests of version {VERSION}'
        )
    for key in row:
        if key not in _KNOWN_KEYS and (meant := difflib.get_close_matches(key, _KNOWN_KEYS, 1, 0.85)):
            raise RowError(f'the header has a key "{key}": did you mean "{meant[0]}"?')
    name, scoring, longest = row.get("name"), row.get("scoring"), row.get("max_new_tokens")
    if name is not None and not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise RowError(f'"name" is {name!r}; use letters, digits and any of . _ + -')
    if scoring is not None and not isinstance(scoring, str):
        raise RowError(f'"scoring" must be a string, not {kind(scoring)}')
    if longest is not None and (isinstance(longest, bool) or not isinstance(longest, int) or longest < 1):
        raise RowError(f'"max_new_tokens" is {longest!r}; it must be a whole number above 0')
    scorings = object_of_strings(row, "scorings")
    published, style = optional_text(row, "published"), optional_text(row, "prompt_style")
    whole_groups = row.get("whole_groups", False)
    if not isinstance(whole_groups, bool):
        raise RowError(f'"whole_groups" must be true or false, not {kind(whole_groups)}')
    for key, names in {"scoring": [scoring], "scorings": scorings.values()}.items():
        for each in names:
            _look_up(key, any_rule, each if each != "none" else None)
    _look_up("published", metric, published)
    return Header(
        name,
        scoring or DEFAULT_SCORING,
        longest or DEFAULT_MAX_NEW_TOKENS,
        scorings,
        published,
        style or OWN_STYLE,
        whole_groups,
        dict(row),
    )


def _look_up(key: str, known: Callable[[str], object], name: str | None) -> None:
    try:
        if name is not None:
            known(name)
    except ScoringError as error:
        raise RowError(f'"{key}": {error}') from error
