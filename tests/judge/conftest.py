"""A judge for the tests, and no keys of whoever runs them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.judge.fake_judge import FakeJudge


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VTC_JUDGE_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def fake_judge() -> Iterator[FakeJudge]:
    with FakeJudge().running() as judge:
        yield judge
