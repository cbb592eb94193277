"""List options of the command line: `--vtc-ratios 0.5 0.25 tests/` is two ratios and a test path. Imports no torch.

argparse alone would take one value and run the next one as a test path.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pytest_vtc.options import OPTIONS

_CONFORMANCE = "--vtc-conformance"
_REPEATED = ("gate", "judge-prompt")
"""Options with one value each time they are given."""

_LISTS = {flag for option in OPTIONS if option.is_list and option.name not in _REPEATED for flag in option.flags}
_LISTS.add(_CONFORMANCE)
_NAMES = ("random-weights", "scoring", "prompt-style")
_NAMES_ONLY = {flag for option in OPTIONS if option.name in _NAMES for flag in option.flags}
"""Lists of names of which none can be a file: one that exists is a test path."""


def fold_lists(args: Sequence[str]) -> list[str]:
    """Rewrite `--vtc-ratios 0.5 0.25 path` to `--vtc-ratios=0.5,0.25 path`, for every list option.

    A list ends at the next option, at a node id, and at what can only be a test path: a folder or file of tests. A file
    of gates is joined to its option too.
    """
    folded: list[str] = []
    rest = list(args)
    while rest:
        arg = rest.pop(0)
        if arg == "--":
            return [*folded, arg, *rest]
        flag, equals, value = arg.partition("=")
        if arg == "--vtc-gate" and rest and rest[0].startswith("@"):
            # In a word of its own argparse would take it for a file of arguments.
            folded.append(f"{arg}={rest.pop(0)}")
            continue
        if flag not in _LISTS:
            folded.append(arg)
            continue
        values = [value] if equals else []
        while rest and not rest[0].startswith("-") and _belongs(flag, rest[0], first=not values):
            values.append(rest.pop(0))
        folded.append(f"{flag}={','.join(values)}" if values else arg)
    return folded


def _belongs(flag: str, value: str, first: bool) -> bool:
    if "::" in value:
        return False
    if flag == _CONFORMANCE:
        return True  # no test path goes with it; one that is given all the same is named in the message about it
    if flag == "--vtc-ratios":
        # The first value is a ratio even if it is no number: the message about it should say so.
        return (first and not Path(value).exists()) or all(_is_number(part) for part in value.split(",") if part)
    if flag == "--vtc-compressors" and value.endswith(("/", "\\")):
        return False
    if flag in _NAMES_ONLY:
        return first or not Path(value).exists()
    path = Path(value)
    if re.fullmatch(r"(test_.*|.*_test|conftest)\.py", path.name):
        return False
    if path.is_dir():
        return _DIRECTORY_VALUES[flag](path)
    return not (path.suffix == ".py" and flag != "--vtc-compressors")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _holds_images(path: Path) -> bool:
    from pytest_vtc.datasets.csv_file import SUFFIXES as TABLES
    from pytest_vtc.datasets.images import SUFFIXES  # imports PIL: only when a folder is given as data

    return not _holds_tests(path) and any(file.suffix.lower() in {*SUFFIXES, *TABLES} for file in path.iterdir())


def _holds_tests(path: Path) -> bool:
    # The folder one works in, or one above it, is never a value: going through it could take for ever.
    if Path.cwd().resolve().is_relative_to(path.resolve()):
        return True
    return any(any(path.rglob(pattern)) for pattern in ("test_*.py", "*_test.py"))


_DIRECTORY_VALUES: dict[str, Callable[[Path], bool]] = {
    "--vtc-model": lambda path: (path / "config.json").is_file(),
    "--vtc-data": _holds_images,
    # A name that is also a folder of tests here, such as `random/`, is still the compressor unless tests lie in it.
    "--vtc-compressors": lambda path: str(path).isidentifier() and not _holds_tests(path),
}


def refold(early_config: pytest.Config, parser: pytest.Parser, args: list[str]) -> None:
    """Fold list options in `args`, in place, and let the arguments known so far be parsed again."""
    folded = fold_lists(args)
    if folded == args:
        return
    args[:] = folded
    known = early_config.known_args_namespace
    kept = {key: value for key, value in vars(known).items() if key != "file_or_dir" and not key.startswith("vtc_")}
    early_config.known_args_namespace = parser.parse_known_args(args, namespace=argparse.Namespace(**kept))
