"""The history's records: an hour comes back as it was written, and what is none is refused by name."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.wire.history import HistoryLine, NoHistoryRecord, from_history, to_history

LINE = HistoryLine("model-v41", 498_706, 60, False, b"\x9c\x01\x02")


@given(
    st.builds(
        HistoryLine,
        release=st.text(st.characters(codec="utf-8"), min_size=1, max_size=128),
        hour=st.integers(0, 2_000_000),
        minutes=st.integers(1, 60),
        breached=st.booleans(),
        packed=st.binary(min_size=3, max_size=500),
    )
)
def test_an_hour_comes_back_as_it_was(line: HistoryLine) -> None:
    key, value = to_history(line)
    assert key == f"{line.release}/{line.hour}"
    assert from_history(value) == line


def test_the_hour_is_told_as_people_write_it() -> None:
    assert json.loads(to_history(LINE)[1])["hour"] == "2026-11-22T10:00:00.000Z"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"minutes": 0}, "minutes: Input should be greater than or equal to 1"),
        ({"minutes": 61}, "minutes: Input should be less than or equal to 60"),
        ({"hour": "2026-11-22T10:30:00.000Z"}, "is not the beginning of an hour"),
        ({"hour": "2026-11-32T10:00:00.000Z"}, "history: "),
        ({"cell": "AAA"}, "cell: String should have at least 4 characters"),
        ({"cell": "AAAAA"}, "history: "),
        ({"requests": 7}, "requests: Extra inputs are not permitted"),
    ],
)
def test_what_is_no_hour_is_refused_with_the_reason(change: dict[str, object], said: str) -> None:
    record = {**json.loads(to_history(LINE)[1]), **change}
    with pytest.raises(NoHistoryRecord) as refused:
        from_history(json.dumps(record).encode())
    assert said in str(refused.value)


@pytest.mark.parametrize("value", [b"", b"{", b"[]", b"\xff"])
def test_what_is_no_json_object_is_refused(value: bytes) -> None:
    with pytest.raises(NoHistoryRecord):
        from_history(value)
