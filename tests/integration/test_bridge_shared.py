"""Bridges that share the partitions: one joins and one leaves while traces are open, and every request is whole."""

from __future__ import annotations

from pathlib import Path

from monitor.adapters.kafka.security import KafkaAccess
from monitor.adapters.kafka.topic_admin import ensure_topics
from monitor.adapters.kafka.topics import WantedTopic
from tests.integration.test_bridge import PARTITIONS, TRACES, Traces, bridge, judge, part, produce
from tests.integration.workers import eventually


async def test_a_second_bridge_takes_its_share_and_the_first_leaves(
    access: KafkaAccess, tmp_path: Path, unique: str
) -> None:
    name, topics = unique, ("spans", "logs", "traces")
    await ensure_topics(access, [WantedTopic(f"{name}-{what}", PARTITIONS) for what in topics], 1)
    # As the collector places them where the trace's id is the key: both topics alike.
    rows = [
        (topic, index // 3 % PARTITIONS, value)
        for index, (topic, _, value) in enumerate(part(name, 1_000, 300))
    ]
    assert len(rows) == 900
    first, second = bridge(access, name, tmp_path).start(), bridge(access, name, tmp_path, member="second")
    traces = Traces(access, f"{name}-traces")
    try:
        await traces.start()

        async def until(requests: int) -> None:
            async def are_there() -> bool:
                assert any(one.is_running for one in (first, second)), (
                    first.log[-2_000:] + second.log[-2_000:]
                )
                await traces.read()
                return len(traces.ids("request")) >= requests

            await eventually(are_there, f"{requests} requests are told of")

        await produce(access, rows[:300])
        await until(1)
        second.start()
        await produce(access, rows[300:600])
        await until(101)
        assert await first.terminate() == 0, first.log[-2_000:]
        await produce(access, rows[600:])
        await until(TRACES)
        assert await second.terminate() == 0, second.log[-2_000:]
    finally:
        first.close()
        second.close()
        await traces.stop()
    judge(traces, range(1_000, 1_000 + TRACES))
    assert "Traceback" not in first.log + second.log
