"""Test items: one per sample and cell, built from a test function that asks for `vtc_case`; one per skipped cell.

The items are not made by `parametrize`: a benchmark has up to a million of them, and a function item with a call
specification costs several times as much to make and to keep.
"""

from __future__ import annotations

import bisect
import inspect
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import pytest

# The three pieces of pytest without a public name that a lean function item needs.
from _pytest.fixtures import TopRequest
from _pytest.mark.structures import NodeKeywords
from _pytest.python import FunctionDefinition

from pytest_vtc.cells import CaseFailed, SkippedCell
from pytest_vtc.sweep import Case, Sweep


def make_items(collector: Any, name: str, function: Any, sweep: Sweep) -> list[pytest.Item]:
    """The sweep as items of `collector`: cases model by model, dataset by dataset, sample-major; then skipped cells."""
    definition = FunctionDefinition.from_parent(collector, name=name, callobj=function)
    if next(definition.iter_markers("parametrize"), None) is not None:
        raise collector.CollectError(
            f"{name} takes vtc_case and is parametrized; give the sweep by options (or loop inside the test)"
        )
    test = _Test(definition, sweep)
    cases: list[pytest.Item] = [CaseItem.from_parent(collector, test=test, order=order) for order in sweep.orders()]
    return cases + [SkippedCellItem.from_parent(collector, test=test, skipped=skipped) for skipped in sweep.skipped]


_FIXTURE = "vtc_case"


class _Test:
    """What all items of one test function share: the function, the sweep, and what their names are made of."""

    def __init__(self, definition: FunctionDefinition, sweep: Sweep) -> None:
        self.definition = definition
        self.sweep = sweep
        self.name, self.nodeid = definition.name, definition.nodeid
        self.marks = tuple(definition.own_markers)
        self._starts = [block.start for block in sweep.blocks]
        self._cells = [[cell.id for cell in block.cells] for block in sweep.blocks]

    @cached_property
    def location(self) -> tuple[Any, int | None, str]:
        return self.definition.reportinfo()

    @cached_property
    def vtc_case(self) -> Callable[[Any], Any] | None:
        """The function behind `vtc_case`, where nothing can tell whether it was called by way of a fixture.

        That is where no other fixture applies, `vtc_case` is the plugin's own and nobody asked to see fixtures set up.
        """
        definitions = self.definition._fixtureinfo.name2fixturedefs.get(_FIXTURE, ())
        option = self.definition.config.option
        watched = option.setuponly or option.setupshow or option.setupplan
        if len(definitions) != 1 or watched or set(self.definition.fixturenames) - {_FIXTURE, "request"}:
            return None
        return definitions[0].func

    def case_id(self, order: int) -> str:
        """The same as `sweep.case(order).id`, without making the case: names are asked for by the million."""
        number = bisect.bisect_right(self._starts, order) - 1
        cells = self._cells[number]
        row, column = divmod(order - self._starts[number], len(cells))
        return f"{cells[column]}/{self.sweep.blocks[number].data.samples[row].id}"


class _Computed:
    """An attribute that is computed at each reading, until something else is assigned to it."""

    def __init__(self, compute: Callable[[Any], Any]) -> None:
        self._compute = compute

    def __get__(self, item: Any, owner: type | None = None) -> Any:
        return self if item is None else self._compute(item)


