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

import itertools
import json
import math
import posixpath
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from pytest_vtc.datasets.base import OWN_STYLE, DatasetError, ImageSource, Sample
from pytest_vtc.datasets.images import ImageFile
from pytest_vtc.scoring import NO_FACTS, ScoringError, any_rule
from pytest_vtc.scoring.published import metric
from pytest_vtc.whole_file import write_whole

VERSION = 1
DEFAULT_SCORING = "auto"
DEFAULT_MAX_NEW_TOKENS = 32
MAX_OPTIONS = 26
_RULES_OF_OPTIONS = frozenset(
    {
        *("mmmu_pro_official", "mmmu_mc_official", "mmmu_mc_lmms", "mcq_vlmevalkit", "mmbench_lmms_static"),
        *("scienceqa_official", "scienceqa_llava"),
    }
)
_RULES_OF_PEOPLE = frozenset({"vqa_official", "vqa_evalai", "vqav2_lmms", "vqa_vlmevalkit"})
_HEADER_KEY = "manifest"
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


class _RowError(ValueError):
    """What is wrong with one line; the reader adds which line."""


def read_manifest(path: Path, prompt_style: str | None = None) -> Manifest:
    """All samples, those of one group side by side. Sees to it that the images exist, and opens none.

    prompt_style: the style whose prompts are taken; that of "prompt" if None.
    Raises DatasetError, with file and line, for anything that is not as the module's description says.
    """
    header, samples = Header(), list[Sample]()
    lines_of_ids: dict[str, int] = {}
    images = _Images(path.parent)
    for line, row in read_rows(path):
        try:
            if _HEADER_KEY in row:
                if samples or header.extra.get(_HEADER_KEY):
                    raise _RowError('the header (the object with the key "manifest") must be the first line')
                header = _header(row)
                continue
            sample = _sample(row, images, line, header, prompt_style)
            if (other := lines_of_ids.setdefault(sample.id, line)) != line:
                raise _RowError(f"the id {sample.id!r} was used in line {other} already; ids must be unique")
            samples.append(sample)
        except _RowError as error:
            raise DatasetError(f"{path}:{line}: {error}") from error
    if not samples:
        raise DatasetError(
            f'{path}: the manifest is empty; write one object {{"id", "image", "prompt", "answer"}} a line'
        )
    images.check(path)
    return Manifest(path, header, tuple(_neighbours(samples)))


def read_header(path: Path) -> Header:
    """The header alone, without reading the samples; the default one if there is none."""
    for line, row in read_rows(path):
        try:
            return _header(row) if _HEADER_KEY in row else Header()
        except _RowError as error:
            raise DatasetError(f"{path}:{line}: {error}") from error
    return Header()


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
                raise DatasetError(f"{path}:{line}: expected a JSON object, found {_kind(row)}")
            yield line, cast("dict[str, Any]", row)


def _header(row: Mapping[str, Any]) -> Header:
    if row[_HEADER_KEY] != VERSION or isinstance(row[_HEADER_KEY], bool):
        raise _RowError(
            f'"manifest" is {row[_HEADER_KEY]!r}; this version of pytest-vtc reads manifests of version {VERSION}'
        )
    name, scoring, longest = row.get("name"), row.get("scoring"), row.get("max_new_tokens")
    if name is not None and not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise _RowError(f'"name" is {name!r}; use letters, digits and any of . _ + -')
    if scoring is not None and not isinstance(scoring, str):
        raise _RowError(f'"scoring" must be a string, not {_kind(scoring)}')
    if longest is not None and (isinstance(longest, bool) or not isinstance(longest, int) or longest < 1):
        raise _RowError(f'"max_new_tokens" is {longest!r}; it must be a whole number above 0')
    scorings = _object_of_strings(row, "scorings")
    published, style = _optional_text(row, "published"), _optional_text(row, "prompt_style")
    whole_groups = row.get("whole_groups", False)
    if not isinstance(whole_groups, bool):
        raise _RowError(f'"whole_groups" must be true or false, not {_kind(whole_groups)}')
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
        raise _RowError(f'"{key}": {error}') from error


def _sample(row: Mapping[str, Any], images: _Images, line: int, header: Header, prompt_style: str | None) -> Sample:
    names = _image_names(row)
    answers = _answers(row, header.scoring)
    options = tuple(_text(row, "options", item) for item in _list(row, "options"))
    if header.scoring in _RULES_OF_OPTIONS and not options:
        raise _RowError(f'the field "options" is missing, and the scoring rule {header.scoring!r} needs it')
    if len(options) > MAX_OPTIONS:
        raise _RowError(f'"options" has {len(options)} entries; there are letters for {MAX_OPTIONS}')
    return Sample(
        id=_id(row),
        images=tuple(images.source(name, line) for name in names),
        prompt=_prompt(row, header, prompt_style),
        answers=answers,
        options=options,
        category=_optional_text(row, "category") or "",
        group=_group(row, names[0]),
        facts=_object_of_strings(row, "facts"),
    )


