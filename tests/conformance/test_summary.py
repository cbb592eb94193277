"""The table at the end of a conformance run."""

from __future__ import annotations

from pytest_vtc.conformance.summary import Tried, summary


def tried(compressor: str, name: str, outcome: str = "passed", seconds: float | None = None, reason: str = "") -> Tried:
    return Tried(compressor, 3, name, outcome, seconds, reason)


def verdict(*properties: Tried) -> str:
    return summary(["mine"], properties)[2].removeprefix("mine").strip()


def test_one_that_has_all_properties_conforms() -> None:
    assert verdict(tried("mine", "runs"), tried("mine", "a"), tried("mine", "time", seconds=0.0123)) == (
        "conforms         12.3 ms"
    )


def test_one_that_lacks_some_breaks_them() -> None:
    properties = [tried("mine", "runs"), tried("mine", "a", "failed"), tried("mine", "b", "failed")]
    assert verdict(*properties).startswith("breaks 2 of 3")
    assert "mine breaks a, b" in summary(["mine"], properties)


def test_one_of_which_a_part_was_tried_holds_that_part() -> None:
    assert verdict(tried("mine", "runs"), tried("mine", "a")).startswith("holds 2 of 3")


def test_one_that_could_not_be_run_was_not_tried() -> None:
    properties = [tried("mine", "a"), *(tried("mine", name, "skipped", reason="why") for name in ("runs", "b"))]
    assert verdict(*properties).startswith("not tried")
    assert "not tried, as why: runs, b of mine" in summary(["mine"], properties)


def test_one_reason_for_all_is_said_once() -> None:
    properties = [tried(spec, "device", "skipped", reason="why") for spec in ("mine", "other")]
    assert [line for line in summary(["mine", "other"], properties) if "why" in line] == [
        "not tried, as why: device of each"
    ]


def test_more_than_a_second_an_image_is_said_to_be_slow() -> None:
    lines = summary(["mine"], [tried("mine", "time", seconds=1.5)])
    assert lines[2].endswith("1500 ms")
    assert "slow, more than 1 s an image: mine" in lines


def test_long_names_stay_within_80_columns() -> None:
    spec = f"mine({', '.join(f'parameter_{i}=0.123456' for i in range(9))})"
    properties = [tried(spec, f"property-{i}", "failed") for i in range(20)]
    assert max(map(len, summary([spec], properties))) <= 80