class _MadeOnce(_Computed):
    """An attribute that is made when it is first read. Not functools.cached_property, whose lock takes its time."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, item: Any, owner: type | None = None) -> Any:
        made = super().__get__(item, owner)
        if item is not None:
            setattr(item, self._name, made)
        return made


class CaseItem(pytest.Item):
    """One case as pytest runs it; to fixtures it looks like the function it was made from.

    It holds its place in the sweep and what it shares with others; everything else that pytest's constructor would
    have put into it (a name, a node id, keywords, marks, stash) is made when it is asked for. That is why that
    constructor is not called: what it makes is most of the time and nearly all of the memory of an item.
    """

    __slots__ = ("_extra", "_known_id", "_marks", "order", "test")
    test: _Test
    order: int
    _known_id: Any
    _marks: list[pytest.Mark] | None
    _extra: set[str] | None

    is_vtc_case = True
    outcome: Any = None
    """What `vtc_case.measure()` brought, for the report."""

    @classmethod
    def from_parent(cls, parent: Any, *, test: _Test, order: int) -> CaseItem:  # type: ignore[override]
        item = cls.__new__(cls)
        item.parent = parent
        item.config, item.session, item.path = parent.config, parent.session, parent.path
        item.test, item.order = test, order
        item._known_id = item._marks = item._extra = None
        return item

    __hash__ = object.__hash__  # not of the node id, which would be computed for it

    # What it is called

    name: Any = _Computed(lambda item: f"{item.test.name}[{item.test.case_id(item.order)}]")
    _nodeid = _Computed(lambda item: f"{item.test.nodeid}[{item.test.case_id(item.order)}]")

    @property
    def nodeid(self) -> str:
        return self._nodeid

    @property
    def id(self) -> Any:
        """The node id in parts, in the versions of pytest that have that; kept, since several plugins keep it too."""
        if self._known_id is None:
            # The case is its parameters, as --lf reads it from the text of the id.
            self._known_id = self.test.definition.id.with_params(self.test.case_id(self.order))  # type: ignore[attr-defined]
        return self._known_id

    @property
    def case(self) -> Case:
        return self.test.sweep.case(self.order)

    # Marks and keywords

    @property
    def own_markers(self) -> Any:  # type: ignore[override]
        if self._marks is None:
            self._marks = list(self.test.marks)
        return self._marks

    @property
    def extra_keyword_matches(self) -> Any:  # type: ignore[override]
        if self._extra is None:
            self._extra = set[str]()
        return self._extra

    def iter_markers_with_node(self, name: str | None = None) -> Iterator[tuple[Any, pytest.Mark]]:
        # -m and -k ask every item: one without marks of its own must not be given a list for that.
        for mark in self._own():
            if name is None or mark.name == name:
                yield self, mark
        yield from self.parent.iter_markers_with_node(name)  # type: ignore[union-attr]

    def _own(self) -> Sequence[pytest.Mark]:
        return self.test.marks if self._marks is None else self._marks

    def listextrakeywords(self) -> set[str]:
        return self.parent.listextrakeywords().union(self._extra or ())  # type: ignore[union-attr]

    def _make_keywords(self) -> Any:
        keywords = NodeKeywords(self)
        keywords.update((mark.name, mark) for mark in self._own())
        return keywords

    keywords: Any = _MadeOnce(_make_keywords)

    # What pytest and plugins keep on an item

    stash: Any = _MadeOnce(lambda _: pytest.Stash())
    _store = _Computed(lambda item: item.stash)
    user_properties: Any = _MadeOnce(lambda _: [])
    _report_sections: Any = _MadeOnce(lambda _: [])
    _request: Any = False  # to be made just before the run
    funcargs: Any = _Computed(lambda _: {})
    instance: Any = None

    def release(self) -> None:
        """Forget what the run has left on the item; what other plugins put there as attributes stays."""
        state: dict[str, Any] = vars(self)  # type: ignore[assignment]
        for name in _OF_A_RUN:
            state.pop(name, None)
        if not state.get("user_properties", True):
            del state["user_properties"]
        if not state:
            del self.__dict__  # type: ignore[misc]  # without it an item is as small as before its run

    # What it runs

    @property
    def obj(self) -> Any:
        return self.test.definition.obj

    function = obj

    @property
    def originalname(self) -> str:
        return self.test.name

    @property
    def _fixtureinfo(self) -> Any:
        return self.test.definition._fixtureinfo

    @property
    def fixturenames(self) -> list[str]:
        return self.test.definition.fixturenames

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
        if (vtc_case := self.test.vtc_case) is not None and self.instance is None:
            # A fixture's way through pytest takes longer than everything else about a case.
            self.funcargs[_FIXTURE] = vtc_case(self._request)
        else:
            self._request._fillfixtures()

    def runtest(self) -> None:
        function = self.obj if self.instance is None else getattr(self.instance, self.originalname)
        function(**{name: self.funcargs[name] for name in self._fixtureinfo.argnames})

    def repr_failure(self, excinfo: Any, style: Any = None) -> Any:
        if isinstance(excinfo.value, CaseFailed):
            # A traceback through the engine says nothing about the image or compressor that is at fault.
            return f"{self.case.id}: {excinfo.value}"
        return super().repr_failure(excinfo, style)

    def _traceback_filter(self, excinfo: Any) -> Any:
        # From the test function on, as for functions: what called it is pytest's business and this plugin's.
        if self.config.getoption("fulltrace", False):
            return excinfo.traceback
        code = inspect.unwrap(self.obj).__code__
        return excinfo.traceback.cut(path=code.co_filename, firstlineno=code.co_firstlineno - 1).filter(excinfo)

    def reportinfo(self) -> tuple[Any, int | None, str]:
        path, line, _ = self.test.location
        return path, line, self.name


_OF_A_RUN = (
    "_report_sections",
    "_request",
    "funcargs",
    "instance",
    "keywords",
    "location",
    "outcome",
    "stash",
)
"""Attributes that a run gives an item and that nothing reads after it."""


class SkippedCellItem(pytest.Item):
    """A cell that its model cannot run: one test, skipped with the reason, whatever the number of samples."""

    is_vtc_skip = True

    def __init__(self, *, test: _Test, skipped: SkippedCell, **of_pytest: Any) -> None:
        super().__init__(name=f"{test.name}[{skipped.cell.id}]", **of_pytest)
        self.test, self.skipped = test, skipped
        self.own_markers.extend(test.marks)
        self.keywords.update((mark.name, mark) for mark in test.marks)
        # By a mark, so that the place that is shown is the test function and not the line below.
        self.add_marker(pytest.mark.skip(reason=self.reason))

    @property
    def reason(self) -> str:
        cell = self.skipped.cell
        return f"{cell.compressor} is not run on {cell.model}: {self.skipped.reason}"

    def runtest(self) -> None:
        pytest.skip(self.reason)  # where marks are not heeded

    def reportinfo(self) -> tuple[Any, int | None, str]:
        path, line, _ = self.test.location
        return path, line, self.name
