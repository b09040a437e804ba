"""The trace consumer against a real broker: exact positions through new groups, take-overs, restarts and outages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import CommitFailedError
from aiokafka.structs import TopicPartition

from monitor.adapters.embedded.kafka import EmbeddedKafka
from monitor.adapters.kafka.clock import BrokerClock
from monitor.adapters.kafka.consumer import TraceConsumer
from monitor.adapters.kafka.log import KafkaLog
from monitor.adapters.kafka.security import KafkaAccess
from monitor.adapters.kafka.stuck import Progress
from monitor.adapters.kafka.topic_admin import ensure_topics
from monitor.adapters.kafka.topics import WantedTopic
from monitor.engine.errors import OffsetOutOfRange, PartitionLost
from monitor.engine.ports import Partition
from tests.integration.conftest import MakeTopic

# Long enough for a machine that stops this process for seconds, and waited for once: by the test of a lost member.
SESSION_MS = 10_000
WAIT_S = 120
HOUR_MS = 3_600_000

Join = Callable[..., Coroutine[None, None, TraceConsumer]]


@pytest.fixture
async def join(access: KafkaAccess, unique: str) -> AsyncIterator[Join]:
    """Brings a member into the test's group."""
    members: list[TraceConsumer] = []

    async def member(name: str, **options: object) -> TraceConsumer:
        consumer = TraceConsumer(access, unique, f"g-{unique}", name, SESSION_MS, **options)  # type: ignore[arg-type]
        members.append(consumer)
        await consumer.start()
        return consumer

    yield member
    for consumer in members:
        await consumer.stop()


async def produce(
    access: KafkaAccess, topic: str, counts: Mapping[int, int], transactional: str | None = None
) -> None:
    """Append so many records to each partition; each says its number within this call."""
    producer = AIOKafkaProducer(**access.client_options(), transactional_id=transactional)
    await producer.start()
    if transactional:
        await producer.begin_transaction()
    for partition, count in counts.items():
        for number in range(count):
            await producer.send(topic, str(number).encode(), partition=partition)
    if transactional:
        await producer.commit_transaction()
    await producer.stop()


async def until(condition: Callable[[], bool], *polled: TraceConsumer) -> None:
    """Poll the members, as a worker does, until the condition holds."""
    async with asyncio.timeout(WAIT_S):
        while not condition():
            for consumer in polled:
                assert await consumer.getmany(timeout_ms=50) == {}


async def read(consumer: TraceConsumer, count: int) -> dict[int, list[int]]:
    """Read so many records; returns the offsets of each partition."""
    offsets: dict[int, list[int]] = {}
    async with asyncio.timeout(WAIT_S):
        while sum(map(len, offsets.values())) < count:
            for partition, records in (await consumer.getmany(timeout_ms=200)).items():
                offsets.setdefault(partition.number, []).extend(record.offset for record in records)
    return offsets


async def test_a_new_group_starts_paused_and_raises_nothing(
    access: KafkaAccess, make_topic: MakeTopic, join: Join
) -> None:
    """No commit exists, and no reset is allowed: still nothing escapes before the owner has said where to begin."""
    topic = await make_topic(3)
    await produce(access, topic, {0: 10, 1: 10, 2: 10})
    told: list[frozenset[Partition]] = []
    consumer = await join("w1", on_assigned=told.append)
    everything = frozenset(Partition(topic, number) for number in range(3))
    assert told == [everything]
    assert consumer.owned == everything
    for _ in range(6):
        assert await consumer.getmany(timeout_ms=100) == {}
    await consumer.seek_and_resume(Partition(topic, 0), 4)
    assert await read(consumer, 6) == {0: [4, 5, 6, 7, 8, 9]}
    await consumer.seek_and_resume(Partition(topic, 1), 0)
    await consumer.seek_and_resume(Partition(topic, 2), 10)
    assert await read(consumer, 10) == {1: list(range(10))}


