"""Keeps transformers from printing while it loads weights."""

from __future__ import annotations

import logging
import sys
from collections.abc import Generator
from contextlib import contextmanager

from transformers.utils import logging as transformers_logging


@contextmanager
def quiet() -> Generator[None, None, None]:
    """Without the table of missing and surplus tensors, which we judge ourselves; the bar only where it can be seen."""
    logger = logging.getLogger("transformers.modeling_utils")
    bar = transformers_logging.is_progress_bar_enabled()
    logger.addFilter(_is_no_report)
    if not sys.stderr.isatty():
        transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        logger.removeFilter(_is_no_report)
        if bar:
            transformers_logging.enable_progress_bar()


def _is_no_report(record: logging.LogRecord) -> bool:
    return not any(known in record.getMessage() for known in ("LOAD REPORT", "checkpoint seem corrupted"))
