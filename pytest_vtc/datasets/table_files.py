"""Which files of a repository or folder hold one split of one configuration: as its card says, else by their names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, cast

from pytest_vtc.datasets.base import DatasetError

SUFFIXES = (".parquet", ".arrow", ".jsonl", ".csv", ".tsv")
"""Endings of files that are tables; where there are several kinds, the first one is taken."""

DEFAULT = "default"
"""Name of the configuration of a repository that has only one."""

_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<total>\d{5})(?:-[0-9a-f]+)?")
_KNOWN_SPLITS = ("train", "training", "validation", "valid", "dev", "val", "test", "testing", "eval", "evaluation")
_CANONICAL = {"training": "train", "valid": "validation", "dev": "validation", "val": "validation", "testing": "test",
              "eval": "test", "evaluation": "test"}  # fmt: skip
_PREFERRED = ("test", "validation", "val", "dev", "train")
_UNNAMED = ""


class NotInRepositoryError(DatasetError):
    """The repository, as far as this machine can see it, does not have the files that were asked for."""


@dataclass(frozen=True)
class Found:
    """The files of one split, in order; paths within the repository."""

    config: str
    split: str
    files: tuple[str, ...]


def find(files: Iterable[str], card: Mapping[str, Any], configs: Sequence[str], split: str | None) -> Found:
    """The files of `split` in the first of `configs` that there is.

    files: every path of the repository, with slashes. card: what its card says, empty if it has none; where that lists
    configurations it decides. Otherwise names do: `data/SPLIT-*`, `CONFIG/SPLIT-*`, `SPLIT*`, or files that name no
    split at all. split: None for the one there is, or the first of test, validation and train.
    Raises NotInRepositoryError, saying what there is instead.
    """
    tables = [file for file in files if _suffix(file) and not _hidden(file)]
    listed = _listed(card, tables)
    seen: dict[str, list[str]] = {}
    for config in configs:
        splits = _splits(tables, listed, config, split)
        seen[config] = sorted(splits)
        name = split if split is not None else _choose(splits)
        if name is not None and (matched := splits.get(name) or splits.get(_UNNAMED)):
            return Found(config, name, _complete(_of_one_kind(matched)))
    raise NotInRepositoryError(_missing(tables, listed, configs, split, seen))


def _splits(tables: Sequence[str], listed: _Listed, config: str, split: str | None) -> dict[str, list[str]]:
    """Files by split, of one configuration; empty if it is not there."""
    if (by_card := listed.files(config)) is not None:
        if by_card:
            return by_card
        # The card came along with a part of the repository, or with files that were put elsewhere.
    elif listed.configs and split is None:
        return {}
    for folder, deep in (("data", False), ("", False), ("", True)) if config == DEFAULT else (
        (config, False), (config, True), ("", False)
    ):  # fmt: skip
        if inside := [file for file in tables if _lies_in(folder, file, deep)]:
            return _by_name(inside, folder, split)
    return {}


def _lies_in(folder: str, file: str, deep: bool) -> bool:
    parent = PurePosixPath(file).parent
    return parent.is_relative_to(folder) if deep else parent == PurePosixPath(folder)


def _by_name(files: Sequence[str], folder: str, split: str | None) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    # A file of exactly that name leaves no room for guesses: `image` is not `non_image`.
    exact = split in {_named_split(file[len(folder) :]) for file in files}
    for file in files:
        inner = file[len(folder) :]
        if split is not None and not exact and re.search(rf"(?<![^\W\d_]){re.escape(split)}(?![^\W\d_])", inner):
            name = split
        else:
            name = _named_split(inner)
        found.setdefault(name, []).append(file)
    if len(found) > 1:
        found.pop(_UNNAMED, None)
    return found


def _named_split(path: str) -> str:
    stem = PurePosixPath(path).name.split(".")[0]
    if shard := _SHARD.fullmatch(stem):
        return shard["stem"]
    for part in (*PurePosixPath(path).parts[:-1], stem):
        for word in _KNOWN_SPLITS:
            if re.search(rf"(?<![^\W\d_]){word}(?![^\W\d_])", part):
                return _CANONICAL.get(word, word)
    return _UNNAMED


def _choose(splits: Mapping[str, Sequence[str]]) -> str | None:
    if len(splits) == 1:
        return next(iter(splits))
    return next((name for name in _PREFERRED if name in splits), None)


@dataclass(frozen=True)
class _Listed:
    """The configurations of a card: by name and split, files that are here. default: the one meant without a name."""

    configs: Mapping[str, dict[str, list[str]]]
    default: str | None

    def files(self, config: str) -> dict[str, list[str]] | None:
        """By split; None if the card does not know the configuration."""
        if config in self.configs:
            return self.configs[config]
        return self.configs[self.default] if config == DEFAULT and self.default is not None else None


def _listed(card: Mapping[str, Any], tables: Sequence[str]) -> _Listed:
    """What `configs:` of a card says; https://huggingface.co/docs/datasets/repository_structure."""
    configs: dict[str, dict[str, list[str]]] = {}
    default: str | None = None
    entries = card.get("configs")
    for entry in cast("list[Any]", entries) if isinstance(entries, list) else []:
        if not isinstance(entry, dict) or "config_name" not in entry:
            continue
        fields = cast("dict[str, Any]", entry)
        name, folder = str(fields["config_name"]), str(fields.get("data_dir") or "").strip("/")
        if patterns := _patterns(fields.get("data_files")):
            matched = {split: _matching(tables, each) for split, each in patterns.items()}
            configs[name] = {split: files for split, files in matched.items() if files}
        else:
            configs[name] = _by_name([file for file in tables if _lies_in(folder, file, deep=True)], folder, None)
        if fields.get("default") is True:
            default = name
    if default is None and len(configs) == 1:
        default = next(iter(configs))
    return _Listed(configs, default)