async def test_a_committed_offset_is_never_followed(
    access: KafkaAccess, make_topic: MakeTopic, join: Join
) -> None:
    """Kafka's commit is a witness: reading begins where the state store says, and only when it said so."""
    topic = await make_topic(1)
    await produce(access, topic, {0: 20})
    first = await join("w1")
    await first.commit({Partition(topic, 0): 15, Partition("foreign", 0): 3})
    assert await first.committed(Partition(topic, 0)) == 15
    assert first.failed_commits == 0
    await first.stop()
    second = await join("w1")
    assert await second.getmany(timeout_ms=200) == {}
    await second.seek_and_resume(Partition(topic, 0), 2)
    assert (await read(second, 18))[0][0] == 2


async def test_a_lost_member_is_replaced_at_exactly_its_positions(
    access: KafkaAccess, make_topic: MakeTopic, join: Join
) -> None:
    """Two members share four partitions; one goes without a word; every record is delivered exactly once."""
    topic = await make_topic(4)
    lost: list[frozenset[Partition]] = []
    one = await join("w1", on_revoked=lost.append)
    starting = asyncio.create_task(join("w2"))
    await until(lambda: starting.done() and len(one.owned) == 2, one)
    two = await starting
    await until(lambda: len(two.owned) == 2, one, two)
    assert one.owned.isdisjoint(two.owned)
    assert len(one.owned | two.owned) == 4
    assert frozenset(Partition(topic, number) for number in range(4)) in lost

    await produce(access, topic, dict.fromkeys(range(4), 25))
    stored: dict[int, list[int]] = {}  # what a state store would hold
    for consumer in (one, two):
        for partition in consumer.owned:
            await consumer.seek_and_resume(partition, 0)
        stored |= await read(consumer, 50)
    assert stored == {number: list(range(25)) for number in range(4)}

    await two.stop()  # static: it does not leave, its session has to end
    assert two.owned == frozenset()
    await produce(access, topic, dict.fromkeys(range(4), 5))
    async with asyncio.timeout(WAIT_S):
        while len(one.owned) < 4:
            for partition, records in (await one.getmany(timeout_ms=50)).items():
                stored[partition.number] += [record.offset for record in records]
    for partition in one.owned:
        await one.seek_and_resume(partition, len(stored[partition.number]))
    async with asyncio.timeout(WAIT_S):
        while sum(map(len, stored.values())) < 120:
            for partition, records in (await one.getmany(timeout_ms=100)).items():
                stored[partition.number] += [record.offset for record in records]
    assert stored == {number: list(range(30)) for number in range(4)}


async def test_a_restart_within_the_session_disturbs_nobody(
    access: KafkaAccess, make_topic: MakeTopic, join: Join
) -> None:
    """A static member comes back to its partitions; the others are not told of anything."""
    topic = await make_topic(4)
    revoked: list[frozenset[Partition]] = []
    one = await join("w1", on_revoked=revoked.append)
    starting = asyncio.create_task(join("w2"))
    await until(lambda: starting.done() and len(one.owned) == 2, one)
    two = await starting
    before, told = two.owned, len(revoked)
    await two.stop()
    again = await join("w2")
    assert again.owned == before
    for partition in before:
        await again.seek_and_resume(partition, 0)
    await produce(access, topic, {partition.number: 3 for partition in before})
    assert await read(again, 6) == {partition.number: [0, 1, 2] for partition in before}
    await until(lambda: True, one)
    assert len(revoked) == told
    assert len(one.owned) == 2


async def test_what_is_not_ours_cannot_be_started(
    access: KafkaAccess, make_topic: MakeTopic, join: Join
) -> None:
    topic = await make_topic(1)
    consumer = await join("w1")
    await consumer.stop()
    other = await join("w1")
    other._revoked([TopicPartition(topic, 0)])  # as the library calls it when a rebalance begins
    with pytest.raises(PartitionLost, match=f"{topic}/0"):
        await other.seek_and_resume(Partition(topic, 0), 0)
    assert await other.position(Partition(topic, 0)) is None
    assert not await other.is_at_end(Partition(topic, 0))
    assert other.last_fetch_ms(Partition(topic, 0)) is None


@pytest.mark.parametrize("offset", [11, 1000])
async def test_an_offset_beyond_the_log_is_refused_with_its_bounds(
    access: KafkaAccess, make_topic: MakeTopic, join: Join, offset: int
) -> None:
    topic = await make_topic(1)
    await produce(access, topic, {0: 10})
    consumer = await join("w1")
    with pytest.raises(OffsetOutOfRange, match="it holds 0 to 10") as refused:
        await consumer.seek_and_resume(Partition(topic, 0), offset)
    assert (refused.value.offset, refused.value.first, refused.value.end) == (offset, 0, 10)
    assert await consumer.getmany(timeout_ms=100) == {}


