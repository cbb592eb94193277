"""The store: durable, quick, and clear about files it cannot use."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from pytest_vtc.cells import Generation
from pytest_vtc.store import SCHEMA_VERSION, Store, StoreError, case_key

SEVEN = Generation("seven", 64, 32, 32, 4096, 2, "compact", False, False, 0.01)

generations = st.builds(
    Generation,
    answer=st.text(st.characters(), max_size=20),
    n_tokens=st.integers(1, 10**6),
    n_asked=st.integers(1, 10**6),
    n_kept=st.integers(1, 10**6),
    kv_bytes=st.integers(1, 10**12),
    n_generated=st.integers(0, 10**4),
    positions=st.sampled_from(["original", "compact"]),
    truncated=st.booleans(),
    seconds=st.floats(0, 1e6),
)
keys = st.integers(0, 50).map(lambda i: case_key({"case": i}))
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


# Keys


@given(st.dictionaries(st.text(), plain, max_size=6), st.randoms(use_true_random=False))
def test_a_key_does_not_depend_on_the_order_of_names(parts: dict[str, Any], random: Any) -> None:
    shuffled = list(parts.items())
    random.shuffle(shuffled)
    assert case_key(dict(shuffled)) == case_key(parts)


@given(st.dictionaries(st.text(), plain, min_size=1, max_size=6), st.data())
def test_a_key_changes_with_every_part(parts: dict[str, Any], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(parts)))
    assert case_key({**parts, name: [parts[name], "changed"]}) != case_key(parts)
    assert case_key({other: value for other, value in parts.items() if other != name}) != case_key(parts)


def test_a_key_is_the_same_in_every_process_and_release() -> None:
    # A literal: a change here makes every stored measurement unreachable and must raise SCHEMA_VERSION instead.
    key = case_key({"model": "tiny-gemma4", "ratio": 0.5, "parameters": {"alpha": 0.3}, "prompt": "Wie heißt das?"})
    assert key == "f8d5c6b46a4f215d366a40bfd6fe67d5a2e7250c1a890e9bcd484c4b5905aab0"


def test_a_key_of_a_number_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        case_key({"ratio": float("nan")})


# What goes in comes out


class StoreBesideADict(RuleBasedStateMachine):
    """Any sequence of writing, reading and opening anew behaves like a dictionary on which nothing is ever lost."""

    folder: Path

    def __init__(self) -> None:
        super().__init__()
        self.path = self.folder / f"{id(self)}-{time.monotonic_ns()}.sqlite"
        self.store = Store(self.path)
        self.expected: dict[str, Generation] = {}

    @rule(window=st.lists(st.tuples(keys, generations), max_size=6))
    def put(self, window: list[tuple[str, Generation]]) -> None:
        self.store.put_many(window)
        self.expected.update(window)

    @rule(wanted=st.lists(keys, max_size=10))
    def get(self, wanted: list[str]) -> None:
        assert self.store.get_many(wanted) == {key: self.expected[key] for key in wanted if key in self.expected}

    @rule()
    def open_anew(self) -> None:
        self.store.close()
        self.store = Store(self.path)
        assert len(self.store) == len(self.expected)

    @rule(wanted=st.lists(keys, max_size=10))
    def get_from_a_worker(self, wanted: list[str]) -> None:
        with Store(self.path, readonly=True) as worker:
            assert worker.get_many(wanted) == {key: self.expected[key] for key in wanted if key in self.expected}

    def teardown(self) -> None:
        self.store.close()


def test_the_store_behaves_like_a_dictionary(tmp_path: Path) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    StoreBesideADict.folder = tmp_path
    run_state_machine_as_test(
        StoreBesideADict, settings=settings(max_examples=25, stateful_step_count=12, deadline=None)
    )


def test_of_one_key_twice_in_a_window_the_last_wins(tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite") as store:
        store.put_many([("k", SEVEN), ("k", replace(SEVEN, answer="eight"))])
        assert store.get_many(["k"])["k"].answer == "eight"


def test_ten_thousand_cases_go_in_and_out_in_well_under_a_second(tmp_path: Path) -> None:
    window = [(case_key({"i": i}), SEVEN) for i in range(10_000)]
    with Store(tmp_path / "store.sqlite") as store:
        start = time.process_time()
        store.put_many(window)
        assert len(store.get_many([key for key, _ in window])) == 10_000
        assert time.process_time() - start < 1.0  # 0.28 s on an idle core of 2026


# Durability

_WRITER = """
import sys
from pathlib import Path
from pytest_vtc.cells import Generation
from pytest_vtc.store import Store
store, window = Store(Path(sys.argv[1])), 0
while True:
    g = Generation(str(window), 64, 32, 32, 4096, 2, "compact", False, False, 0.01)
    store.put_many([(f"{window}/{i}", g) for i in range(20)])
    print(window, flush=True)
    window += 1
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_a_killed_writer_loses_no_window_that_was_done_and_leaves_no_half_one(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    for kill in range(3):
        command = [sys.executable, "-c", _WRITER, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            for _ in range(5 + 7 * kill):
                done = int(writer.stdout.readline())
            writer.send_signal(signal.SIGKILL)
            rest = writer.stdout.read().split()
        done = int(rest[-1]) if rest else done
        with Store(path) as store:
            for window in range(done + 1):
                assert len(store.get_many([f"{window}/{i}" for i in range(20)])) == 20
            assert len(store) % 20 == 0


def test_a_worker_reads_what_a_killed_writer_left(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    writer = Store(path)
    writer.put_many([("k", SEVEN)])
    copied = tmp_path / "killed"
    copied.mkdir()
    for file in tmp_path.glob("store.sqlite*"):  # the file and its log, as a kill would leave them
        if not file.name.endswith("-shm"):
            (copied / file.name).write_bytes(file.read_bytes())
    with Store(copied / path.name, readonly=True) as worker:
        assert worker.get_many(["k"]) == {"k": SEVEN}
    writer.close()


def test_a_full_disk_says_so_and_keeps_what_was_stored(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    with Store(path) as store:
        store.put_many([("before", SEVEN)])
        pages = store._connection.execute("PRAGMA page_count").fetchone()[0]  # type: ignore[union-attr]
        store._connection.execute(f"PRAGMA max_page_count = {pages + 2}")  # type: ignore[union-attr]
        with pytest.raises(StoreError, match=r"store\.sqlite \(database or disk is full\).*before is safe.*make room"):
            store.put_many([(f"after {i}", SEVEN) for i in range(1000)])
        store.put_many([("small", SEVEN)])
    with Store(path) as store:
        assert len(store) == 2


def test_a_store_that_turned_read_only_says_so_and_keeps_what_was_stored(tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite") as store:
        store.put_many([("before", SEVEN)])
        store._connection.execute("PRAGMA query_only = ON")  # type: ignore[union-attr]
        with pytest.raises(StoreError, match="attempt to write a readonly database"):
            store.put_many([("after", SEVEN)])
        assert store.get_many(["before", "after"]) == {"before": SEVEN}


def test_a_window_that_cannot_be_written_leaves_none_of_it(tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite") as store:
        with pytest.raises(ValueError, match="not JSON compliant"):
            store.put_many([("good", SEVEN), ("bad", replace(SEVEN, seconds=float("nan")))])
        assert len(store) == 0


def test_a_store_that_another_run_writes_to_names_that_as_the_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_vtc.store._LOCK_SECONDS", 0.05)
    with Store(tmp_path / "store.sqlite") as one, Store(tmp_path / "store.sqlite") as other:
        one._connection.execute("BEGIN IMMEDIATE")  # type: ignore[union-attr]
        with pytest.raises(StoreError, match="another run using this folder"):
            other.put_many([("k", SEVEN)])


# Workers


def test_a_worker_finds_a_missing_store_empty_and_does_not_make_it(tmp_path: Path) -> None:
    with Store(tmp_path / "none" / "store.sqlite", readonly=True) as worker:
        assert worker.get_many(["k"]) == {}
        assert len(worker) == 0
    assert list(tmp_path.iterdir()) == []


def test_a_worker_sees_a_store_that_is_made_after_it(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    with Store(path, readonly=True) as worker:
        assert worker.get_many(["k"]) == {}
        with Store(path) as store:
            store.put_many([("k", SEVEN)])
            assert worker.get_many(["k"]) == {"k": SEVEN}
            store.put_many([("l", SEVEN)])
            assert worker.get_many(["l"]) == {"l": SEVEN}


def test_a_worker_cannot_write(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    Store(path).close()
    with Store(path, readonly=True) as worker, pytest.raises(StoreError, match="for reading only"):
        worker.put_many([("k", SEVEN)])


def test_a_closed_store_says_that_it_is_closed(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.sqlite")
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.get_many(["k"])


# Files it cannot use


def filled(path: Path) -> bytes:
    with Store(path) as store:
        store.put_many([(case_key({"i": i}), SEVEN) for i in range(1000)])
    return path.read_bytes()


def refusal(path: Path, readonly: bool) -> str:
    with pytest.raises(StoreError) as caught, Store(path, readonly=readonly) as store:
        store.get_many([case_key({"i": i}) for i in range(1000)])
    return str(caught.value)


@pytest.mark.parametrize("readonly", [False, True])
def test_a_text_file_is_refused_and_left_as_it_is(tmp_path: Path, readonly: bool) -> None:
    path = tmp_path / "store.sqlite"
    path.write_text("a diary, not a store\n" * 200)
    message = refusal(path, readonly)
    assert f"{path} is no store or a damaged one (file is not a database)" in message
    assert "--vtc-output" in message
    assert path.read_text() == "a diary, not a store\n" * 200


@pytest.mark.parametrize("readonly", [False, True])
@pytest.mark.parametrize("damage", ["cut in half", "cut in its header", "overwritten in the middle"])
def test_a_damaged_store_is_refused_with_a_way_out(tmp_path: Path, damage: str, readonly: bool) -> None:
    path = tmp_path / "store.sqlite"
    whole = filled(path)
    path.write_bytes(
        {
            "cut in half": whole[: len(whole) // 2 + 100],
            "cut in its header": whole[:40],
            "overwritten in the middle": whole[:20_000] + b"\xa5" * 60_000 + whole[80_000:],
        }[damage]
    )
    message = refusal(path, readonly)
    assert f"{path} is no store or a damaged one" in message
    assert "delete it" in message
    assert "\n" not in message


def test_a_damaged_entry_is_named(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    filled(path)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE generation SET payload = '{\"answer\": 1}' WHERE key = ?", (case_key({"i": 7}),))
    connection.close()
    assert f"the entry {case_key({'i': 7})} cannot be read: KeyError: 'n_tokens'" in refusal(path, False)


@pytest.mark.parametrize("readonly", [False, True])
def test_a_store_of_another_version_names_both_versions(tmp_path: Path, readonly: bool) -> None:
    path = tmp_path / "store.sqlite"
    filled(path)
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    message = refusal(path, readonly)
    assert f"store version {SCHEMA_VERSION + 1}, this one reads {SCHEMA_VERSION}" in message
    assert "delete it" in message


@pytest.mark.parametrize("readonly", [False, True])
def test_a_database_of_another_program_is_refused_untouched(tmp_path: Path, readonly: bool) -> None:
    path = tmp_path / "store.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    connection.close()
    before = path.read_bytes()
    message = refusal(path, readonly)
    assert "another program" in message
    assert "delete" not in message
    assert path.read_bytes() == before


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    path.touch()
    with Store(path) as store:
        store.put_many([("k", SEVEN)])
        assert len(store) == 1


def test_an_output_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "results").touch()
    with pytest.raises(StoreError, match=r"cannot make the output folder .*results .*--vtc-output"):
        Store(tmp_path / "results" / "store.sqlite")


def test_a_folder_in_the_place_of_the_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot open .* for writing .*--vtc-output"):
        Store(tmp_path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_is_not_writable_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(StoreError, match=r"cannot open .* for writing .*writable"):
            Store(tmp_path / "store.sqlite")
    finally:
        tmp_path.chmod(0o755)


def test_the_version_stands_for_these_fields() -> None:
    # Fields of Generation are what a store holds: change both together, with a new version.
    assert (SCHEMA_VERSION, [field.name for field in fields(Generation)]) == (
        3,
        [
            "answer",
            "n_tokens",
            "n_asked",
            "n_kept",
            "kv_bytes",
            "n_generated",
            "positions",
            "truncated",
            "beyond_window",
            "seconds",
        ],
    )