def _patterns(data_files: Any) -> dict[str, list[str]]:
    """By split; a card may give one pattern, a list of them, or a list of objects with `split` and `path`."""
    found: dict[str, list[str]] = {}
    for entry in cast("list[Any]", data_files) if isinstance(data_files, list) else [data_files] if data_files else []:
        split, path = "train", entry
        if isinstance(entry, dict):
            split, path = str(cast("dict[str, Any]", entry).get("split")), cast("dict[str, Any]", entry).get("path")
        paths = cast("list[Any]", path) if isinstance(path, list) else [path]
        found.setdefault(split, []).extend(str(each).removeprefix("./") for each in paths)
    return found


def _matching(files: Sequence[str], patterns: Sequence[str]) -> list[str]:
    """As fsspec's globs match: `*` within a folder, `**` across folders; each file once, in order of the patterns."""
    matched: dict[str, None] = {}
    for pattern in patterns:
        expression = re.compile(_expression(pattern))
        matched |= dict.fromkeys(sorted(file for file in files if expression.fullmatch(file)))
    return list(matched)


def _expression(pattern: str) -> str:
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]*\])", pattern)
    meaning = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    classes = re.compile(r"\[[^\]]+\]")
    return "".join(
        meaning.get(part) or (part.replace("[!", "[^") if classes.fullmatch(part) else re.escape(part))
        for part in parts
    )


def _of_one_kind(files: Sequence[str]) -> list[str]:
    kinds = {_suffix(file) for file in files}
    kind = next(suffix for suffix in SUFFIXES if suffix in kinds)
    return [file for file in files if _suffix(file) == kind]


def _complete(files: Sequence[str]) -> tuple[str, ...]:
    """The files, if of every set that is numbered (`-00000-of-00003`) all are there."""
    numbered: dict[tuple[str, int], list[int]] = {}
    for file in files:
        path = PurePosixPath(file)
        if shard := _SHARD.fullmatch(path.name.split(".")[0]):
            key = str(path.parent / shard["stem"]), int(shard["total"])
            numbered.setdefault(key, []).append(int(shard["number"]))
    for (stem, total), numbers in numbered.items():
        if lacking := sorted(set(range(total)) - set(numbers)):
            first = f"{stem}-{lacking[0]:05}-of-{total:05}"
            raise NotInRepositoryError(f"{len(lacking)} of {total} files are missing, the first is {first}")
    return tuple(files)


def _missing(
    tables: Sequence[str],
    listed: _Listed,
    configs: Sequence[str],
    split: str | None,
    seen: Mapping[str, Sequence[str]],
) -> str:
    wanted = f"split {split!r}" if split is not None else "table"
    of = f" of configuration {' or '.join(map(repr, configs))}" if tuple(configs) != (DEFAULT,) else ""
    splits = [name for names in seen.values() for name in names if name != _UNNAMED]
    if not tables:
        return f"no files for {wanted}{of}: there are no tables at all (*{', *'.join(SUFFIXES)})"
    if splits:
        return f"no files for {wanted}{of}; there is {', '.join(splits)}"
    if listed.configs:
        return f"no files for {wanted}{of}; it has the configurations {', '.join(map(repr, listed.configs))}"
    shown = f"{', '.join(tables[:3])}{', ...' if len(tables) > 3 else ''}"
    return f"no files for {wanted}{of}; its tables are {shown}"


def _suffix(file: str) -> str:
    suffix = PurePosixPath(file).suffix.lower()
    return suffix if suffix in SUFFIXES else ""


def _hidden(file: str) -> bool:
    return any(part.startswith((".", "__")) for part in PurePosixPath(file).parts)
