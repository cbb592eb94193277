"""Test items: one per sample and cell, built from a test function that asks for `vtc_case`.

The items are not made by `parametrize`: a benchmark has tens of thousands of them, and a function item with a call
specification costs several times as much to make and to keep.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import pytest

# The two pieces of pytest without a public name that a lean function item needs.
from _pytest.fixtures import TopRequest
from _pytest.python import FunctionDefinition

from pytest_vtc.engine import CaseFailed
from pytest_vtc.sweep import Case, Sweep


def make_items(collector: Any, name: str, function: Any, sweep: Sweep) -> list[CaseItem]:
    """Every case of the sweep as an item of `collector`: model by model, dataset by dataset, sample-major."""
    definition = FunctionDefinition.from_parent(collector, name=name, callobj=function)
    if next(definition.iter_markers("parametrize"), None) is not None:
        raise collector.CollectError(
            f"{name} takes vtc_case and is parametrized; give the sweep by options (or loop inside the test)"
        )
    test = _Test(definition)
    cases = map(sweep.case, sweep.orders())
    return [CaseItem.from_parent(collector, name=name, test=test, case=case) for case in cases]


class _Test:
    """What all items of one test function share."""

    def __init__(self, definition: FunctionDefinition) -> None:
        self.definition = definition

    @cached_property
    def location(self) -> tuple[Any, int | None, str]:
        return self.definition.reportinfo()


class CaseItem(pytest.Item):
    """One case as pytest runs it; to fixtures it looks like the function it was made from."""

    is_vtc_case = True

    def __init__(self, *, name: str, parent: Any, test: _Test, case: Case, **kwargs: Any) -> None:
        full_name = f"{name}[{case.id}]"
        # Given as text, pytest reads the brackets as parameters, as --lf does when it reads the id back from its cache.
        super().__init__(name=full_name, parent=parent, nodeid=f"{parent.nodeid}::{full_name}", **kwargs)
        self.test, self.case = test, case
        definition = test.definition
        self.own_markers = list(definition.own_markers)
        self.keywords.update((mark.name, mark) for mark in self.own_markers)
        self.originalname = name
        self._fixtureinfo = definition._fixtureinfo
        self.fixturenames = definition.fixturenames
        self._request: Any = None
        self.funcargs: dict[str, Any] = {}
        self.instance: Any = None
        self.outcome: Any = None
        """What `vtc_case.measure()` brought, for the report."""

    @property
    def order(self) -> int:
        """The case's place in the sweep."""
        return self.case.order

    @property
    def obj(self) -> Any:
        return self.test.definition.obj

    function = obj

    @property
    def module(self) -> Any:
        return self.getparent(pytest.Module).obj  # type: ignore[union-attr]

    @property
    def cls(self) -> Any:
        owner = self.getparent(pytest.Class)
        return None if owner is None else owner.obj

    def _initrequest(self) -> None:
        # pytest calls this just before the run: a request per collected item would cost more than the item.
        self.funcargs = {}
        self.instance = self.parent.newinstance() if isinstance(self.parent, pytest.Class) else None
        self._request = TopRequest(self, _ispytest=True)  # type: ignore[arg-type]

    def setup(self) -> None:
        self._request._fillfixtures()

    def runtest(self) -> None:
        function = self.obj if self.instance is None else getattr(self.instance, self.originalname)
        function(**{name: self.funcargs[name] for name in self._fixtureinfo.argnames})

    def repr_failure(self, excinfo: Any, style: Any = None) -> Any:
        if isinstance(excinfo.value, CaseFailed):
            # A traceback through the engine says nothing about the image or compressor that is at fault.
            return f"{self.case.id}: {excinfo.value}"
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Any, int | None, str]:
        path, line, _ = self.test.location
        return path, line, self.name
