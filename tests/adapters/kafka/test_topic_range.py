"""A range of a topic as people write it, and how its partitions are put in order."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.adapters.kafka.topic_range import RangeRecord, TopicRange, merged, topic_range
from monitor.adapters.recordings import RecordingUnreadable

NINE = 1_795_305_600_000  # 2026-11-22T00:00:00Z

WRITTEN = [
    ("kafka://127.0.0.1:9092/llm.traces.v1", TopicRange("127.0.0.1:9092", "llm.traces.v1")),
    ("kafka://a:1,b:2/t", TopicRange("a:1,b:2", "t")),
    ("kafka:///t", TopicRange(None, "t")),
    ("kafka://h:1/t?from=2026-11-22T00:00:00Z", TopicRange("h:1", "t", from_ms=NINE)),
    ("kafka://h:1/t?from=2026-11-22T02:00:00+02:00", TopicRange("h:1", "t", from_ms=NINE)),
    ("kafka://h:1/t?from=2026-11-22T02%3A00%3A00%2B02%3A00", TopicRange("h:1", "t", from_ms=NINE)),
    (f"kafka://h:1/t?from=5&to={NINE}", TopicRange("h:1", "t", from_ms=5, to_ms=NINE)),
    (
        "kafka://h:1/t?offsets=0:100-250,1:80-,2:-7,3:-",
        TopicRange("h:1", "t", offsets={0: (100, 250), 1: (80, None), 2: (None, 7), 3: (None, None)}),
    ),
]

REFUSED = {
    "kafka://[::bad/traces": "is no address",
    "kafka://user:password@[::bad/traces": "is no address",
    "kafka://h:1": "'' is no topic",
    "kafka://h:1/a/b": "'a/b' is no topic",
    "kafka://user:password@h:1/t": "names a user; user and password come from ROLLBACK_BUDGET_KAFKA_*",
    "kafka://h:1/t?from=yesterday": "from=yesterday is no moment",
    "kafka://h:1/t?to=2026-11-22T00:00:00": "to=2026-11-22T00:00:00 is no moment; write RFC 3339 with an offset",
    "kafka://h:1/t?from=1&from=2": "'from=2' is not understood; known are from, to and offsets, each once",
    "kafka://h:1/t?group=x": "'group=x' is not understood",
    "kafka://h:1/t?from": "'from' is not understood",
    "kafka://h:1/t?from=1&offsets=0:1-": "give either times (from, to) or offsets",
    "kafka://h:1/t?offsets=0": "offsets=0 is not understood; write partition:first-end",
    "kafka://h:1/t?offsets=0:1-2,0:3-4": "offsets=0:3-4 is not understood",
}


@pytest.mark.parametrize(("url", "expected"), WRITTEN)
def test_a_range_means_what_its_url_says(url: str, expected: TopicRange) -> None:
    assert topic_range(url) == expected


@pytest.mark.parametrize("url", REFUSED)
def test_what_is_not_understood_is_refused_with_the_form(url: str) -> None:
    with pytest.raises(RecordingUnreadable) as refused:
        topic_range(url)
    assert REFUSED[url] in str(refused.value)
    assert "the form is kafka://host:port/topic?from=" in str(refused.value)
    assert "password@" not in str(refused.value)


@dataclass
class Fetched:
    timestamp: int
    value: bytes


@given(st.lists(st.lists(st.integers(0, 50), min_size=1, max_size=20), min_size=1, max_size=5))
def test_partitions_are_merged_by_time_and_keep_their_own_order(stamps: list[list[int]]) -> None:
    waiting = {
        lane: deque(Fetched(at_ms, b"%d-%d" % (lane, number)) for number, at_ms in enumerate(times))
        for lane, times in enumerate(stamps)
    }
    said = merged(waiting)
    for lane, times in enumerate(stamps):
        own = [record for record in said if record.lane == lane]
        assert own == [
            RangeRecord(lane, at_ms, b"%d-%d" % (lane, number))
            for number, at_ms in enumerate(times[: len(own)])
        ]
    assert any(not records for records in waiting.values())  # it goes on until one has to be fetched
    if all(times == sorted(times) for times in stamps):
        assert [record.at_ms for record in said] == sorted(record.at_ms for record in said)
