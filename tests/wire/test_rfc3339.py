"""RFC 3339 moments: the fast reader is the strict one, and the strict one is the standard library's, but stricter."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.event import MAX_AT_MS
from monitor.core.moment import rfc3339
from monitor.wire.rfc3339 import parse, parse_strictly
from tests.wire.trace_inputs import rfc3339_like

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@settings(max_examples=400, deadline=None)
@given(rfc3339_like() | st.text(max_size=30) | st.text("0123456789-T:.Z+", max_size=30))
def test_the_fast_reader_is_the_strict_one(text: str) -> None:
    assert parse(text) == parse_strictly(text)


@settings(max_examples=200, deadline=None)
@given(
    st.datetimes(min_value=datetime(1, 1, 3), max_value=datetime(9999, 12, 29)),  # noqa: DTZ001 - given a zone below
    st.integers(-1439, 1439),
    st.sampled_from(["auto", "milliseconds", "microseconds"]),
)
def test_what_the_standard_library_writes_is_read(moment: datetime, offset_min: int, timespec: str) -> None:
    there = moment.replace(tzinfo=timezone(timedelta(minutes=offset_min)))
    whole = there - timedelta(microseconds=there.microsecond % 1000)
    assert parse(there.isoformat(timespec=timespec)) == (whole - EPOCH) // timedelta(milliseconds=1)


@given(st.integers(0, 253_402_300_799_999))
def test_what_we_write_we_read(at_ms: int) -> None:
    assert parse(rfc3339(at_ms)) == at_ms


def test_leap_seconds_stand_at_the_end_of_a_month_in_utc_only() -> None:
    assert parse("2016-12-31T23:59:60Z") == parse("2017-01-01T00:00:00Z")
    assert parse("2017-01-01T05:29:60.25+05:30") == parse("2017-01-01T00:00:00.25Z")
    assert parse("2016-12-30T23:59:60Z") is None
    assert parse("2016-12-31T23:59:60+01:00") is None
    assert parse("1969-12-31T23:59:60Z") == 0


def test_the_last_moment_is_the_end_of_the_form() -> None:
    assert parse("9999-12-31T23:59:59.999Z") == MAX_AT_MS
    assert rfc3339(MAX_AT_MS) == "9999-12-31T23:59:59.999Z"
