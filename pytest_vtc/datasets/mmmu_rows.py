"""What the rows of MMMU and MMMU-Pro have in common: options as a literal, images by number."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from pytest_vtc.datasets.base import DatasetError
from pytest_vtc.datasets.originals import image_bytes

IMAGE_COLUMNS = tuple(f"image_{k}" for k in range(1, 8))
MAX_OPTIONS = 12
MENTION = re.compile(r"<image (\d+)>")


def options_of(value: Any, where: str, least: int = 1) -> list[str]:
    """The option texts. Published as the literal of a Python list, which JSON cannot read: quotes are single.

    least: how few there may be; open questions have none. Raises DatasetError, beginning with `where`.
    """
    try:
        options = ast.literal_eval(value) if isinstance(value, str) else value
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise DatasetError(f"{where}: the options are no Python literal: {value!r}") from error
    if not isinstance(options, (list, tuple)) or not least <= len(cast("list[Any]", options)) <= MAX_OPTIONS:
        raise DatasetError(f"{where}: expected a list of {least} to {MAX_OPTIONS} options, found {value!r}")
    return [str(option) for option in cast("list[Any]", options)]


def images_of(row: Mapping[str, Any], question: str, options: Sequence[str], where: str) -> list[tuple[int, bytes]]:
    """The images that question and options mention, with their numbers and in the order of these, as in lmms-eval.

    A few rows have others: figures of the worked solution, which would give the answer away. Where none is mentioned
    it is all there are. Raises DatasetError, beginning with `where`, if one is mentioned and null, or if there is none.
    """
    mentioned = sorted({int(k) for k in MENTION.findall("\n".join([question, *options]))})
    found = {k: data for k, column in enumerate(IMAGE_COLUMNS, 1) if (data := image_bytes(row[column]))}
    if absent := [k for k in mentioned if k not in found]:
        raise DatasetError(f"{where}: the text mentions <image {absent[0]}>, but image_{absent[0]} is null")
    if not found:
        raise DatasetError(f"{where}: it has no image")
    return [(k, found[k]) for k in mentioned or found]
