"""Event time: a minute is closed exactly when everything up to two minutes behind its end was read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.window import (
    BUCKET_MS,
    DUPLICATE_MS,
    FUTURE_MS,
    LATENESS_MS,
    closed_before,
    minute_of,
    tick_ms,
    watermark_minute,
)
from tests.engine.worlds import LAWS

MOMENTS = st.integers(0, 253_402_300_799_999)


def test_the_constants_are_the_contract_s() -> None:
    assert (BUCKET_MS, LATENESS_MS, DUPLICATE_MS, FUTURE_MS) == (60_000, 120_000, 120_000, 300_000)


@pytest.mark.parametrize(
    "at_ms, minute", [(0, 0), (59_999, 0), (60_000, 1), (60_001, 1), (1_700_000_000_000, 28_333_333)]
)
def test_a_minute_begins_at_its_tick(at_ms: int, minute: int) -> None:
    assert minute_of(at_ms) == minute
    assert tick_ms(minute) <= at_ms < tick_ms(minute + 1)


@pytest.mark.parametrize(
    "clock_ms, first_open",
    [
        (120_000, 0),
        (179_999, 0),
        (180_000, 1),  # minute 0 ends at 60 s: two minutes later it closes
        (239_999, 1),
        (240_000, 2),
    ],
)
def test_a_minute_closes_two_minutes_after_its_end(clock_ms: int, first_open: int) -> None:
    assert closed_before(clock_ms) == first_open


@LAWS
@given(MOMENTS, st.integers(0, LATENESS_MS))
def test_what_is_not_late_lies_in_an_open_minute(clock_ms: int, behind_ms: int) -> None:
    assert minute_of(clock_ms - behind_ms) >= closed_before(clock_ms)


@pytest.mark.parametrize(
    "horizons, first_open",
    [
        ([], None),
        ([None], None),
        ([600_000], 8),
        ([600_000, 900_000], 8),  # the slowest one holds
        ([900_000, 600_000, 700_000], 8),
        ([600_000, None], None),  # a partition that was never read holds everything
        ([None, 600_000], None),
    ],
)
def test_the_watermark_is_the_slowest_partition(horizons: list[int | None], first_open: int | None) -> None:
    assert watermark_minute(horizons) == first_open


@LAWS
@given(st.lists(MOMENTS, min_size=1, max_size=6))
def test_no_other_partition_moves_the_slowest(horizons: list[int]) -> None:
    assert watermark_minute(horizons) == closed_before(min(horizons))
    assert watermark_minute(reversed(horizons)) == watermark_minute(horizons)
