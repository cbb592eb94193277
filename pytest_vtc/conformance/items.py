"""The tests of `--vtc-conformance`: `conformance/<compressor>::<property>`, one for each compressor and property."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import pytest

from pytest_vtc.compression import Compressor
from pytest_vtc.conformance.properties import Property, properties_of
from pytest_vtc.conformance.trial import Broken, NotTried, Trial

FOLDER = "conformance"


class ConformanceItem(pytest.Item):
    """One property of one compressor."""

    def __init__(self, *, trial: Trial, tried: Property, n_properties: int, **of_pytest: Any) -> None:
        super().__init__(name=tried.name, **of_pytest)
        self.trial, self.property, self.n_properties = trial, tried, n_properties
        self.seconds: float | None = None
        """What an image takes, if that is what was tried."""
        self.reason = ""
        """Why it was not tried, if it was not."""

    def runtest(self) -> None:
        try:
            self.seconds = self.property.verdict(self.trial)
        except NotTried as reason:
            self.reason = str(reason)
            pytest.skip(f"{self.trial.compressor.spec}, {self.name}: {reason}")
        if self.seconds is not None:
            self.user_properties.append(("seconds_per_image", round(self.seconds, 6)))

    def repr_failure(self, excinfo: Any, style: Any = None) -> Any:
        if isinstance(excinfo.value, Broken):
            # Where in the suite it was noticed says nothing about the compressor.
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Any, int | None, str]:
        compressor = self.trial.compressor
        return inspect.getfile(type(compressor)), None, f"{compressor.spec}: {self.name}"


class ConformanceOf(pytest.Collector):
    """All properties of one compressor."""

    def __init__(self, *, compressor: Compressor, **of_pytest: Any) -> None:
        spec = compressor.spec
        super().__init__(name=spec, nodeid=f"{FOLDER}/{spec}", **of_pytest)
        self.compressor = compressor
        self.extra_keyword_matches.add(FOLDER)

    def collect(self) -> Iterator[pytest.Item]:
        trial, properties = Trial(self.compressor), properties_of(self.compressor)
        for each in properties:
            yield ConformanceItem.from_parent(self, trial=trial, tried=each, n_properties=len(properties))
