"""Values of options, read from text or from what an ini or experiment file holds. Imports no torch."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

DEFAULT_SEED = 42
DEFAULT_RATIOS = (0.5, 0.25, 0.125)


class OptionError(ValueError):
    """An option has a value that cannot be used; the message names the option and says what it takes."""


@dataclass(frozen=True)
class Shard:
    """Part `index` of `of`, counted from 1."""

    index: int
    of: int

    def __str__(self) -> str:
        return f"{self.index}/{self.of}"


def as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def split_list(text: str) -> list[str]:
    """Split at commas outside parentheses and quotes: `a,b(x=1,y=2)` -> [`a`, `b(x=1,y=2)`]."""
    parts, depth, start, quote = [], 0, 0, ""
    for i, character in enumerate(text):
        if quote or (depth and character in "'\""):
            quote = "" if character == quote else quote or character
            continue
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            parts.append(text[start:i])
            start = i + 1
    return [part.strip() for part in [*parts, text[start:]] if part.strip()]


def strings(value: Any) -> tuple[str, ...]:
    # Repeats are dropped: the same cell twice would be the same item twice.
    return tuple(dict.fromkeys(part for item in as_list(value) for part in split_list(str(item))))


def of_datasets(option: str, entries: Sequence[str], names: Mapping[str, str]) -> dict[str, str | None]:
    """What each dataset is to have, as it was asked for: `DATASET=VALUE`, or `VALUE` for those that no entry names.

    names: what tables call the datasets, by how they were asked for; an entry may say either. Raises OptionError.
    """
    general = [entry for entry in entries if "=" not in entry]
    if len(general) > 1:
        first = next(iter(names.values()))
        raise OptionError(f"--vtc-{option}: {general[0]} or {general[1]}? say for which dataset: {first}={general[0]}")
    named: dict[str, str] = {}
    for entry in entries:
        said, equals, value = entry.partition("=")
        if not equals:
            continue
        meant = [said] if said in names else [spec for spec, name in names.items() if name == said]
        if not meant:
            known = (name if name == spec else f"{name} ({spec})" for spec, name in names.items())
            raise OptionError(f"--vtc-{option}: {entry}: the run has only {', '.join(known)}")
        named |= dict.fromkeys(meant, value)
    return {spec: named.get(spec, general[0] if general else None) for spec in names}


def ratios(value: Any) -> tuple[float, ...]:
    ratios: list[float] = []
    for text in strings(value):
        try:
            ratio = float(text)
        except ValueError:
            raise OptionError(f"--vtc-ratios: {text!r} is not a number; give ratios such as 0.5 0.25") from None
        if not 0 < ratio <= 1:
            raise OptionError(f"--vtc-ratios: {text} is outside (0, 1]; 0.25 keeps a quarter of the vision tokens")
        ratios.append(ratio)
    # Cells show six digits; ratios that differ beyond them would be two cells of one name.
    return tuple({f"{ratio:g}": ratio for ratio in ratios}.values()) or DEFAULT_RATIOS


def n(value: Any) -> int | Literal["all"] | None:
    if value is None or value == "all":
        return value
    return integer("n", value, 1, " or 'all'")


def parse_shard(text: str) -> Shard:
    """Read `2/8`. Raises OptionError."""
    parts = re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", text)
    if parts is None or not 1 <= int(parts[1]) <= int(parts[2]):
        raise OptionError(f"--vtc-shard: {text!r} is no part of a whole; write 1/8 to 8/8 for eight parts")
    return Shard(int(parts[1]), int(parts[2]))


def integer(name: str, value: Any, least: int, also: str = "") -> int:
    try:
        number = int(str(value))
    except ValueError:
        raise OptionError(f"--vtc-{name}: {value!r} is not a whole number{also}") from None
    if number < least:
        raise OptionError(f"--vtc-{name}: {number} is too small; at least {least}{also}")
    return number


def optional_integer(name: str, value: Any) -> int | None:
    return None if value is None else integer(name, value, 1)


def points(name: str, value: Any) -> float | None:
    """Percentage points, 0 to 100."""
    if value is None:
        return None
    try:
        number = float(str(value))
    except ValueError:
        number = math.nan
    if not 0 <= number <= 100:
        raise OptionError(f"--vtc-{name}: {value!r} is no number of percentage points from 0 to 100; write 1.0, say")
    return number
