"""Replaying a range of a real topic: the same decisions as from a file, read-only, within the bounds given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from monitor.adapters.kafka.security import KafkaAccess
from monitor.adapters.kafka.topic_range import RangeReader, RangeRecord, topic_range
from monitor.adapters.recordings import RecordingUnreadable
from monitor.cli import main
from tests.golden.cases import CASES
from tests.golden.replays import recorded
from tests.golden.traffic import STORIES, lines_of
from tests.integration.conftest import MakeTopic

CASE = next(case for case in CASES if case.name == "task_success")


async def produce(
    access: KafkaAccess, topic: str, values: list[bytes | None], partitions: int, codec: str | None = None
) -> list[int]:
    """Write records round robin and return the broker's times of them."""
    producer = AIOKafkaProducer(**access.client_options(), linger_ms=0, acks="all", compression_type=codec)
    await producer.start()
    try:
        sent = [
            await producer.send(topic, value, key=b"any", partition=number % partitions)
            for number, value in enumerate(values)
        ]
        return [(await one).timestamp for one in sent]
    finally:
        await producer.stop()


async def ranged(access: KafkaAccess, url: str) -> list[RangeRecord]:
    reader = RangeReader(access, topic_range(url))
    try:
        await reader.start()
        found = [record async for batch in reader.batches() for record in batch.records]
        assert reader.done == reader.total
        return found
    finally:
        await reader.stop()


def by_id(lines: str | bytes) -> dict[str, Any]:
    return {event["id"]: event for event in map(json.loads, lines.splitlines())}


@pytest.mark.parametrize("codec", [None, "lz4"])
async def test_a_topic_gives_the_decisions_that_its_file_gives(
    codec: str | None,
    access: KafkaAccess,
    make_topic: MakeTopic,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """Three partitions, of which one is a desert, and none of them in the file's order."""
    import asyncio

    topic, known = await make_topic(4), await groups(access)
    await produce(access, topic, list(lines_of(STORIES[CASE.traffic])), 3, codec)
    summary = tmp_path / "summary.json"
    arguments = ["replay", "--budget", str(CASE.budget), "--events", f"kafka://{access.bootstrap}/{topic}"]
    # A thread of its own: the command runs an event loop itself.
    assert await asyncio.to_thread(main, [*arguments, "--summary", str(summary)]) == 0
    out = capfd.readouterr().out
    assert by_id(out) == by_id(recorded(CASE)[1])
    assert json.loads(summary.read_text())["accepted"] == len(lines_of(STORIES[CASE.traffic]))
    assert await groups(access) <= known  # reading a range joins no group


async def groups(access: KafkaAccess) -> set[str]:
    """The consumer groups that the broker knows."""
    admin = AIOKafkaAdminClient(**access.client_options())
    await admin.start()
    try:
        return {group for group, *_ in await admin.list_consumer_groups()}
    finally:
        await admin.close()


async def test_bounds_by_offset_and_by_time_hold_in_every_partition(
    access: KafkaAccess, make_topic: MakeTopic
) -> None:
    topic = await make_topic(2)
    values = [b"%d" % number for number in range(40)]
    stamps = await produce(access, topic, [*values[:20], None, None], 2)
    later = await produce(access, topic, list(values[20:]), 2)
    url = f"kafka://{access.bootstrap}/{topic}"
    assert {record.value for record in await ranged(access, url)} == {*values, None}
    some = await ranged(access, f"{url}?offsets=1:2-5")
    assert [(record.lane, record.value) for record in some] == [(0, b"5"), (0, b"7"), (0, b"9")]
    # A machine's clock may step back between two records.
    until = await ranged(access, f"{url}?from={min(stamps)}&to={min(later)}")
    assert {record.value for record in until} <= {*values[:20], None}
    assert await ranged(access, f"{url}?from={max(*stamps, *later) + 1}") == []
    for bad in (f"{url}?offsets=0:0-900", f"{url}?offsets=7:0-", f"kafka://{access.bootstrap}/no-such-topic"):
        with pytest.raises(RecordingUnreadable):
            await ranged(access, bad)


def test_a_broker_that_is_away_is_one_clear_message(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["replay", "--budget", str(CASE.budget), "--events", "kafka://127.0.0.1:1/t"]
    assert main(arguments) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("rollback-budget: connecting to 127.0.0.1:1: ")
    assert len(err.splitlines()) == 1