async def test_retention_that_overtakes_us_is_an_error_of_that_partition_only(
    access: KafkaAccess, make_topic: MakeTopic, join: Join
) -> None:
    topic = await make_topic(2)
    await produce(access, topic, {0: 10, 1: 10})
    consumer = await join("w1")
    gone, other = Partition(topic, 0), Partition(topic, 1)
    await consumer.seek_and_resume(gone, 0)
    consumer.pause([gone])
    admin = AIOKafkaAdminClient(**access.client_options())
    await admin.start()
    await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(before_offset=5)})
    await admin.close()
    consumer.resume([gone])
    with pytest.raises(OffsetOutOfRange, match="rebuilt") as raised:
        await until(lambda: False, consumer)
    assert (raised.value.topic, raised.value.number, raised.value.offset) == (topic, 0, 0)
    await consumer.seek_and_resume(other, 7)
    assert await read(consumer, 3) == {1: [7, 8, 9]}
    assert await consumer.beginning_offset(gone) == 5
    with pytest.raises(OffsetOutOfRange, match="it holds 5 to 10"):
        await consumer.seek_and_resume(gone, 0)
    await consumer.seek_and_resume(gone, 5)
    assert await read(consumer, 5) == {0: [5, 6, 7, 8, 9]}


async def test_a_pause_delivers_nothing_and_loses_nothing(
    access: KafkaAccess, make_topic: MakeTopic, join: Join
) -> None:
    topic = await make_topic(1)
    consumer = await join("w1")
    partition = Partition(topic, 0)
    await consumer.seek_and_resume(partition, 0)
    await produce(access, topic, {0: 30})
    got: list[int] = []
    async with asyncio.timeout(WAIT_S):
        while len(got) < 7:
            for records in (await consumer.getmany(200, max_records=7 - len(got))).values():
                got += [record.offset for record in records]
    assert got == list(range(7))
    consumer.pause([partition])
    for _ in range(3):
        assert await consumer.getmany(timeout_ms=50) == {}
    consumer.resume([partition])
    assert await read(consumer, 23) == {0: list(range(7, 30))}


async def test_seeking_back_replays_and_never_mixes_old_with_new(
    access: KafkaAccess, make_topic: MakeTopic, join: Join
) -> None:
    topic = await make_topic(1)
    await produce(access, topic, {0: 40})
    consumer = await join("w1")
    partition = Partition(topic, 0)
    for start in (0, 10, 3, 39):
        await consumer.seek_and_resume(partition, start)
        assert await read(consumer, 40 - start) == {0: list(range(start, 40))}


async def test_the_end_is_known_across_a_gap_and_the_clock_proves_it(
    access: KafkaAccess, make_topic: MakeTopic, join: Join
) -> None:
    """A transaction's marker is the last thing in the log: no record, and yet the end."""
    topic = await make_topic(1)
    await ensure_topics(access, [WantedTopic(f"{topic}-clock", 1, stamped_by_broker=True)])
    await produce(access, topic, {0: 4}, transactional=topic)
    consumer, partition, log = await join("w1"), Partition(topic, 0), KafkaLog(access)
    await consumer.seek_and_resume(partition, 0)
    assert not await consumer.is_at_end(partition)  # nothing was fetched yet
    assert await read(consumer, 4) == {0: [0, 1, 2, 3]}
    reading = await BrokerClock(log, f"{topic}-clock").probe()
    async with asyncio.timeout(WAIT_S):  # the broker may write the marker after it has answered the commit
        while await consumer.end_offsets([partition]) != {partition: 5}:
            assert await consumer.getmany(timeout_ms=50) == {}
    async with asyncio.timeout(WAIT_S):
        while await consumer.position(partition) != 5:
            assert await consumer.getmany(timeout_ms=50) == {}
    assert await consumer.is_at_end(partition)
    assert (consumer.last_fetch_ms(partition) or 0) > 0
    await produce(access, topic, {0: 1})
    await consumer.seek_and_resume(partition, 0)
    stamps: dict[int, int] = {}
    async with asyncio.timeout(WAIT_S):
        while len(stamps) < 5:
            for records in (await consumer.getmany(timeout_ms=200)).values():
                stamps |= {record.offset: record.timestamp for record in records}
    assert abs(stamps[5] - reading.broker_ms) < HOUR_MS
    # The first that is not older; where the machine's clock has stepped back, that is one of those before it.
    first = min(offset for offset, at_ms in stamps.items() if at_ms >= stamps[5])
    assert await consumer.offset_for_time(partition, stamps[5]) == first
    assert await consumer.offset_for_time(partition, max(stamps.values()) + HOUR_MS) is None
    assert await consumer.end_offsets([]) == {}
    await log.close()


