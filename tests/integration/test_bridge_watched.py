"""The bridge as those see it who run it: its probes, and metrics that are what is on the topics."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import yaml

from benchmarks.otlp_payloads import evaluation, logs_value, request, spans_value
from monitor.adapters.embedded.kafka import EmbeddedKafka
from monitor.adapters.kafka.security import KafkaAccess
from monitor.adapters.kafka.span_topics import SpanConsumer
from monitor.adapters.kafka.topic_admin import ensure_topics
from monitor.adapters.kafka.topics import WantedTopic
from tests.integration.test_bridge import bridge, produce
from tests.integration.workers import WAIT_S, Worker, eventually

TRACES = 40
RECORDS = 9_000  # more than one poll hands out
COMPOSE = Path(__file__).parents[2] / "docker-compose.yml"


async def until_state(process: Worker, state: str) -> None:
    async def is_there() -> bool:
        assert process.is_running, process.log[-4_000:]
        return (await process.status()).get("state") == state

    await eventually(is_there, f"{process.name} is {state}")


async def test_its_probes_and_metrics_say_what_it_did_and_who_stands_by_is_ready(
    access: KafkaAccess, tmp_path: Path, unique: str
) -> None:
    name, topics = unique, ("spans", "logs", "traces")
    await ensure_topics(access, [WantedTopic(f"{name}-{what}", 1) for what in topics], 1)
    rows = [(f"{name}-spans", 0, spans_value(*request(number))) for number in range(TRACES)]
    await produce(access, [*rows, (f"{name}-spans", 0, b"\xff\xff")])
    first, second = bridge(access, name, tmp_path).start(), bridge(access, name, tmp_path, member="second")
    try:
        await first.ready()
        await first.counted('bridge_events_total{kind="request"}', TRACES)
        late = evaluation(0, 990.0, "task_success", label="fail")
        await produce(access, [(f"{name}-logs", 0, logs_value(late))])
        await first.counted('bridge_events_total{kind="outcome"}', 1)
        await until_state(first, "idle")
        status, metrics = await first.status(), await first.metrics()
        assert (status["ready"], status["unread"], status["cause"]) == (True, 0, None)
        assert (status["open_traces"], status["mapping"]) == (0, "otel-genai.v1")
        assert metrics["bridge_records_total"] == TRACES + 2
        assert metrics["bridge_spans_total"] == 2 * TRACES
        left_out = {
            key: value for key, value in metrics.items() if key.startswith("bridge_left_out") and value
        }
        assert left_out == {'bridge_left_out_total{reason="record:not_otlp"}': 1}
        assert (metrics["bridge_consumer_lag"], metrics["bridge_open_traces"]) == (0, 0)
        assert metrics["bridge_watermark_lag_seconds"] < 60
        assert not [key for key in metrics if not key.startswith("bridge_")], "nothing of a worker"
        second.start()
        await until_state(second, "standby")
        await second.ready()
        alive = await second.get("/livez")
        assert alive is not None
        assert alive.json() == {"alive": True}
        assert [await one.terminate() for one in (first, second)] == [0, 0], first.log[-2_000:]
    finally:
        first.close()
        second.close()
    assert "Traceback" not in first.log + second.log


async def test_its_lag_is_what_is_on_the_topics_and_was_not_handed_out(
    access: KafkaAccess, unique: str
) -> None:
    names = [f"{unique}-{what}" for what in ("spans", "logs")]
    await ensure_topics(access, [WantedTopic(name, 2) for name in names], 1)
    await produce(access, [(names[number % 2], number // 2 % 2, b"x") for number in range(RECORDS)])
    spans = SpanConsumer(access, names[0], names[1], unique, None)
    await spans.start()
    handed_out, lags = 0, set[int]()
    try:
        async with asyncio.timeout(WAIT_S):
            while handed_out < RECORDS or 0 not in lags:
                polled = await spans.poll()
                handed_out += len(polled.records)
                if polled.unread is not None:
                    assert polled.unread == RECORDS - handed_out
                    lags.add(polled.unread)
                if polled.watermark_ms is not None:
                    assert polled.behind_ms is not None
                    assert 0 <= polled.behind_ms < 600_000
    finally:
        await spans.close()
    assert max(lags) > 0, "it was seen while it was behind"


async def test_while_kafka_is_away_it_is_alive_and_not_ready_and_after_that_it_goes_on(
    own_kafka: EmbeddedKafka, tmp_path: Path, unique: str
) -> None:
    access, name = KafkaAccess(own_kafka.bootstrap), unique
    await ensure_topics(access, [WantedTopic(f"{name}-{what}", 1) for what in ("spans", "logs", "traces")], 1)
    process = bridge(access, name, tmp_path).start()
    try:
        await process.ready()
        own_kafka.kill()

        async def is_not_ready() -> bool:
            assert process.is_running, process.log[-4_000:]
            answer = await process.get("/readyz")
            return answer is not None and answer.status_code == 503

        await eventually(is_not_ready, "it says that it does not go on")
        assert (await process.status())["state"] in ("away", "still")
        alive = await process.get("/livez")
        assert alive is not None
        assert alive.status_code == 200, "starting it again would help nobody"
        await asyncio.to_thread(own_kafka.start)
        await produce(access, [(f"{name}-spans", 0, spans_value(*request(0)))])
        await process.counted('bridge_events_total{kind="request"}', 1)
        await process.ready()
    finally:
        process.close()
    assert "Traceback" not in process.log


async def test_an_address_that_is_taken_ends_it_before_it_reads_anything(
    access: KafkaAccess, tmp_path: Path, unique: str
) -> None:
    name = unique
    await ensure_topics(access, [WantedTopic(f"{name}-{what}", 1) for what in ("spans", "traces")], 1)
    first = bridge(access, name, tmp_path).start()
    second = bridge(access, name, tmp_path, member="second")
    second.port = first.port
    try:
        await first.ready()
        second.start()

        async def has_ended() -> bool:
            return not second.is_running

        await eventually(has_ended, "it ends")
        assert f"cannot listen on 127.0.0.1:{first.port}" in second.log, second.log[-4_000:]
        assert "Traceback" not in second.log
        assert first.is_running
    finally:
        first.close()
        second.close()


async def test_the_topics_that_compose_makes_are_what_a_bridge_reads(
    access: KafkaAccess, tmp_path: Path, unique: str
) -> None:
    service = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]["otlp-topics"]
    *_, option, program = service["entrypoint"]
    for given, ours in (("kafka:19092", access.bootstrap), ("otlp_", f"{unique}-")):
        assert given in program
        program = program.replace(given, ours)
    for _ in range(2):  # and again, where they are there
        done = await asyncio.to_thread(
            subprocess.run, [sys.executable, option, program], capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, done.stderr
    await ensure_topics(access, [WantedTopic(f"{unique}-traces", 1)], 1)
    process = bridge(access, unique, tmp_path).start()
    try:
        await process.ready()
        assert "does not exist" not in process.log
    finally:
        process.close()
