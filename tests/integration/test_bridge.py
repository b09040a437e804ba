"""The bridge as a process on a real Kafka: killed in the middle, it loses no request and says none differently."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from benchmarks.otlp_payloads import evaluation, logs_value, request, spans_value, trace_id
from monitor.adapters.kafka.client import bounded, stop_client
from monitor.adapters.kafka.decode import TraceRecord, decode
from monitor.adapters.kafka.security import KafkaAccess
from monitor.adapters.kafka.span_topics import SpanConsumer
from monitor.adapters.kafka.topic_admin import ensure_topics
from monitor.adapters.kafka.topics import WantedTopic
from monitor.adapters.kafka.trace_topic import KafkaTraceTopic
from monitor.engine.errors import TopicUnusable
from tests.integration.workers import WAIT_S, Worker, eventually

PARTITIONS = 2
TRACES = 300  # in three parts: before the first bridge, while it runs, and while it is dead
LATE = range(0, 100, 10)  # of these the evaluation comes when the request has been told of
SOONER = LATE[:5]  # before the bridge is killed; of the others after it was started again


async def produce(access: KafkaAccess, rows: list[tuple[str, int, bytes]]) -> None:
    producer = AIOKafkaProducer(**access.client_options(), enable_idempotence=True)
    await bounded(producer.start(), WAIT_S, "the test's producer")
    try:
        sent = [await producer.send(topic, value, partition=partition) for topic, partition, value in rows]
        await asyncio.gather(*sent)
    finally:
        await stop_client(producer)


def part(name: str, first: int, count: int) -> list[tuple[str, int, bytes]]:
    """Return records of some traces: model spans, roots and labels apart from each other, and any partition."""
    rows = []
    for number in range(first, first + count):
        root, model = request(number)
        rows.append((f"{name}-spans", number % PARTITIONS, spans_value(model)))
        rows.append((f"{name}-spans", number // 3 % PARTITIONS, spans_value(root)))
        if number not in LATE:
            label = "fail" if number % 7 == 0 else "pass"
            said = evaluation(number, 950.0, "task_success", label=label)
            rows.append((f"{name}-logs", number % PARTITIONS, logs_value(said)))
    return rows


class Traces:
    """The traces topic, read from its first record."""

    def __init__(self, access: KafkaAccess, topic: str) -> None:
        self._consumer = AIOKafkaConsumer(**access.client_options(), group_id=None, enable_auto_commit=False)
        self._parts = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        self.events: list[tuple[int, bytes | None, TraceRecord]] = []

    async def start(self) -> None:
        await bounded(self._consumer.start(), WAIT_S, "the test's consumer")
        self._consumer.assign(self._parts)
        await self._consumer.seek_to_beginning()

    async def read(self) -> None:
        batches = await self._consumer.getmany(timeout_ms=200)
        for partition, records in batches.items():
            for record in records:
                event = decode(record.value)
                assert isinstance(event, TraceRecord), event
                self.events.append((partition.partition, record.key, event))

    def ids(self, kind: str) -> set[str | None]:
        return {event.trace_id for _, _, event in self.events if event.kind == kind}

    async def stop(self) -> None:
        await stop_client(self._consumer)


def bridge(
    access: KafkaAccess, name: str, folder: Path, group: str | None = None, member: str = "bridge"
) -> Worker:
    """Describe a bridge that stays, or with a group of its own one that leaves at the end."""
    settings = {
        "kafka_bootstrap": access.bootstrap,
        "redis_url": "redis://127.0.0.1:9/0",  # nobody is there, and nobody is asked
        "traces_topic": f"{name}-{'traces' if group is None else 'again'}",
        "bridge_spans_topic": f"{name}-spans",
        "bridge_logs_topic": f"{name}-logs",
        "bridge_group": group or name,
        "bridge_window_s": 1,
        "session_timeout_ms": 6_000,
        "log_format": "json",
    }
    texts = {key.upper(): str(value) for key, value in settings.items()}
    if group is None:
        return Worker(f"{name}-{member}", folder, texts, verb="bridge")
    return Worker(group, folder, texts, program=("monitor", "bridge"), verb="--once")


async def committed(access: KafkaAccess, name: str, group: str) -> dict[tuple[str, int], int]:
    consumer = AIOKafkaConsumer(**access.client_options(), group_id=group, enable_auto_commit=False)
    await bounded(consumer.start(), WAIT_S, "the test's consumer")
    try:
        parts = [(f"{name}-{what}", number) for what in ("spans", "logs") for number in range(PARTITIONS)]
        return {part: await consumer.committed(TopicPartition(*part)) or 0 for part in parts}
    finally:
        await stop_client(consumer)


async def test_killed_in_the_middle_it_misses_no_request_and_doubles_none(
    access: KafkaAccess, tmp_path: Path, unique: str
) -> None:
    name = unique
    await ensure_topics(
        access,
        [WantedTopic(f"{name}-{what}", PARTITIONS) for what in ("spans", "logs", "traces", "again")],
        1,
    )
    await produce(access, part(name, 0, 100))
    process, traces = bridge(access, name, tmp_path).start(), Traces(access, f"{name}-traces")
    try:
        await traces.start()

        async def until(holds: Callable[[], bool], what: str) -> None:
            async def are_there() -> bool:
                assert process.is_running, process.log[-4_000:]
                await traces.read()
                return holds()

            await eventually(are_there, what)

        await until(lambda: len(traces.ids("request")) >= 100, "the first part is told of")
        late = {number: evaluation(number, 990.0, "task_success", label="fail") for number in LATE}
        await produce(access, [(f"{name}-logs", 0, logs_value(*(late.pop(number) for number in SOONER)))])
        await until(lambda: len(traces.ids("outcome")) == len(SOONER), "late labels are outcomes")
        await produce(access, part(name, 100, 50))
        await until(lambda: len(traces.ids("request")) > 100, "it tells of the second part")
        await produce(access, part(name, 150, 50))  # open, or not read, when it is killed
        process.kill()
        await produce(access, part(name, 200, 100))
        process.start()
        await until(lambda: len(traces.ids("request")) == TRACES, "every request is told of")
        await produce(access, [(f"{name}-logs", 1, logs_value(*late.values()))])
        await until(
            lambda: len(traces.ids("outcome")) == len(LATE), "late labels find what another run told of"
        )
        assert await process.terminate() == 0, process.log[-4_000:]
        await traces.read()
    finally:
        process.close()
        await traces.stop()
    judge(traces)
    assert "Traceback" not in "".join(process.logs)
    summary = [line for line in process.log.splitlines() if line.startswith("otel-genai.v1: ")]
    assert len(summary) == 1, process.log[-4_000:]
    await read_to_the_end_once(access, name, tmp_path)


async def test_a_topic_that_is_not_there_is_said_with_what_makes_it(access: KafkaAccess, unique: str) -> None:
    with pytest.raises(TopicUnusable, match="a worker makes its topics when it starts"):
        await KafkaTraceTopic(access, unique).check()
    spans = SpanConsumer(access, f"{unique}-spans", f"{unique}-logs", unique, None)
    with pytest.raises(TopicUnusable, match="the collector's Kafka exporter writes it"):
        await spans.start()
    await spans.close()


def judge(traces: Traces, told: range = range(TRACES)) -> None:
    """Hold the events to what was sent, repeats dropped as the monitor drops them: by id, in one partition."""
    places: dict[str, int] = {}
    first: dict[str, TraceRecord] = {}
    for partition, key, event in traces.events:
        assert key == (event.trace_id or "").encode()
        assert places.setdefault(event.event_id, partition) == partition
        first.setdefault(event.event_id, event)
    requests = [event for event in first.values() if event.kind == "request"]
    assert sorted(event.trace_id or "" for event in requests) == sorted(map(trace_id, told))
    numbers = {trace_id(number): number for number in told}
    for event in requests:
        number = numbers[event.trace_id or ""]
        label = None if number in LATE else number % 7 != 0
        assert (event.task_success, event.tokens_out) == (label, 120), number
        assert event.latency_ms == 900.0 + number % 100
    outcomes = [event for event in first.values() if event.kind == "outcome"]
    assert sorted(numbers[event.trace_id or ""] for event in outcomes) == [n for n in told if n in LATE]
    assert not any(event.task_success for event in outcomes)


async def read_to_the_end_once(access: KafkaAccess, name: str, folder: Path) -> None:
    """With `--once` and a group of its own: the same requests, and everything committed."""
    once = bridge(access, name, folder, f"{name}-once").start()
    try:

        async def has_ended() -> bool:
            return not once.is_running

        await eventually(has_ended, "it leaves at the end")
    finally:
        once.close()
    assert f"otel-genai.v1: {TRACES} requests" in once.log, once.log[-4_000:]
    sent = len(part(name, 0, TRACES)) + 2
    assert sum((await committed(access, name, f"{name}-once")).values()) == sent