def _group(row: Mapping[str, Any], first_image: str) -> str:
    group = _optional_text(row, "group")
    return posixpath.normpath(first_image) if group is None else group


def _required(row: Mapping[str, Any], key: str) -> Any:
    if row.get(key) is None:
        have = ", ".join(row) or "nothing"
        raise _RowError(f'the field "{key}" is missing (found: {have})')
    return row[key]


def _id(row: Mapping[str, Any]) -> str:
    value = _required(row, "id")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    text = _text(row, "id", value)
    if not text.strip() or not text.isprintable():
        raise _RowError(f'"id" is {text!r}; it must be printable and not blank, since it names a test')
    return text


def _image_names(row: Mapping[str, Any]) -> list[str]:
    if row.get("images") is None:
        names = [_text(row, "image", _required(row, "image"))]
    elif row.get("image") is not None:
        raise _RowError('give "image" or "images", not both')
    else:
        names = [_text(row, "images", item) for item in _list(row, "images")]
    if not names or not all(names):
        raise _RowError("a sample needs at least one image, and a path for each")
    return names


def _answers(row: Mapping[str, Any], scoring: str) -> tuple[str, ...]:
    if row.get("answer") is None and scoring == "none":
        return ()
    value = _required(row, "answer")
    answers = tuple(_answer(item) for item in (cast("list[Any]", value) if isinstance(value, list) else [value]))
    if not answers:
        raise _RowError('"answer" is an empty list; give at least one, or a header with "scoring": "none"')
    blank = sum(not answer.strip() for answer in answers)
    if blank == len(answers) or (blank and scoring not in _RULES_OF_PEOPLE):
        raise _RowError('"answer" is blank; nothing could ever match it')
    return answers


def _answer(value: Any) -> str:
    if isinstance(value, bool):
        raise _RowError(f'"answer" is {str(value).lower()}; write the word the model should say, "yes" for example')
    if isinstance(value, (int, float)):
        if not math.isfinite(value):
            raise _RowError(f'"answer" is {value}; it must be finite')
        return str(int(value)) if value == int(value) else repr(value)
    return _text({"answer": value}, "answer", value)


def _prompt(row: Mapping[str, Any], header: Header, style: str | None) -> str:
    prompt, others = _text(row, "prompt", _required(row, "prompt")), _object_of_strings(row, "prompts")
    if style is None or style == header.prompt_style:
        return prompt
    if style not in others:
        known = ", ".join([header.prompt_style, *others])
        raise _RowError(f"there is no prompt of the style {style!r}; known here: {known}")
    return others[style]


def _object_of_strings(row: Mapping[str, Any], key: str) -> Mapping[str, str]:
    value = row.get(key)
    if not value and (value is None or isinstance(value, dict)):
        return NO_FACTS
    if not isinstance(value, dict):
        raise _RowError(f'"{key}" must be an object of strings, not {_kind(value)}')
    return {_text(row, key, name): _text(row, key, text) for name, text in cast("dict[Any, Any]", value).items()}


def _optional_text(row: Mapping[str, Any], key: str) -> str | None:
    return None if row.get(key) is None else _text(row, key, row[key])


def _list(row: Mapping[str, Any], key: str) -> list[Any]:
    value = row.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise _RowError(f'"{key}" must be a list, not {_kind(value)}')
    return cast("list[Any]", value)


def _text(row: Mapping[str, Any], key: str, value: Any) -> str:
    if not isinstance(value, str):
        where = f'an entry of "{key}"' if isinstance(row.get(key), list | dict) else f'"{key}"'
        raise _RowError(f"{where} must be a string, not {_kind(value)}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise _RowError(f'"{key}" holds half of a surrogate pair, which is not text') from error
    return value


def _kind(value: object) -> str:
    kinds: dict[type, str] = {
        bool: "true or false",
        int: "a number",
        float: "a number",
        str: "a string",
        list: "a list",
        dict: "an object",
    }
    return kinds.get(type(value), "null")


class _Images:
    """The image files a manifest names: one object for each, and a note of where each is first named."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, tuple[ImageFile, int]] = {}

    def source(self, name: str, line: int) -> ImageSource:
        if name not in self.files:
            self.files[name] = ImageFile(self.folder / name), line
        return self.files[name][0]

    def check(self, manifest: Path) -> None:
        """Raise DatasetError if any is not there, naming the first few."""
        missing = [(file, line) for file, line in self.files.values() if not _is_file(file.path)]
        if missing:
            shown = "; ".join(f"{manifest}:{line}: no image at {file}" for file, line in missing[:3])
            more = f"; and {len(missing) - 3:,} more" if len(missing) > 3 else ""
            raise DatasetError(f"{shown}{more} (paths are relative to the manifest's folder)")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long, or with a null byte: no such file can be there
        return False


def _neighbours(samples: Iterable[Sample]) -> Iterable[Sample]:
    """The samples group by group: groups in order of their first sample, samples of a group in their order."""
    groups: dict[str, list[Sample]] = {}
    for sample in samples:
        groups.setdefault(sample.group, []).append(sample)
    return (sample for group in groups.values() for sample in group)
