"""Every shipped compressor conforms: whatever lies in compressors/ is found and tried."""

from __future__ import annotations

import pytest

from pytest_vtc.conformance.properties import properties_of
from pytest_vtc.conformance.trial import Broken, NotTried, Trial
from tests.compressors.shipped import SPECS, compressor_of

MAY_NOT_BE_TRIED = {"merge", "device", "without-class-token"}
"""Properties without a meaning for some: for what merges nothing or needs a class token, and where there is no GPU."""


@pytest.mark.parametrize("spec", SPECS)
def test_it_conforms(spec: str) -> None:
    compressor = compressor_of(spec)
    trial = Trial(compressor)
    broke: list[str] = []
    for each in properties_of(compressor):
        try:
            each.verdict(trial)
        except Broken as verdict:
            broke.append(f"{each.name}: {verdict}")
        except NotTried as reason:
            if each.name not in MAY_NOT_BE_TRIED:
                broke.append(f"{each.name} was not tried: {reason}")
    assert not broke, "\n\n".join(broke)
