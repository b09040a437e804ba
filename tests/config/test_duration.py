"""Durations carry their unit and are whole minutes."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.config.duration import DURATION_PATTERN, NotADuration, in_words, minutes_of


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("24h", 1440),
        ("90m", 90),
        ("60s", 1),
        ("1h30m", 90),
        ("1d12h", 2160),
        ("0m", 0),
        ("14d", 20_160),
        ("30m60s", 31),
    ],
)
def test_a_duration_is_so_many_minutes(text: str, minutes: int) -> None:
    assert minutes_of(text) == minutes


@pytest.mark.parametrize(
    "text",
    [
        "",
        "24",
        "h",
        "1.5h",
        "-1h",
        "+1h",
        "24H",
        "24 h",
        " 24h",
        "24h\n",
        "1m1h",
        "PT24H",
        "1:30",
        "1w",
        "٣h",
        "9" * 9 + "h",
    ],
)
def test_without_its_unit_it_is_none(text: str) -> None:
    with pytest.raises(NotADuration, match="is no duration"):
        minutes_of(text)


@pytest.mark.parametrize("text", ["90s", "1s", "1m30s"])
def test_parts_of_a_minute_are_refused(text: str) -> None:
    with pytest.raises(NotADuration, match="whole number of minutes"):
        minutes_of(text)


@given(st.integers(0, 100_000))
def test_what_is_said_reads_back(minutes: int) -> None:
    assert minutes_of(in_words(minutes)) == minutes


@given(st.text("0123456789dhm ", max_size=10))
def test_the_schema_knows_the_same_durations(text: str) -> None:
    if re.search(DURATION_PATTERN, text):
        assert minutes_of(text) >= 0
    else:
        with pytest.raises(NotADuration, match="is no duration"):
            minutes_of(text)