async def test_a_commit_that_fails_is_counted_and_harmless(
    make_topic: MakeTopic, join: Join, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    topic = await make_topic(1)
    consumer = await join("w1")

    async def fail(_offsets: object) -> None:
        raise CommitFailedError

    monkeypatch.setattr(consumer._running, "commit", fail)
    await consumer.commit({Partition(topic, 0): 1})
    assert consumer.failed_commits == 1
    assert "harmless" in caplog.text


async def test_a_cancelled_read_loses_nothing(access: KafkaAccess, make_topic: MakeTopic, join: Join) -> None:
    topic = await make_topic(1)
    consumer = await join("w1")
    await consumer.seek_and_resume(Partition(topic, 0), 0)
    for _ in range(5):
        cancelled = asyncio.create_task(consumer.getmany(timeout_ms=10_000))
        await asyncio.wait({cancelled}, timeout=0)
        cancelled.cancel()
        await asyncio.wait({cancelled})
    await produce(access, topic, {0: 10})
    assert await read(consumer, 10) == {0: list(range(10))}


async def test_an_outage_of_the_broker_leaves_the_position_where_it_was(own_kafka: EmbeddedKafka) -> None:
    access = KafkaAccess(own_kafka.bootstrap)
    await ensure_topics(access, [WantedTopic("t", 1)])
    await produce(access, "t", {0: 10})
    consumer = TraceConsumer(access, "t", "g", "w1", 6_000)
    await consumer.start()
    await consumer.seek_and_resume(Partition("t", 0), 3)
    assert await read(consumer, 7) == {0: list(range(3, 10))}
    own_kafka.kill()
    for _ in range(5):
        assert await consumer.getmany(timeout_ms=50) == {}
    await asyncio.to_thread(own_kafka.start)
    await produce(access, "t", {0: 5})
    offsets: list[int] = []
    async with asyncio.timeout(WAIT_S):
        while len(offsets) < 5:
            for partition in consumer.owned:
                if await consumer.position(partition) is None:  # the outage cost the membership: begin again
                    await consumer.seek_and_resume(partition, 10 + len(offsets))
            for records in (await consumer.getmany(timeout_ms=100)).values():
                offsets += [record.offset for record in records]
    assert offsets == list(range(10, 15))
    await consumer.stop()


async def test_a_client_that_has_stopped_fetching_in_silence_is_made_anew(
    access: KafkaAccess, make_topic: MakeTopic, join: Join
) -> None:
    """It stays a member and answers every question, and only progress tells that it reads nothing any more."""
    topic = await make_topic(1)
    await produce(access, topic, {0: 3})
    consumer, partition = await join("w1"), Partition(topic, 0)
    await consumer.seek_and_resume(partition, 0)
    assert await read(consumer, 3) == {0: [0, 1, 2]}
    before, fetcher = consumer.generation, consumer._running._fetcher
    fetching = {fetcher._fetch_task, *fetcher._pending_tasks}
    assert all(task.cancel() or task.done() for task in fetching)
    await asyncio.wait(fetching)
    consumer._progress = Progress(1.0)
    await produce(access, topic, {0: 3})
    async with asyncio.timeout(WAIT_S):
        while consumer.generation == before or partition not in consumer.owned:
            await consumer.end_offsets([partition])
            assert await consumer.getmany(timeout_ms=50) == {}
    consumer._progress = Progress()
    await consumer.seek_and_resume(partition, 3)
    assert await read(consumer, 3) == {0: [3, 4, 5]}
