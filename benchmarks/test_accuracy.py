"""The sweep: every sample in every cell of model x dataset x compressor x ratio, as the --vtc options say."""

from __future__ import annotations

from pytest_vtc.plugin import VtcCase


def test_accuracy(vtc_case: VtcCase) -> None:
    vtc_case.measure()
