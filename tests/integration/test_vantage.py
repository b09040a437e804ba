"""The watcher's view of a real Kafka: its topics, what a group has committed, and what is missing."""

from __future__ import annotations

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from monitor.adapters.embedded.kafka import EmbeddedKafka
from monitor.adapters.kafka.client import bounded, stop_client
from monitor.adapters.kafka.log import KafkaLog
from monitor.adapters.kafka.security import KafkaAccess
from monitor.adapters.kafka.topic_admin import ensure_topics
from monitor.adapters.kafka.topics import CLOCK, PAGES, product_topics
from monitor.adapters.kafka.vantage import KafkaVantage
from monitor.core.decision import EVERY_RELEASE, Decision, Type
from monitor.engine.errors import TopicUnusable
from monitor.engine.watchman import Overheard
from monitor.wire.cloudevent import of_decision, to_binary
from tests.integration.workers import WAIT_S, eventually


async def say(log: KafkaLog, kind: Type, page_id: str, release: str = EVERY_RELEASE) -> None:
    data = {"page_id": page_id, "summary": f"about {page_id}"}
    message = to_binary(of_decision(Decision(kind, f"{kind}-{page_id}", release, 0, data)))
    await log.append(PAGES, release, message.value, message.headers)


async def commit(access: KafkaAccess, group: str, partition: TopicPartition, offset: int) -> None:
    """Commit as a worker does."""
    consumer = AIOKafkaConsumer(**access.client_options(), group_id=group, enable_auto_commit=False)
    await bounded(consumer.start(), WAIT_S, "a member of the group")
    try:
        consumer.assign([partition])
        await bounded(consumer.commit({partition: offset}), WAIT_S, "its commit")
    finally:
        await stop_client(consumer)


async def test_it_sends_to_each_partition_and_sees_what_the_group_has_committed(
    access: KafkaAccess, unique: str
) -> None:
    await ensure_topics(access, product_topics(traces=unique, trace_partitions=3), 1)
    vantage = KafkaVantage(access, unique, unique)
    try:
        assert list(await vantage.partitions()) == [0, 1, 2]
        assert [await vantage.send(number, b"x") for number in (0, 2, 2)] == [0, 0, 1]
        await commit(access, unique, TopicPartition(unique, 2), 1)
        assert dict(await vantage.progress()) == {2: 1}
    finally:
        await vantage.close()


async def test_it_hears_all_blindness_there_ever_was_and_only_new_signs_of_life(
    own_kafka: EmbeddedKafka, unique: str
) -> None:
    """On a broker of its own: what is said here is about everybody, and some of it is rubbish."""
    access = KafkaAccess(own_kafka.bootstrap)
    await ensure_topics(access, product_topics(traces=unique, trace_partitions=1), 1)
    log, vantage = KafkaLog(access), KafkaVantage(access, unique, unique)
    heard: list[Overheard] = []

    async def listen() -> None:
        heard.append(await vantage.overhear())

    try:
        await log.append(CLOCK, "clock", b"t")
        await say(log, Type.MONITOR_BLIND, f"{unique}-old")
        await say(log, Type.MONITOR_BLIND, f"{unique}-halted", f"{unique}-release")
        await log.append(PAGES, unique, b"no event of anybody's")

        async def is_read() -> bool:
            await listen()
            return heard[-1].is_read

        await eventually(is_read, "all pages are read")
        ours = [one for said in heard for one in said.blind if one[0].startswith(unique)]
        assert [(page, summary) for page, _, summary in ours] == [(f"{unique}-old", f"about {unique}-old")]
        assert not any(said.has_sign for said in heard)

        heard.clear()
        await log.append(CLOCK, "clock", b"t")
        await say(log, Type.MONITOR_RECOVERED, f"{unique}-old")

        async def is_over() -> bool:
            await listen()
            return any(said.has_sign for said in heard) and any(
                f"{unique}-old" in said.recovered for said in heard
            )

        await eventually(is_over, "the recovery and the sign of life are heard")
        assert not any(one[0].startswith(unique) for said in heard for one in said.blind), "said once"
    finally:
        await vantage.close()
        await log.close()


async def test_a_topic_that_is_missing_is_named(access: KafkaAccess, unique: str) -> None:
    vantage = KafkaVantage(access, unique, unique)
    try:
        with pytest.raises(TopicUnusable, match=unique):
            await vantage.partitions()
    finally:
        await vantage.close()
